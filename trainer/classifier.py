"""FittedClassifier: raw rows to probabilities in numpy, and the same as an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.schema import Examples, Schema
from .evaluation.threshold import Threshold
from .features.preprocessor import Preprocessor
from .graph import Graph
from .network.ensemble import Ensemble


@dataclass(frozen=True)
class FittedClassifier:
    """A schema with its fitted preprocessor and networks.

    Attributes:
        schema: the columns and the class names.
        preprocessor: from columns to network inputs.
        network: from network inputs to the probability of each class.
        threshold: decides between two classes; the most likely class is predicted where None.
    """

    schema: Schema
    preprocessor: Preprocessor
    network: Ensemble
    threshold: Threshold | None = None

    def probabilities(self, examples: Examples) -> NDArray[np.float32]:
        """Return the probability of each class, float32 (rows, classes)."""
        return self.network.predict(self.preprocessor.transform(examples)).astype(np.float32)

    def predicted(self, probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the index of the predicted class of each row, (rows,)."""
        if self.threshold is None:
            most_likely: NDArray[np.int64] = probabilities.argmax(axis=1)
            return most_likely
        positive = self.threshold.positive
        # In float32, like the graph.
        above = probabilities[:, positive].astype(np.float32) >= np.float32(self.threshold.value)
        return np.where(above, positive, 1 - positive)

    def emit(self, graph: Graph) -> None:
        """Write the path from raw columns to ``label`` and ``probabilities`` into the graph."""
        probabilities = self.network.emit(graph, self.preprocessor.emit(graph))
        if self.threshold is None:
            index = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
        else:
            positive = np.int64(self.threshold.positive)
            indices = [graph.constant(i, "class") for i in (positive, 1 - positive)]
            value = graph.constant(np.float32(self.threshold.value), "threshold")
            probability = graph.add("Gather", probabilities, indices[0], axis=1)
            above = graph.add("GreaterOrEqual", probability, value)
            index = graph.add("Where", above, *indices)
        names: NDArray[Any] = np.array(self.schema.classes, dtype=object)
        label = graph.add("Gather", graph.constant(names, "classes"), index)
        graph.output(label, "label", "string", None)
        graph.output(probabilities, "probabilities", "float", len(self.schema.classes))
