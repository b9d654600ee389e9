"""Batch normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from ..arguments import fraction, positive
from .layer import Array, Layer


class BatchNormalization(Layer):
    """y = scale n + shift, n = (x - mean) / sqrt(variance + epsilon) (Ioffe, Szegedy 2015).

    In training mean and variance (of the rows, divided by their number) are the batch's; outside
    they are moving averages of these, which makes it one multiplication and one addition.

    Args:
        momentum: what a step keeps of the moving averages. At 0.9, unlike Keras's 0.99, they are
            free of their first values within one epoch of some fifty steps.
        epsilon: keeps a constant column from dividing by zero.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: for a momentum outside of 0 to 1, or an epsilon not above 0.
    """

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        *,
        input_shape: tuple[int] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.momentum = fraction("momentum", momentum)
        self.epsilon = positive("epsilon", epsilon)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"scale": (self.units,), "shift": (self.units,)}

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"mean": (self.units,), "variance": (self.units,)}

    def initialize(self, rng: np.random.Generator) -> None:
        """The identity: nothing is left to chance."""
        del rng
        self.parameters["scale"].fill(1)
        self.parameters["shift"].fill(0)
        self.statistics["mean"].fill(0)
        self.statistics["variance"].fill(1)

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._y = np.empty((rows, self.units), dtype)
        self._normal = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        y, normal = self._y[: len(x)], self._normal[: len(x)]
        if not training:
            factor, offset = self._folded(self.parameters | self.statistics)
            np.multiply(x, factor, out=y)
            y += offset
            return y
        ones = self._ones[: len(x)]  # its products are sums over the rows, as in `Dense`
        mean = ones @ x / len(x)
        np.subtract(x, mean, out=normal)
        variance = ones @ np.square(normal, out=y) / len(x)
        self._move("mean", mean)
        self._move("variance", variance)
        self._spread = np.sqrt(variance + self.epsilon)
        normal /= self._spread
        np.multiply(normal, self.parameters["scale"], out=y)
        y += self.parameters["shift"]
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dshift = sum dy and dscale = sum dy n, both over rows.

        And dx = scale / sqrt(variance + epsilon) (dy - dshift / rows - n dscale / rows).
        """
        rows = len(gradient)
        ones, product, normal = self._ones[:rows], self._y[:rows], self._normal[:rows]
        np.multiply(gradient, normal, out=product)
        np.matmul(ones, product, out=self.gradients["scale"])
        np.matmul(ones, gradient, out=self.gradients["shift"])
        if not needs_input:
            return gradient
        gradient -= self.gradients["shift"] / rows
        normal *= self.gradients["scale"] / rows
        gradient -= normal
        gradient *= self.parameters["scale"] / self._spread
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Two nodes: the moving averages are folded into a factor and an offset."""
        factor, offset = self._folded(values)
        scaled = graph.add("Mul", x, graph.constant(factor, "factor"))
        return graph.add("Add", scaled, graph.constant(offset, "offset"))

    def _folded(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        factor = values["scale"] / np.sqrt(values["variance"] + self.epsilon)
        return factor, values["shift"] - values["mean"] * factor

    def _move(self, name: str, batch: Array) -> None:
        moving = self.statistics[name]
        moving *= self.momentum
        moving += (1 - self.momentum) * batch
