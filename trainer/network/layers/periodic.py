"""Periodic embeddings: learned cosine features of each number, beside the number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from ..arguments import positive, whole
from .layer import Array, Layer

BLOCK_COLUMNS = 16
"""Columns that share a matrix product in the exported graph.

The matrix is block-diagonal, because each column has its own frequencies. Up to so many columns, the
zeros cost less than one product per column.
"""


class PeriodicEmbedding(Layer):
    """e = cos(2 pi x w + b) V + c for each of the first inputs, appended to all inputs.

    Each number x has its own frequencies w and phases b, both (frequencies,), kernel V
    (frequencies, width) and bias c (width,). They let the next layers fit functions that change
    sharply along a single number. These are the PBLD embeddings of RealMLP (Holzmueller, Grinsztajn,
    Steinwart 2024, arXiv:2407.04491), after Gorishniy et al. 2022 (arXiv:2203.05556).

    Args:
        columns: number of the first inputs to embed.
        width: numbers of an embedding.
        frequencies: number of cosines for each input.
        scale: standard deviation of the first frequencies, in cycles per unit of x.
        input_shape: (inputs,), for the first layer.
        rates: see `Layer`.

    Raises:
        TypeError: a number is not an integer.
        ValueError: a number is too small, or there are more columns than inputs.
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
        """The class name with columns and width, for summaries."""
        return f"{super().kind}, {self.columns} x {self.width}"

    def build(self, inputs: int, name: str) -> None:
        """Set the number of inputs and units."""
        if inputs < self.columns:
            raise ValueError(f"columns is {self.columns}, expected at most {inputs}, the inputs")
        self.units = inputs + self.columns * self.width
        super().build(inputs, name)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of frequencies, phases, kernel and bias."""
        waves, width = self.frequencies, self.width
        return {
            "frequencies": (self.columns, waves),
            "phases": (self.columns, waves),
            "kernel": (self.columns, waves, width),
            "bias": (self.columns, width),
        }

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw normal frequencies, uniform phases, and kernel and bias within +-1 / sqrt(frequencies)."""
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
        """Allocate the buffers of angles, cosines and embeddings."""
        # Columns come first, because each has its own product with its kernel.
        self._angles = np.empty((self.columns, rows, self.frequencies), dtype)
        self._waves = np.empty((self.columns, rows, self.frequencies), dtype)
        self._embedded = np.empty((self.columns, rows, self.width), dtype)
        self._y = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return the inputs, followed by their embeddings."""
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
        """Apply the chain rule through V, cos and the angles, for each number separately."""
        rows, own, gradients = len(gradient), self.parameters, self.gradients
        angles, waves = self._angles[:, :rows], self._waves[:, :rows]
        embedded, ones = self._embedded[:, :rows], self._ones[:rows]
        parts = gradient[:, self.inputs :].reshape(rows, self.columns, self.width)
        embedded[...] = parts.swapaxes(0, 1)
        np.matmul(waves.swapaxes(1, 2), embedded, out=gradients["kernel"])
        np.matmul(ones, embedded, out=gradients["bias"])
        # d cos(angle) = -sin(angle) d angle.
        np.matmul(embedded, own["kernel"].swapaxes(1, 2), out=waves)
        np.sin(angles, out=angles)
        angles *= waves
        np.negative(angles, out=angles)
        np.matmul(ones, angles, out=gradients["phases"])
        x = self._x.T[: self.columns, None, :]
        np.matmul(x, angles, out=gradients["frequencies"][:, None, :])
        gradients["frequencies"] *= 2 * math.pi
        dx = gradient[:, : self.inputs]
        if needs_input:
            angles *= own["frequencies"][:, None, :] * (2 * math.pi)
            dx[:, : self.columns] += angles.sum(axis=2).T
        return dx

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Add two matrix products for each block of columns, and append the embeddings to x.

        The products are not stacked, one for each column; `Ensemble.emit` says why.
        """

        def product(inputs: str, blocks: Array, offsets: Array) -> str:
            weights = graph.constant(_block_diagonal(blocks), "kernel")
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


def _block_diagonal(blocks: Array) -> Array:
    """Return the block-diagonal matrix of blocks (blocks, rows, columns)."""
    count, rows, columns = blocks.shape
    matrix = np.zeros((count, rows, count, columns), blocks.dtype)
    each = np.arange(count)
    matrix[each, :, each] = blocks
    return matrix.reshape(count * rows, count * columns)
