"""Missing numbers as network inputs, because a missing value may carry information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import ELEMENT_TYPES, Graph

FEW_ROWS = 5
"""Least number of training rows for an input of their own, for missing values and categories. With
fewer rows its weight could only memorize them."""


@dataclass(frozen=True)
class MissingIndicator:
    """One input per column: 1 where the number is missing, else 0; not scaled, like one-hot inputs.

    Attributes:
        columns: indices of the columns.
    """

    columns: tuple[int, ...] = ()

    @classmethod
    def fit(cls, numbers: NDArray[np.float64]) -> MissingIndicator:
        """Return the indicator of columns with at least 5 missing and 5 known numbers."""
        missing = np.array([np.count_nonzero(np.isnan(column)) for column in numbers.T], np.int64)
        is_informative = np.minimum(missing, len(numbers) - missing) >= FEW_ROWS
        return cls(tuple(np.flatnonzero(is_informative).tolist()))

    @property
    def size(self) -> int:
        """Number of network inputs."""
        return len(self.columns)

    def transform(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the inputs, float32 (rows, size), of numbers (rows, columns)."""
        return np.isnan(numbers[:, self.columns]).astype(np.float32)

    def emit(self, graph: Graph, numbers: str) -> str:
        """Add the same computation as nodes, from a double input (N, columns)."""
        columns = graph.constant(np.array(self.columns), "gappy")
        missing = graph.add("IsNaN", graph.add("Gather", numbers, columns, axis=1))
        return graph.add("Cast", missing, to=ELEMENT_TYPES["float"])
