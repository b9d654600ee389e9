"""Embedding: a learned vector for each level of a category."""

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
    """Replaces each of the last inputs, an index of a level, by the level's vector.

    The other inputs come first, unchanged. A column of L levels has L ``width`` weights; one-hot
    inputs would need L times the units of the next layer.

    Args:
        levels: number of levels of each of the last inputs.
        width: numbers of a vector.
        initializer: of the vectors, a name or a function.
        input_shape: (inputs,), for the first layer.
        rates: see `Layer`.

    Raises:
        TypeError: a number is not an integer.
        ValueError: a number is below 1, or there are fewer inputs than columns of indices.
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
        self.initializer = initializers.get("initializer", initializer)
        # One array holds the vectors of all columns; each column starts at its own row.
        self._starts = np.cumsum([0, *self.levels[:-1]])

    @property
    def kind(self) -> str:
        """The class name with columns and width, for summaries."""
        return f"{super().kind}, {len(self.levels)} x {self.width}"

    def build(self, inputs: int, name: str) -> None:
        """Set the number of inputs and units."""
        if inputs < len(self.levels):
            raise ValueError(
                f"levels has {len(self.levels)} columns, expected at most {inputs}, the inputs"
            )
        self._others = inputs - len(self.levels)
        self.units = self._others + len(self.levels) * self.width
        super().build(inputs, name)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of all vectors together."""
        return {"vectors": (sum(self.levels), self.width)}

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the vectors; the vector of each column's index 0 is zero.

        Index 0 stands for rare and unseen levels. If no training row has it, its vector stays zero
        and adds nothing.
        """
        vectors = self.parameters["vectors"]
        vectors[...] = self.initializer(vectors.shape, rng)
        vectors[self._starts] = 0

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate the buffers of outputs and dx."""
        self._y = np.empty((rows, self.units), dtype)
        self._dx = np.zeros((rows, self.inputs), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return the other inputs, followed by the vectors."""
        del training
        y = self._y[: len(x)]
        self._rows = x[:, self._others :].astype(np.int64) + self._starts
        y[:, : self._others] = x[:, : self._others]
        y[:, self._others :] = self.parameters["vectors"][self._rows].reshape(len(x), -1)
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Sum the gradients of each vector over the rows with its level."""
        vectors = self.gradients["vectors"]
        vectors.fill(0)
        parts = gradient[:, self._others :].reshape(-1, self.width)
        np.add.at(vectors, self._rows.ravel(), parts)
        dx = self._dx[: len(gradient)]
        if needs_input:  # the gradient of an index is 0
            dx[:, : self._others] = gradient[:, : self._others]
        return dx

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Slice the indices, gather their vectors, and concatenate them with the other inputs."""
        indices = graph.add("Cast", graph.columns(x, self._others, self.inputs), to=INT64)
        rows = graph.add("Add", indices, graph.constant(self._starts, "starts"))
        gathered = graph.add("Gather", graph.constant(values["vectors"], "vectors"), rows)
        shape = np.array([0, len(self.levels) * self.width])
        flat = graph.add("Reshape", gathered, graph.constant(shape, "shape"))
        if not self._others:
            return flat
        return graph.add("Concat", graph.columns(x, 0, self._others), flat, axis=-1)
