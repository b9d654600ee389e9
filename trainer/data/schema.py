"""What each column is, and the examples that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Kind(StrEnum):
    """What a feature's values are."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATETIME = "datetime"


@dataclass(frozen=True)
class Feature:
    """One column to learn from.

    Attributes:
        name: the column's name.
        kind: what its values are.
        required: true if it was never missing in the table the schema was made from.
        format: how a datetime is written where it is not ISO 8601, one of
            ``trainer.data.cells.datetimes.FORMATS``.
    """

    name: str
    kind: Kind
    required: bool
    format: str | None = None


@dataclass(frozen=True)
class Schema:
    """The columns to learn from, and the classes to tell apart.

    Attributes:
        features: in the order of the table.
        target: the column that holds the class names.
        classes: the class names, sorted; by value if all are numbers, else as text.
    """

    features: tuple[Feature, ...]
    target: str
    classes: tuple[str, ...]

    @property
    def numbers(self) -> tuple[Feature, ...]:
        """The features of kind number, boolean or datetime, in order."""
        return tuple(feature for feature in self.features if feature.kind != Kind.CATEGORY)

    @property
    def categories(self) -> tuple[Feature, ...]:
        """The features of kind category, in order."""
        return tuple(feature for feature in self.features if feature.kind == Kind.CATEGORY)


@dataclass(frozen=True)
class Examples:
    """Rows to learn from, as arrays.

    Attributes:
        numbers: float64 (rows, len(schema.numbers)); missing is NaN, booleans are 1.0 and 0.0,
            datetimes are seconds since 1970-01-01T00:00:00 UTC.
        categories: str objects (rows, len(schema.categories)); missing is "".
        labels: int64 (rows,), places in ``schema.classes``.
    """

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[Any] | slice) -> Self:
        """The rows at ``indices``, int (part,), or where a mask, bool (rows,), is true.

        The rows of a slice are a view of these.
        """
        return type(self)(self.numbers[indices], self.categories[indices], self.labels[indices])

    def joined(self, others: Self) -> Self:
        """These rows, then the others."""
        return type(self)(
            np.concatenate([self.numbers, others.numbers]),
            np.concatenate([self.categories, others.categories]),
            np.concatenate([self.labels, others.labels]),
        )
