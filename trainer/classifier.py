"""FittedClassifier: everything that turns raw rows into probabilities, in numpy."""

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
    """A schema, its fitted preprocessor and its fitted networks.

    Attributes:
        schema: the columns and the class names.
        preprocessor: from columns to network inputs.
        network: from network inputs to the probability of each class.
        threshold: decides between two classes; where None, the likeliest class is the answer.
    """

    schema: Schema
    preprocessor: Preprocessor
    network: Ensemble
    threshold: Threshold | None = None

    def probabilities(self, examples: Examples) -> NDArray[np.float32]:
        """The probability of each class for each row, float32 (rows, classes)."""
        return self.network.predict(self.preprocessor.transform(examples)).astype(np.float32)

    def predicted(self, probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """The place of the class that is answered for each row, (rows,)."""
        if self.threshold is None:
            likeliest: NDArray[np.int64] = probabilities.argmax(axis=1)
            return likeliest
        positive = self.threshold.positive
        # Compared in float32, as the graph does.
        above = probabilities[:, positive].astype(np.float32) >= np.float32(self.threshold.value)
        return np.where(above, positive, 1 - positive)

    def emit(self, graph: Graph) -> None:
        """The whole path from raw columns to ``label`` and ``probabilities`` as a graph."""
        probabilities = self.network.emit(graph, self.preprocessor.emit(graph))
        if self.threshold is None:
            answer = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
        else:
            positive = np.int64(self.threshold.positive)
            places = [graph.constant(place, "class") for place in (positive, 1 - positive)]
            value = graph.constant(np.float32(self.threshold.value), "threshold")
            chance = graph.add("Gather", probabilities, places[0], axis=1)
            answer = graph.add("Where", graph.add("GreaterOrEqual", chance, value), *places)
        names: NDArray[Any] = np.array(self.schema.classes, dtype=object)
        label = graph.add("Gather", graph.constant(names, "classes"), answer)
        graph.output(label, "label", "string", None)
        graph.output(probabilities, "probabilities", "float", len(self.schema.classes))
