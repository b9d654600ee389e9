"""Embedding: a learnt point in a few dimensions for each level of a category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...graph import ELEMENT_TYPES, Graph
from .. import initializers
from ..arguments import whole
from ..initializers import Initializer
from .layer import Array, Layer

INT64 = ELEMENT_TYPES["int64"]


class Embedding(Layer):
    """The last inputs are indices of levels; each is replaced by its level's vector.

    The other inputs are passed on, in front. A column of L levels costs L ``width`` weights,
    where one-hot inputs would cost L times the next layer's units.

    Args:
        levels: for each of the last inputs, how many levels there are: indices below that.
        width: numbers in a level's vector.
        initializer: of the vectors, by name or as a function.
        input_shape: (inputs,), for the first layer.
        rates: see the base class.

    Raises:
        TypeError: for numbers that should be whole and are not.
        ValueError: for numbers below 1, or fewer inputs than columns of indices.
    """

    decay_mask = ("vectors",)

    def __init__(
        self,
        levels: Sequence[int],
        width: int,
        *,
        initializer: str | Initializer = "standard_normal",
        input_shape: tuple[int] | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(input_shape, rates)
        self.levels = tuple(whole("levels", count, 1) for count in levels)
        self.width = whole("width", width, 1)
        self.initializer = initializers.named("initializer", initializer)
        # All columns share one array of vectors, one after the other.
        self._starts = np.cumsum([0, *self.levels[:-1]])

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"{super().kind}, {len(self.levels)} x {self.width}"

    def build(self, inputs: int, name: str) -> None:
        """See the base class."""
        if inputs < len(self.levels):
            raise ValueError(f"levels are of {len(self.levels)} columns, but inputs are {inputs}")
        self._passed = inputs - len(self.levels)
        self.units = self._passed + len(self.levels) * self.width
        super().build(inputs, name)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"vectors": (sum(self.levels), self.width)}

    def initialize(self, rng: np.random.Generator) -> None:
        """By chance, but zero for each column's index 0.

        That one stands for what is rare or was never seen; where training rows don't have it, it
        stays as it is, and should then say nothing.
        """
        vectors = self.parameters["vectors"]
        vectors[...] = self.initializer(vectors.shape, rng)
        vectors[self._starts] = 0

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._y = np.empty((rows, self.units), dtype)
        self._dx = np.zeros((rows, self.inputs), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        del training
        y = self._y[: len(x)]
        self._places = x[:, self._passed :].astype(np.int64) + self._starts
        y[:, : self._passed] = x[:, : self._passed]
        y[:, self._passed :] = self.parameters["vectors"][self._places].reshape(len(x), -1)
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Each vector's gradient is the sum over the rows that have its level."""
        vectors = self.gradients["vectors"]
        vectors.fill(0)
        parts = gradient[:, self._passed :].reshape(-1, self.width)
        np.add.at(vectors, self._places.ravel(), parts)
        dx = self._dx[: len(gradient)]
        if needs_input:  # an index has no slope
            dx[:, : self._passed] = gradient[:, : self._passed]
        return dx

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """The indices cut off, looked up and put back as vectors."""
        indices = graph.add("Cast", graph.columns(x, self._passed, self.inputs), to=INT64)
        places = graph.add("Add", indices, graph.constant(self._starts, "starts"))
        found = graph.add("Gather", graph.constant(values["vectors"], "vectors"), places)
        shape = np.array([0, len(self.levels) * self.width])
        flat = graph.add("Reshape", found, graph.constant(shape, "shape"))
        if not self._passed:
            return flat
        return graph.add("Concat", graph.columns(x, 0, self._passed), flat, axis=-1)
