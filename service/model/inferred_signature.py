"""The signature of a file without metadata, inferred from its graph and a trial run.

Features are named after the inputs. Classes are named by a ZipMap, or else by the names in the
graph, or else by numbers from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelRejected, PredictionFailed
from .onnx_class_names import ClassNames, find_class_names
from .session import MATRIX, Graph, GraphInput, find_probabilities_output, one_line
from .signature import Feature, Kind, Signature

LABEL_NAMES = ("label", "output_label")
"""Names that exporters give to the output of labels."""

LABEL_TYPES = ("tensor(string)", "tensor(int64)", "tensor(int32)")
"""Types of such an output, the most certain first: integers may mean other things."""

TRIAL_ROWS = 1


@dataclass(frozen=True)
class InferredSignature:
    """A signature with the output that can confirm its class names.

    Attributes:
        signature: the signature.
        label_output: the output to compare the class names with; None if there is none, or if the
            names are certain.
    """

    signature: Signature
    label_output: str | None


def infer_signature(graph: Graph, content: bytes) -> InferredSignature:
    """Return the signature of a graph without metadata.

    Args:
        graph: the opened file.
        content: the bytes of the file, in which class names are looked up.

    Raises:
        ModelRejected: the graph can't be run, or its output is not (rows, classes).
    """
    features = _features(graph.inputs)
    output = find_probabilities_output(graph.outputs)
    candidates = _label_candidates(graph.outputs)
    try:
        probabilities, *labels = graph.run([output, *candidates], _trial_feeds(graph.inputs))
    except PredictionFailed as error:
        reason = one_line(error.__cause__ or error)
        raise ModelRejected(f"the model can't be run: {reason}") from None
    if isinstance(probabilities, list):  # ZipMap: a dict of probability by class for each row
        names = [str(label) for row in probabilities[:1] for label in row]
        return InferredSignature(Signature(features, names), None)
    if probabilities.ndim != MATRIX:
        shape = list(probabilities.shape)
        raise ModelRejected(f"output '{output}' has shape {shape}, expected (rows, classes)")
    label_output = next(
        (
            name
            for name, values in zip(candidates, labels, strict=True)
            if values.ndim and values.size == TRIAL_ROWS
        ),
        None,
    )
    classes = _classes(content, label_output, output, probabilities.shape[1])
    return InferredSignature(
        Signature(features, classes.names), None if classes.certain else label_output
    )


def _features(inputs: Sequence[GraphInput]) -> list[Feature]:
    """Return a feature for each column of each input."""
    return [
        Feature(
            name=each.name if each.columns == 1 else f"{each.name}_{column}",
            kind=Kind.CATEGORY if each.holds_text else Kind.NUMBER,
        )
        for each in inputs
        for column in range(each.columns)
    ]


def _trial_feeds(inputs: Sequence[GraphInput]) -> dict[str, npt.NDArray[Any]]:
    """Return one row of zeros and empty texts for the inputs."""
    return {
        each.name: np.full(
            TRIAL_ROWS if each.flat else (TRIAL_ROWS, each.columns),
            "" if each.holds_text else 0,
            dtype=each.dtype,
        )
        for each in inputs
    }


def _label_candidates(outputs: Mapping[str, str]) -> list[str]:
    """Return the outputs that may hold labels, the most likely first."""
    by_name = [name for name in LABEL_NAMES if outputs.get(name) in LABEL_TYPES]
    by_type = [name for type_ in LABEL_TYPES for name in outputs if outputs[name] == type_]
    return list(dict.fromkeys([*by_name, *by_type]))


def _classes(content: bytes, label_output: str | None, output: str, count: int) -> ClassNames:
    """Return the class names in the graph, or numbers if it does not have one for each class."""
    if label_output is not None:
        found = find_class_names(content, label_output, output)
        if len(found.names) == len(set(found.names)) == count:
            return found
    return ClassNames(tuple(map(str, range(count))))
