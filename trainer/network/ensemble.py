"""Ensemble: networks with the same layers whose outputs are averaged, also as one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..graph import Graph
from .layers import Dense, Layer, Scaling
from .sequential import Sequential

Array = NDArray[Any]


class Ensemble:
    """One or more fitted networks, with the mean of their outputs.

    Args:
        members: networks with the same layers in the same order.

    Raises:
        ValueError: there are no members, or their layers differ in shape.
    """

    def __init__(self, members: Sequence[Sequential]) -> None:
        if not members:
            raise ValueError("members is empty, expected at least one network")
        self.members = tuple(members)
        shapes = [[values.shape for values in member.get_weights()] for member in members]
        if any(other != shapes[0] for other in shapes[1:]):
            raise ValueError("members differ in their layers, expected the same shapes in all")

    def predict(self, x: ArrayLike) -> Array:
        """Return the mean of the members' outputs, (rows, units), for rows (rows, inputs).

        Raises:
            ValueError: the array has another shape.
        """
        outputs = self.members[0].predict(x)
        for member in self.members[1:]:
            outputs += member.predict(x)
        outputs /= len(self.members)
        return outputs

    def summary(self, weights: bool | None = None) -> str:
        """Return the layers, which are the same in all members; see `Sequential.summary`."""
        one = self.members[0].summary(weights if len(self.members) == 1 else False)
        return one if len(self.members) == 1 else f"{len(self.members)} members, each:\n{one}"

    def emit(self, graph: Graph, x: str) -> str:
        """Add the members and their mean, and return its name; (N, inputs) to (N, units), float32.

        The members are separate matrix products, not one product of stacked matrices. onnxruntime
        packs the weights of a matrix product once, but those of stacks in each run, which takes
        longer than the product of a few rows. With stacks it also sums a single row in another order
        than many rows.
        """
        outputs = [_emit(member, graph, x) for member in self.members]
        return outputs[0] if len(outputs) == 1 else graph.add("Mean", *outputs)


def _emit(member: Sequential, graph: Graph, x: str) -> str:
    """Add the layers of one member; a scaling before a dense layer becomes part of its kernel."""
    scale: Array | None = None
    for index, layer in enumerate(member.layers):
        values = {name: array.astype(np.float32) for name, array in layer.values.items()}
        if isinstance(layer, Scaling) and isinstance(_next(member.layers, index), Dense):
            scale = values["scale"]  # (x s) W = x (s W) costs nothing at run time
            continue
        if scale is not None:
            values["kernel"] *= scale[:, None]
            scale = None
        x = layer.emit(graph, x, values)
    return x


def _next(layers: Sequence[Layer], index: int) -> Layer | None:
    return layers[index + 1] if index + 1 < len(layers) else None
