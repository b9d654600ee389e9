"""Columns: the rows of a request in the form that a graph takes, whatever protocol they came by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt


class Columns(msgspec.Struct, frozen=True, eq=False):
    """Rows as two arrays, their columns in the order of the signature.

    Attributes:
        numbers: float64 (rows, numbers); NaN is missing; booleans are 1 and 0, datetimes seconds
            since 1970-01-01T00:00:00 UTC.
        categories: str objects (rows, categories); the empty text is missing.
    """

    numbers: npt.NDArray[np.float64]
    categories: npt.NDArray[Any]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.numbers)


class Prediction(msgspec.Struct, frozen=True, eq=False):
    """What a model says of each row.

    Attributes:
        labels: the class names, (rows,).
        probabilities: float32 (rows, classes), in the order of the signature's classes.
    """

    labels: list[str]
    probabilities: npt.NDArray[np.float32]


def concatenate(parts: Sequence[Columns]) -> Columns:
    """All rows, one call's after the other's."""
    return Columns(
        np.concatenate([columns.numbers for columns in parts]),
        np.concatenate([columns.categories for columns in parts]),
    )


def split_by_call(prediction: Prediction, parts: Sequence[Columns]) -> list[Prediction]:
    """What is said of all rows, dealt to the calls that they came from."""
    own, start = [], 0
    labels, probabilities = prediction.labels, prediction.probabilities
    for columns in parts:
        end = start + len(columns)
        own.append(Prediction(labels[start:end], probabilities[start:end]))
        start = end
    return own
