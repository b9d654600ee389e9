"""Which numbers are missing, as network inputs: that a value is not there may tell something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import ELEMENT_TYPES, Graph

FEW_ROWS = 5
"""What fewer training rows have in common gets no input of its own: its weight could only learn
these rows by heart, in a table of any size. Gaps and categories alike are judged by it."""


@dataclass(frozen=True)
class MissingIndicator:
    """One input for each of some columns: 1 where the number is missing, else 0.

    Not scaled: as in one-hot inputs, the usual row says nothing, and the bias takes the mean.

    Attributes:
        columns: which columns.
    """

    columns: tuple[int, ...] = ()

    @classmethod
    def fit(cls, numbers: NDArray[np.float64]) -> MissingIndicator:
        """For columns of (rows, columns) with 5 gaps or more, and 5 numbers or more."""
        gaps = np.array([np.count_nonzero(np.isnan(column)) for column in numbers.T], np.int64)
        told = np.minimum(gaps, len(numbers) - gaps) >= FEW_ROWS
        return cls(tuple(np.flatnonzero(told).tolist()))

    @property
    def size(self) -> int:
        """How many inputs there are."""
        return len(self.columns)

    def transform(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gaps as network inputs, float32 (rows, size) from (rows, columns)."""
        return np.isnan(numbers[:, self.columns]).astype(np.float32)

    def emit(self, graph: Graph, numbers: str) -> str:
        """The same as nodes, from a double input (N, columns)."""
        columns = graph.constant(np.array(self.columns), "gappy")
        gaps = graph.add("IsNaN", graph.add("Gather", numbers, columns, axis=1))
        return graph.add("Cast", gaps, to=ELEMENT_TYPES["float"])
