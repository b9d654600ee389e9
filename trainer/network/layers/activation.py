"""A layer that only applies an activation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...graph import Graph
from ..activations import ActivationFunction
from .layer import ActivatedLayer, Array


class Activation(ActivatedLayer):
    """a = f(x).

    Args:
        activation: f, by name or as an object.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: the name is unknown.
    """

    def __init__(
        self, activation: str | ActivationFunction, *, input_shape: tuple[int] | None = None
    ) -> None:
        super().__init__(activation, input_shape)

    def forward(self, x: Array, training: bool) -> Array:
        """Return f(x)."""
        del training
        z, a = self._z[: len(x)], self._a[: len(x)]
        np.copyto(z, x)  # f may overwrite z, but x belongs to another layer
        self.activation.forward(z, a)
        return a

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """Return the gradient, because z is x."""
        del needs_input
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Add the nodes of f."""
        del values
        return self.activation.emit(graph, x)
