"""Categories as network inputs: one-hot, all zeros where a category is missing or was never seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.graph import Graph

SEPARATOR = "\x1f"
"""Between a column's number and a category in the keys of the graph's one table."""

BINARY = 2
"""A column of two levels needs one input, +1 or -1."""


@dataclass(frozen=True)
class OneHotEncoder:
    """Each level of each column has a place among the inputs, and a value there.

    A level's place holds 1; of two levels, the first is +1 and the second -1 in one place.

    Attributes:
        levels: the categories of each column, in order.
    """

    levels: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, categories: NDArray[Any]) -> OneHotEncoder:
        """The encoder of these training rows: str objects (rows, columns), "" where missing."""
        return cls(tuple(tuple(sorted(set(column) - {""})) for column in categories.T.tolist()))

    @cached_property
    def size(self) -> int:
        """How many inputs there are."""
        return sum(1 if len(levels) == BINARY else len(levels) for levels in self.levels)

    @cached_property
    def _table(self) -> list[dict[str, tuple[int, float]]]:
        """For each column, the place and value of each level."""
        table, start = [], 0
        for levels in self.levels:
            if len(levels) == BINARY:
                first, second = levels
                table.append({first: (start, 1.0), second: (start, -1.0)})
                start += 1
            else:
                table.append({level: (start + i, 1.0) for i, level in enumerate(levels)})
                start += len(levels)
        return table

    def transform(self, categories: NDArray[Any]) -> NDArray[np.float32]:
        """Categories as network inputs, float32 (rows, size) from (rows, columns)."""
        # One place more than there are inputs takes what is missing or unseen, and is cut off.
        unseen = (self.size, 0.0)
        inputs = np.zeros((len(categories), self.size + 1), dtype=np.float32)
        rows = np.arange(len(categories))
        for column, table in zip(categories.T.tolist(), self._table, strict=True):
            found = [table.get(category, unseen) for category in column]
            if found:
                places, values = zip(*found, strict=True)
                inputs[rows, np.array(places)] = values
        return np.ascontiguousarray(inputs[:, : self.size])

    def emit(self, graph: Graph, categories: str) -> str:
        """The same as nodes, from a string input (N, columns).

        One look-up serves all columns: a cell's key is its column's number and its category. So
        the graph's length does not depend on how many columns there are.
        """
        rows = [
            (f"{column}{SEPARATOR}{level}", place, value)
            for column, table in enumerate(self._table)
            for level, (place, value) in table.items()
        ]
        prefixes = [[f"{column}{SEPARATOR}" for column in range(len(self.levels))]]
        cells = graph.add(
            "StringConcat", graph.constant(np.array(prefixes, dtype=object), "columns"), categories
        )
        index = graph.add(
            "LabelEncoder",
            cells,
            domain="ai.onnx.ml",
            keys_strings=[key for key, _, _ in rows] or [""],
            values_int64s=list(range(len(rows))) or [0],
            default_int64=len(rows),
        )
        places = np.array([place for _, place, _ in rows] + [self.size], dtype=np.int64)
        values = np.array([value for _, _, value in rows] + [0], dtype=np.float32)
        place = graph.add("Gather", graph.constant(places, "places"), index)
        value = graph.add("Gather", graph.constant(values, "values"), index)
        shape = graph.add(
            "Concat",
            graph.add("Shape", categories, start=0, end=1),
            graph.constant(np.array([self.size + 1]), "width"),
            axis=0,
        )
        zeros = graph.add("Expand", graph.constant(np.zeros((1, 1), np.float32), "zero"), shape)
        hot = graph.add("ScatterElements", zeros, place, value, axis=1)
        bounds = [graph.constant(np.array([bound]), "bound") for bound in (0, self.size, 1)]
        start, end, axis = bounds
        return graph.add("Slice", hot, start, end, axis)
