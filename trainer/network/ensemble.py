"""Ensemble: networks of the same layers whose answers are averaged, as one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.graph import Graph
from trainer.network.layers import Dense, Layer, Scaling
from trainer.network.sequential import Sequential

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
        """All members as one row of nodes, from float32 (N, inputs) to (N, units).

        Every layer of all members is one node: their arrays are stacked, and a product of stacks
        is a product for each member. So it is run once, whatever their number.
        """
        stacked = len(self.members) > 1
        if stacked:
            x = graph.add("Unsqueeze", x, graph.constant(np.array([0]), "members"))
            copies = graph.constant(np.array([len(self.members), 1, 1]), "copies")
            x = graph.add("Expand", x, copies)
        scale: Array | None = None
        layers = self.members[0].layers
        for place, layer in enumerate(layers):
            values = self._values(place)
            if isinstance(layer, Scaling) and isinstance(_above(layers, place), Dense):
                scale = values["scale"]  # x s W is x (s W): it costs nothing at run time
                continue
            if scale is not None:
                values["kernel"] *= scale[..., None]
                scale = None
            x = layer.emit(graph, x, values)
        if stacked:
            axis = graph.constant(np.array([0]), "members")
            x = graph.add("ReduceMean", x, axis, keepdims=0)
        return x

    def _values(self, place: int) -> dict[str, Array]:
        """What the layers at one place hold, float32; stacked where there are several members."""
        found = [member.layers[place].values for member in self.members]
        return {
            name: np.stack([values[name] for values in found]).astype(np.float32)
            if len(found) > 1
            else found[0][name].astype(np.float32)
            for name in found[0]
        }


def _above(layers: Sequence[Layer], place: int) -> Layer | None:
    return layers[place + 1] if place + 1 < len(layers) else None
