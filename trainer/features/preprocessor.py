"""All columns of an example as one row of network inputs: numbers first, then categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.schema import Examples
from trainer.features.categorical import OneHotEncoder
from trainer.features.numeric import RobustScaler
from trainer.graph import Graph


@dataclass(frozen=True)
class Preprocessor:
    """The fitted encoders of numbers and categories.

    Attributes:
        numeric: for the number and boolean columns.
        categorical: for the category columns.
    """

    numeric: RobustScaler
    categorical: OneHotEncoder

    @classmethod
    def fit(cls, examples: Examples) -> Preprocessor:
        """The preprocessor of these training rows and no others."""
        return cls(RobustScaler.fit(examples.numbers), OneHotEncoder.fit(examples.categories))

    @property
    def size(self) -> int:
        """How many network inputs there are."""
        return len(self.numeric.center) + self.categorical.size

    def transform(self, examples: Examples) -> NDArray[np.float32]:
        """The network's inputs, float32 (rows, size)."""
        return np.hstack(
            [
                self.numeric.transform(examples.numbers),
                self.categorical.transform(examples.categories),
            ]
        )

    def emit(self, graph: Graph) -> str:
        """The same as nodes, from the model file's inputs ``numbers`` and ``categories``."""
        parts = []
        if columns := len(self.numeric.center):
            parts.append(self.numeric.emit(graph, graph.input("numbers", "double", columns)))
        if columns := len(self.categorical.levels):
            parts.append(self.categorical.emit(graph, graph.input("categories", "string", columns)))
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
