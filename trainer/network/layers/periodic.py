"""Periodic embeddings: a few learnt waves of each number beside the number itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from ..arguments import positive, whole
from .layer import Array, Layer

BLOCK_COLUMNS = 16
"""Columns whose waves are one product in the exported graph. Most of its factors are zeros, for each
column has waves of its own, and up to so many columns these cost less than a product for each."""


class PeriodicEmbedding(Layer):
    """e = cos(2 pi x w + b) V + c for each of the first inputs, added behind all inputs.

    Each number x has its own frequencies w, phases b, both (frequencies,), kernel V
    (frequencies, width) and bias c (width,). With them the layers above can bend sharply along a
    single number, which they learn slowly by themselves. These are the PBLD embeddings of RealMLP
    (Holzmueller, Grinsztajn, Steinwart 2024, arXiv:2407.04491), after Gorishniy et al. 2022
    (arXiv:2203.05556).

    Args:
        columns: how many of the first inputs are numbers to embed.
        width: numbers in an embedding.
        frequencies: waves of each number.
        scale: standard deviation of the first frequencies, in waves per unit of x.
        input_shape: (inputs,), for the first layer.
        rates: see the base class.

    Raises:
        TypeError: for numbers that should be whole and are not.
        ValueError: for numbers that are too small, or more columns than inputs.
    """

    decay_mask = ("frequencies", "kernel")

    def __init__(
        self,
        columns: int,
        width: int = 3,
        frequencies: int = 16,
        scale: float = 0.1,
        *,
        input_shape: tuple[int] | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(input_shape, rates)
        self.columns = whole("columns", columns, 1)
        self.width = whole("width", width, 1)
        self.frequencies = whole("frequencies", frequencies, 1)
        self.scale = positive("scale", scale)

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"{super().kind}, {self.columns} x {self.width}"

    def build(self, inputs: int, name: str) -> None:
        """See the base class."""
        if inputs < self.columns:
            raise ValueError(f"columns is {self.columns}, but inputs are {inputs}")
        self.units = inputs + self.columns * self.width
        super().build(inputs, name)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        waves, width = self.frequencies, self.width
        return {
            "frequencies": (self.columns, waves),
            "phases": (self.columns, waves),
            "kernel": (self.columns, waves, width),
            "bias": (self.columns, width),
        }

    def initialize(self, rng: np.random.Generator) -> None:
        """Normal frequencies, uniform phases, kernel and bias within 1 / sqrt(frequencies)."""
        shapes, bound = self.parameter_shapes(), 1 / math.sqrt(self.frequencies)
        first = {
            "frequencies": rng.normal(0, self.scale, shapes["frequencies"]),
            "phases": rng.uniform(-math.pi, math.pi, shapes["phases"]),
            "kernel": rng.uniform(-bound, bound, shapes["kernel"]),
            "bias": rng.uniform(-bound, bound, shapes["bias"]),
        }
        for name, values in first.items():
            self.parameters[name][...] = values

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        # By column first: each has its own product with its kernel.
        self._angles = np.empty((self.columns, rows, self.frequencies), dtype)
        self._waves = np.empty((self.columns, rows, self.frequencies), dtype)
        self._embedded = np.empty((self.columns, rows, self.width), dtype)
        self._y = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        rows, own = len(x), self.parameters
        angles, waves = self._angles[:, :rows], self._waves[:, :rows]
        embedded, y = self._embedded[:, :rows], self._y[:rows]
        turns = own["frequencies"] * (2 * math.pi)
        np.multiply(x.T[: self.columns, :, None], turns[:, None, :], out=angles)
        angles += own["phases"][:, None, :]
        np.cos(angles, out=waves)
        np.matmul(waves, own["kernel"], out=embedded)
        embedded += own["bias"][:, None, :]
        y[:, : self.inputs] = x
        y[:, self.inputs :].reshape(rows, self.columns, self.width)[...] = embedded.swapaxes(0, 1)
        if training:
            self._x = x
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """The chain rule backward through V, cos and the angle, for each number by itself."""
        rows, own, found = len(gradient), self.parameters, self.gradients
        angles, waves = self._angles[:, :rows], self._waves[:, :rows]
        embedded, ones = self._embedded[:, :rows], self._ones[:rows]
        parts = gradient[:, self.inputs :].reshape(rows, self.columns, self.width)
        embedded[...] = parts.swapaxes(0, 1)
        np.matmul(waves.swapaxes(1, 2), embedded, out=found["kernel"])
        np.matmul(ones, embedded, out=found["bias"])
        # d cos(angle) = -sin(angle) d angle.
        np.matmul(embedded, own["kernel"].swapaxes(1, 2), out=waves)
        np.sin(angles, out=angles)
        angles *= waves
        np.negative(angles, out=angles)
        np.matmul(ones, angles, out=found["phases"])
        x = self._x.T[: self.columns, None, :]
        np.matmul(x, angles, out=found["frequencies"][:, None, :])
        found["frequencies"] *= 2 * math.pi
        passed = gradient[:, : self.inputs]
        if needs_input:
            angles *= own["frequencies"][:, None, :] * (2 * math.pi)
            passed[:, : self.columns] += angles.sum(axis=2).T
        return passed

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Angles and embeddings of a block of columns as one product each, and all of it behind x.

        Not as a stack of products, one for each column: see `Ensemble.emit`.
        """

        def product(inputs: str, blocks: Array, offsets: Array) -> str:
            weights = graph.constant(_along_diagonal(blocks), "kernel")
            return graph.add("Gemm", inputs, weights, graph.constant(offsets.ravel(), "bias"))

        turns = values["frequencies"][:, None, :] * np.float32(2 * math.pi)
        embedded = []
        for start in range(0, self.columns, BLOCK_COLUMNS):
            block = slice(start, start + BLOCK_COLUMNS)
            numbers = graph.columns(x, start, min(block.stop, self.columns))
            angles = product(numbers, turns[block], values["phases"][block])
            waves = graph.add("Cos", angles)
            embedded.append(product(waves, values["kernel"][block], values["bias"][block]))
        return graph.add("Concat", x, *embedded, axis=-1)


def _along_diagonal(blocks: Array) -> Array:
    """Matrices (blocks, rows, columns) along the diagonal of one, which is zero elsewhere."""
    count, rows, columns = blocks.shape
    matrix = np.zeros((count, rows, count, columns), blocks.dtype)
    each = np.arange(count)
    matrix[each, :, each] = blocks
    return matrix.reshape(count * rows, count * columns)
