"""Scaling: a learned factor for each input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from .layer import Array, Layer


class Scaling(Layer):
    """y = x s, with a factor s for each input, initially 1.

    Before a dense layer it adds no new functions, but under Adam useful inputs gain weight quickly
    (RealMLP: Holzmueller, Grinsztajn, Steinwart 2024, arXiv:2407.04491). In the exported file it is
    part of that layer's kernel.

    Args:
        input_shape: (inputs,), for the first layer.
        rates: see `Layer`.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int] | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(input_shape, rates)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of the factors."""
        return {"scale": (self.units,)}

    def initialize(self, rng: np.random.Generator) -> None:
        """Set the factors to 1."""
        del rng
        self.parameters["scale"].fill(1)

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate the buffers of outputs and products."""
        self._y = np.empty((rows, self.units), dtype)
        self._product = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return x s."""
        if training:
            self._x = x
        return np.multiply(x, self.parameters["scale"], out=self._y[: len(x)])

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Compute ds = sum over rows of dy x, and dx = dy s."""
        rows = len(gradient)
        product = np.multiply(gradient, self._x, out=self._product[:rows])
        np.matmul(self._ones[:rows], product, out=self.gradients["scale"])
        if needs_input:
            gradient *= self.parameters["scale"]
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Add one node."""
        return graph.add("Mul", x, graph.constant(values["scale"], "scale"))
