"""The schema of a table, and its rows as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Kind(StrEnum):
    """Kind of a feature's values."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATETIME = "datetime"


@dataclass(frozen=True)
class Feature:
    """A column that the network learns from.

    Attributes:
        name: of the column.
        kind: of its values.
        required: whether no value was missing in the table of the schema.
        format: of a datetime if it is not ISO 8601, one of ``cells.datetimes.FORMATS``.
    """

    name: str
    kind: Kind
    required: bool
    format: str | None = None


@dataclass(frozen=True)
class Schema:
    """Features and classes of a table.

    Attributes:
        features: in the order of the table.
        target: the column with the class names.
        classes: names, sorted by value if all are numbers, else as text.
    """

    features: tuple[Feature, ...]
    target: str
    classes: tuple[str, ...]

    @property
    def numbers(self) -> tuple[Feature, ...]:
        """Features of kind number, boolean or datetime, in order."""
        return tuple(feature for feature in self.features if feature.kind != Kind.CATEGORY)

    @property
    def categories(self) -> tuple[Feature, ...]:
        """Features of kind category, in order."""
        return tuple(feature for feature in self.features if feature.kind == Kind.CATEGORY)


@dataclass(frozen=True)
class Examples:
    """Rows of a table as arrays.

    Attributes:
        numbers: float64 (rows, len(schema.numbers)); missing is NaN, booleans are 1.0 and 0.0,
            datetimes are seconds since 1970-01-01T00:00:00 UTC.
        categories: str objects (rows, len(schema.categories)); missing is "".
        labels: int64 (rows,), indices of ``schema.classes``.
    """

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[Any] | slice) -> Self:
        """Return the rows at ``indices``, int (part,), or of a mask, bool (rows,).

        A slice gives a view.
        """
        return type(self)(self.numbers[indices], self.categories[indices], self.labels[indices])

    def concatenate(self, others: Self) -> Self:
        """Return these rows followed by the others."""
        return type(self)(
            np.concatenate([self.numbers, others.numbers]),
            np.concatenate([self.categories, others.categories]),
            np.concatenate([self.labels, others.labels]),
        )
