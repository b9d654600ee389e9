"""FittedClassifier: everything that turns raw rows into probabilities, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.schema import Examples, Schema
from trainer.features.preprocessor import Preprocessor
from trainer.graph import Graph
from trainer.network.sequential import Sequential


@dataclass(frozen=True)
class FittedClassifier:
    """A schema, its fitted preprocessor and its fitted network.

    Attributes:
        schema: the columns and the class names.
        preprocessor: from columns to network inputs.
        network: from network inputs to the probability of each class.
    """

    schema: Schema
    preprocessor: Preprocessor
    network: Sequential

    def probabilities(self, examples: Examples) -> NDArray[np.float32]:
        """The probability of each class for each row, float32 (rows, classes)."""
        return self.network.predict(self.preprocessor.transform(examples)).astype(np.float32)

    def emit(self, graph: Graph) -> None:
        """The whole path from raw columns to ``label`` and ``probabilities`` as a graph."""
        probabilities = self.network.emit(graph, self.preprocessor.emit(graph))
        best = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
        names: NDArray[Any] = np.array(self.schema.classes, dtype=object)
        label = graph.add("Gather", graph.constant(names, "classes"), best)
        graph.output(label, "label", "string", None)
        graph.output(probabilities, "probabilities", "float", len(self.schema.classes))
