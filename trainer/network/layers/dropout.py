"""Dropout: sets random units to zero in training, so that units do not rely on each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from ..arguments import fraction
from .layer import Array, Layer

DRAWS = 2**16
"""Dropout draws an integer below this for each unit.

64 random bits serve four units, which takes a third of the time of random floats.
"""


class Dropout(Layer):
    """In training, a = 0 with probability ``rate``, otherwise a = x / (1 - rate); else a = x.

    The expectation stays the same (Srivastava et al. 2014).

    Args:
        rate: from 0 to less than 1.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: the rate is out of its range.

    Attributes:
        strength: factor of the rate from a schedule, from 0 to 1.
    """

    def __init__(self, rate: float, *, input_shape: tuple[int] | None = None) -> None:
        super().__init__(input_shape)
        self.rate = fraction("rate", rate)
        self.strength = 1.0
        self._rng = np.random.default_rng(0)

    @property
    def kind(self) -> str:
        """The class name with the rate, for summaries."""
        return f"{super().kind}, {self.rate:g}"

    def initialize(self, rng: np.random.Generator) -> None:
        """Spawn a generator from the network's."""
        self._rng = rng.spawn(1)[0]

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate the buffers of a and of the mask."""
        self._a = np.empty((rows, self.units), dtype)
        self._mask = np.empty((rows, self.units), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return x with random units dropped in training, otherwise x."""
        dropped = min(round(self.rate * self.strength * DRAWS), DRAWS - 1)
        self._is_identity = not (training and dropped)
        if self._is_identity:
            return x
        mask = self._mask[: len(x)]
        words = self._rng.integers(
            2**64 - 1, size=-(-mask.size // 4), dtype=np.uint64, endpoint=True
        )
        draws = words.view(np.uint16)[: mask.size].reshape(mask.shape)
        np.greater_equal(draws, dropped, out=mask)
        mask *= DRAWS / (DRAWS - dropped)
        return np.multiply(x, mask, out=self._a[: len(x)])

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Compute dx = da / (1 - rate) where x was not dropped, else 0."""
        del needs_input
        if not self._is_identity:
            gradient *= self._mask[: len(gradient)]
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Return x, because no node is needed."""
        del graph, values
        return x
