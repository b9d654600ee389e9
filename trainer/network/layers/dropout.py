"""Dropout: noise that keeps units from relying on one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from ..arguments import fraction
from .layer import Array, Layer

CHANCES = 2**16
"""Dropout draws a whole number below this for each unit: 64 random bits serve four units, which
takes a third of the time that fractions take.
"""


class Dropout(Layer):
    """In training each input is 0 with probability ``rate``, else x / (1 - rate).

    So its expectation stays the same, and outside training x is passed on as it is
    (Srivastava et al. 2014).

    Args:
        rate: from 0 to less than 1.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: for another rate.

    Attributes:
        strength: what a schedule multiplies the rate with, from 0 to 1.
    """

    def __init__(self, rate: float, *, input_shape: tuple[int] | None = None) -> None:
        super().__init__(input_shape)
        self.rate = fraction("rate", rate)
        self.strength = 1.0
        self._rng = np.random.default_rng(0)

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"{super().kind}, {self.rate:g}"

    def initialize(self, rng: np.random.Generator) -> None:
        """Take a generator of its own from the network's; before, it is that of seed 0."""
        self._rng = rng.spawn(1)[0]

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._a = np.empty((rows, self.units), dtype)
        self._kept = np.empty((rows, self.units), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        dropped = min(round(self.rate * self.strength * CHANCES), CHANCES - 1)
        self._passes = not (training and dropped)
        if self._passes:
            return x
        kept = self._kept[: len(x)]
        words = self._rng.integers(
            2**64 - 1, size=-(-kept.size // 4), dtype=np.uint64, endpoint=True
        )
        chances = words.view(np.uint16)[: kept.size].reshape(kept.shape)
        np.greater_equal(chances, dropped, out=kept)
        kept *= CHANCES / (CHANCES - dropped)
        return np.multiply(x, kept, out=self._a[: len(x)])

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dx = da / (1 - rate) where x was kept, else 0."""
        del needs_input
        if not self._passes:
            gradient *= self._kept[: len(gradient)]
        return gradient

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Nothing is added."""
        del graph, values
        return x
