"""Batch normalization: each unit gets mean 0 and variance 1 over the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from ..arguments import fraction, positive
from .layer import Array, Layer


class BatchNormalization(Layer):
    """y = scale n + shift, n = (x - mean) / sqrt(variance + epsilon) (Ioffe, Szegedy 2015).

    In training, mean and (biased) variance are those of the batch. Otherwise they are moving averages,
    so the layer is one multiplication and one addition.

    Args:
        momentum: weight of the old moving averages in a step. At 0.9, unlike 0.99 in Keras, the
            first values have no influence after one epoch of some fifty steps.
        epsilon: prevents a division by zero for a constant unit.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: the momentum is not from 0 to less than 1, or epsilon is not above 0.
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
        """Return the shapes of scale and shift."""
        return {"scale": (self.units,), "shift": (self.units,)}

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the moving averages."""
        return {"mean": (self.units,), "variance": (self.units,)}

    def initialize(self, rng: np.random.Generator) -> None:
        """Set the values of the identity."""
        del rng
        self.parameters["scale"].fill(1)
        self.parameters["shift"].fill(0)
        self.statistics["mean"].fill(0)
        self.statistics["variance"].fill(1)

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate the buffers of outputs and n."""
        self._y = np.empty((rows, self.units), dtype)
        self._normal = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return the normalized inputs, scaled and shifted."""
        y, normal = self._y[: len(x)], self._normal[: len(x)]
        if not training:
            factor, offset = self._folded(self.parameters | self.statistics)
            np.multiply(x, factor, out=y)
            y += offset
            return y
        ones = self._ones[: len(x)]  # products with it sum the rows, as in `Dense`
        mean = ones @ x / len(x)
        np.subtract(x, mean, out=normal)
        variance = ones @ np.square(normal, out=y) / len(x)
        self._move("mean", mean)
        self._move("variance", variance)
        self._deviation = np.sqrt(variance + self.epsilon)
        normal /= self._deviation
        np.multiply(normal, self.parameters["scale"], out=y)
        y += self.parameters["shift"]
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Compute dshift = sum dy and dscale = sum dy n, over the rows, and dx.

        dx = scale / sqrt(variance + epsilon) (dy - dshift / rows - n dscale / rows).
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
        gradient *= self.parameters["scale"] / self._deviation
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Add one multiplication and one addition."""
        factor, offset = self._folded(values)
        scaled = graph.add("Mul", x, graph.constant(factor, "factor"))
        return graph.add("Add", scaled, graph.constant(offset, "offset"))

    def _folded(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the factor and offset that the moving averages amount to."""
        factor = values["scale"] / np.sqrt(values["variance"] + self.epsilon)
        return factor, values["shift"] - values["mean"] * factor

    def _move(self, name: str, batch: Array) -> None:
        """Update a moving average by the batch's value."""
        moving = self.statistics[name]
        moving *= self.momentum
        moving += (1 - self.momentum) * batch
