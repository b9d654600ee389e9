"""Rows and predictions as arrays, the same for every protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt


class Columns(msgspec.Struct, frozen=True, eq=False):
    """Decoded rows as two arrays, with columns in the order of the signature.

    Attributes:
        numbers: float64 (rows, numbers). Missing is NaN, true is 1, false is 0, a datetime is
            seconds since 1970-01-01T00:00:00 UTC.
        categories: str objects (rows, categories). Missing is the empty text.
    """

    numbers: npt.NDArray[np.float64]
    categories: npt.NDArray[Any]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.numbers)


class Prediction(msgspec.Struct, frozen=True, eq=False):
    """The label and the class probabilities of each row.

    Attributes:
        labels: class names, (rows,).
        probabilities: float32 (rows, classes), in the order of the signature's classes.
    """

    labels: list[str]
    probabilities: npt.NDArray[np.float32]


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several calls one after the other."""
    return Columns(
        np.concatenate([columns.numbers for columns in parts]),
        np.concatenate([columns.categories for columns in parts]),
    )


def split_by_call(prediction: Prediction, parts: Sequence[Columns]) -> list[Prediction]:
    """Return the prediction of each call.

    Args:
        prediction: the prediction of all rows.
        parts: the rows of each call, as passed to `concatenate`.
    """
    split, start = [], 0
    labels, probabilities = prediction.labels, prediction.probabilities
    for columns in parts:
        end = start + len(columns)
        split.append(Prediction(labels[start:end], probabilities[start:end]))
        start = end
    return split
