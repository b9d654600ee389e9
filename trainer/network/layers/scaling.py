"""Scaling: each input learns how much it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from .layer import Array, Layer


class Scaling(Layer):
    """y = x s, with a factor s for each input, at first 1.

    Below a dense layer it can express nothing new, but under Adam it lets the useful inputs gain
    weight quickly (RealMLP: Holzmueller, Grinsztajn, Steinwart 2024, arXiv:2407.04491); there it
    is part of that layer's kernel in the exported file.

    Args:
        input_shape: (inputs,), for the first layer.
        rates: see the base class.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int] | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(input_shape, rates)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"scale": (self.units,)}

    def initialize(self, rng: np.random.Generator) -> None:
        """The identity: nothing is left to chance."""
        del rng
        self.parameters["scale"].fill(1)

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._y = np.empty((rows, self.units), dtype)
        self._product = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        if training:
            self._x = x
        return np.multiply(x, self.parameters["scale"], out=self._y[: len(x)])

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: ds = sum over rows of dy x, dx = dy s."""
        rows = len(gradient)
        product = np.multiply(gradient, self._x, out=self._product[:rows])
        np.matmul(self._ones[:rows], product, out=self.gradients["scale"])
        if needs_input:
            gradient *= self.parameters["scale"]
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """One node."""
        return graph.add("Mul", x, graph.constant(values["scale"], "scale"))
