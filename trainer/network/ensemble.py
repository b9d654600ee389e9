"""Ensemble: networks of the same layers whose answers are averaged, as one graph."""

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
    """One or more fitted networks that answer together: the mean of their outputs.

    Args:
        members: networks with the same layers in the same order.

    Raises:
        ValueError: for no member, or members whose layers have other shapes than the first's.
    """

    def __init__(self, members: Sequence[Sequential]) -> None:
        if not members:
            raise ValueError("members is empty, expected at least one network")
        self.members = tuple(members)
        shapes = [[values.shape for values in member.get_weights()] for member in members]
        if any(other != shapes[0] for other in shapes[1:]):
            raise ValueError("members differ in their layers, expected the same in all")

    def predict(self, x: ArrayLike) -> Array:
        """The mean of the members' outputs, (rows, units) for (rows, inputs).

        Raises:
            ValueError: for an array of another shape.
        """
        outputs = self.members[0].predict(x)
        for member in self.members[1:]:
            outputs += member.predict(x)
        outputs /= len(self.members)
        return outputs

    def summary(self, weights: bool | None = None) -> str:
        """The layers of one member, which are those of all; see `Sequential.summary`."""
        one = self.members[0].summary(weights if len(self.members) == 1 else False)
        return one if len(self.members) == 1 else f"{len(self.members)} members, each:\n{one}"

    def emit(self, graph: Graph, x: str) -> str:
        """All members side by side, from float32 (N, inputs) to (N, units), and their mean.

        Not as stacks of all members' arrays: onnxruntime packs the weights of a product of two
        matrices once, those of a product of stacks in each run, which for a few rows takes longer
        than the product. And of stacks it adds up a row alone in another order than among others.
        """
        answers = [_emit(member, graph, x) for member in self.members]
        return answers[0] if len(answers) == 1 else graph.add("Mean", *answers)


def _emit(member: Sequential, graph: Graph, x: str) -> str:
    scale: Array | None = None
    for place, layer in enumerate(member.layers):
        values = {name: array.astype(np.float32) for name, array in layer.values.items()}
        if isinstance(layer, Scaling) and isinstance(_above(member.layers, place), Dense):
            scale = values["scale"]  # x s W is x (s W): it costs nothing at run time
            continue
        if scale is not None:
            values["kernel"] *= scale[:, None]
            scale = None
        x = layer.emit(graph, x, values)
    return x


def _above(layers: Sequence[Layer], place: int) -> Layer | None:
    return layers[place + 1] if place + 1 < len(layers) else None
