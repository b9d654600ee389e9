"""Categories as network inputs: one-hot for few levels, an index for many.

The training rows decide the levels of a column:

    rare      levels of fewer than 5 rows share one input, also with unseen categories
    missing   has its own input from 5 rows on, else it is all zeros
    many      a column of at least 33 levels is one input, the level's index for an embedding; fewer
              levels are one-hot, and two are +1 and -1 in one input
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from .missing import FEW_ROWS

SEPARATOR = "\x1f"
"""Between column index and category in the keys of the graph's look-up table."""

BINARY = 2
"""Two levels need one input, +1 or -1."""

EMBEDDED_FROM = 33
"""Least number of levels, rare and missing ones counted as one each, for an embedding. One-hot inputs
would mostly be zeros."""


@dataclass(frozen=True)
class Vocabulary:
    """The levels of one column that the network distinguishes.

    Attributes:
        levels: levels with their own input, sorted.
        rare: whether rare and unseen levels share an input.
        missing: whether missing categories have an input.
    """

    levels: tuple[str, ...]
    rare: bool = False
    missing: bool = False

    @classmethod
    def fit(cls, column: NDArray[Any]) -> Vocabulary:
        """Return the vocabulary of training rows, str objects (rows,), "" where missing."""
        counts = Counter(column.tolist())
        missing = counts.pop("", 0)
        rare = _rare(counts)
        return cls(
            tuple(sorted(counts.keys() - rare)),
            rare=bool(rare),
            missing=bool(counts) and missing >= FEW_ROWS,
        )

    @property
    def is_embedded(self) -> bool:
        """Whether the column is one input, the level's index."""
        return len(self.levels) + self.rare + self.missing >= EMBEDDED_FROM

    @property
    def is_binary(self) -> bool:
        """Whether the levels are +1 and -1 in one input."""
        return len(self.levels) + self.rare == BINARY

    @property
    def size(self) -> int:
        """Number of inputs: one-hot, or one index."""
        if self.is_embedded:
            return 1
        return (1 if self.is_binary else len(self.levels) + self.rare) + self.missing

    @property
    def indices(self) -> int:
        """Number of indices, if the column is embedded."""
        return 1 + len(self.levels) + self.missing

    @cached_property
    def encodings(self) -> Mapping[str, tuple[int, float]]:
        """Input and value of each level; "" is missing."""
        if self.is_embedded:
            indices = {level: (0, float(i)) for i, level in enumerate(self.levels, start=1)}
            return indices | {"": (0, float(self.indices - 1 if self.missing else 0))}
        missing = (self.size - 1, 1.0) if self.missing else (0, 0.0)
        if self.is_binary:
            signs = zip(self.levels, (1.0, -1.0), strict=False)
            return {level: (0, sign) for level, sign in signs} | {"": missing}
        return {level: (i, 1.0) for i, level in enumerate(self.levels)} | {"": missing}

    @property
    def other(self) -> tuple[int, float]:
        """Input and value of rare and unseen levels."""
        if self.is_embedded or not self.rare:
            return 0, 0.0
        return (0, -1.0) if self.is_binary else (len(self.levels), 1.0)


def _rare(counts: Mapping[str, int]) -> set[str]:
    """Return the rare levels, which share an input.

    They have fewer than ``FEW_ROWS`` rows, or even fewer, so that at least half of the rows keep their
    level. Two levels always stay, and so does a single rare level.
    """
    if len(counts) <= BINARY:
        return set()
    total = sum(counts.values())
    for fewest in range(FEW_ROWS, 1, -1):
        rare = {level for level, count in counts.items() if count < fewest}
        if 2 * sum(counts[level] for level in rare) <= total:
            return rare if len(rare) > 1 else set()
    return set()


@dataclass(frozen=True)
class CategoryEncoder:
    """Encoder of all category columns: one-hot inputs first, then an index per embedded column.

    Attributes:
        vocabularies: of the columns, in order.
    """

    vocabularies: tuple[Vocabulary, ...]

    @classmethod
    def fit(cls, categories: NDArray[Any]) -> CategoryEncoder:
        """Return the encoder of training rows, str objects (rows, columns), "" where missing."""
        return cls(tuple(Vocabulary.fit(column) for column in categories.T))

    @cached_property
    def one_hot_size(self) -> int:
        """Number of one-hot inputs."""
        return sum(v.size for v in self.vocabularies if not v.is_embedded)

    @cached_property
    def indices(self) -> tuple[int, ...]:
        """Number of indices of each embedded column, in order."""
        return tuple(v.indices for v in self.vocabularies if v.is_embedded)

    @property
    def size(self) -> int:
        """Number of network inputs."""
        return self.one_hot_size + len(self.indices)

    @cached_property
    def _columns(self) -> list[tuple[int, Vocabulary]]:
        """Columns with inputs and their indices; one-hot columns first."""
        used = [(i, v) for i, v in enumerate(self.vocabularies) if v.size]
        return sorted(used, key=lambda column: column[1].is_embedded)

    @cached_property
    def _starts(self) -> list[int]:
        """First input of each of ``_columns``."""
        sizes = [vocabulary.size for _, vocabulary in self._columns]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    def write(self, categories: NDArray[Any], inputs: NDArray[np.float32]) -> None:
        """Write categories, (rows, columns), into network inputs, zeros of (rows, size)."""
        rows = np.arange(len(categories))
        for (column, vocabulary), start in zip(self._columns, self._starts, strict=True):
            encodings = vocabulary.encodings
            codes = {level: code for code, level in enumerate(encodings)}
            positions, values = zip(*encodings.values(), vocabulary.other, strict=True)
            # A look-up takes 50 ns per cell; sorting an array of texts takes longer.
            code_of_rows = map(codes.get, categories[:, column].tolist(), repeat(len(encodings)))
            code = np.fromiter(code_of_rows, np.int64, count=len(rows))
            inputs[rows, start + np.array(positions)[code]] = np.array(values, np.float32)[code]

    def transform(self, categories: NDArray[Any]) -> NDArray[np.float32]:
        """Return the inputs, float32 (rows, size), of categories (rows, columns)."""
        inputs = np.zeros((len(categories), self.size), np.float32)
        self.write(categories, inputs)
        return inputs

    def emit(self, graph: Graph, categories: str) -> list[str]:
        """Add the same computation as nodes, from a string input (N, columns).

        One look-up serves all columns: the key of a cell is its column's index and its category. So
        the number of nodes does not depend on the number of columns.

        Returns:
            The one-hot inputs, then the indices; an empty part is left out.
        """
        if not self._columns:
            return []
        table = self._look_up_table()
        ids, values = self._emit_look_up(graph, categories, table)
        one_hot = len(self._columns) - len(self.indices)
        parts = []
        if one_hot:
            own = graph.columns(ids, 0, one_hot) if self.indices else ids
            parts.append(self._emit_one_hot(graph, categories, own, table.positions, values))
        if self.indices:
            own = graph.columns(ids, one_hot, len(self._columns)) if one_hot else ids
            parts.append(graph.add("Gather", values, own))
        return parts

    def _look_up_table(self) -> _LookUpTable:
        """Return the table of all columns with inputs; rare and unseen levels come first."""
        columns = list(zip(self._starts, self._columns, strict=True))
        keys = []
        rows = [(start + v.other[0], v.other[1]) for start, (_, v) in columns]
        for start, (column, vocabulary) in columns:
            for level, (position, value) in vocabulary.encodings.items():
                keys.append(f"{column}{SEPARATOR}{level}")
                rows.append((start + position, value))
        positions, values = zip(*rows, strict=True)
        return _LookUpTable(keys, np.array(positions, np.int64), np.array(values, np.float32))

    def _emit_look_up(self, graph: Graph, categories: str, table: _LookUpTable) -> tuple[str, str]:
        """Add the look-up; return the row of each cell in the table, and the table's values."""
        columns = [column for column, _ in self._columns]
        if columns != list(range(len(self.vocabularies))):
            categories = graph.add(
                "Gather", categories, graph.constant(np.array(columns), "used"), axis=1
            )
        prefixes = np.array([[f"{column}{SEPARATOR}" for column in columns]], dtype=object)
        cells = graph.add("StringConcat", graph.constant(prefixes, "columns"), categories)
        known = graph.add(
            "LabelEncoder",
            cells,
            domain="ai.onnx.ml",
            keys_strings=table.keys,
            values_int64s=list(range(len(columns), len(table.values))),
            default_int64=-1,
        )
        # The look-up gives -1 for rare and unseen levels, whose rows come first, one per column. So
        # the maximum of both is the right row.
        others = np.arange(len(columns))[None, :]
        ids = graph.add("Max", known, graph.constant(others, "others"))
        return ids, graph.constant(table.values, "values")

    def _emit_one_hot(
        self, graph: Graph, categories: str, ids: str, positions: NDArray[np.int64], values: str
    ) -> str:
        """Add the one-hot inputs: zeros, with the value of each cell at its position."""
        shape = graph.add(
            "Concat",
            graph.add("Shape", categories, start=0, end=1),
            graph.constant(np.array([self.one_hot_size]), "width"),
            axis=0,
        )
        zeros = graph.add("Expand", graph.constant(np.zeros((1, 1), np.float32), "zero"), shape)
        position = graph.add("Gather", graph.constant(positions, "places"), ids)
        value = graph.add("Gather", values, ids)
        return graph.add("ScatterElements", zeros, position, value, axis=1)


@dataclass(frozen=True)
class _LookUpTable:
    """One row per column for its rare and unseen levels, then one row per known level.

    Attributes:
        keys: column index, separator and level of the known levels.
        positions: input of each row, int64 (rows,).
        values: value of the input, float32 (rows,).
    """

    keys: list[str]
    positions: NDArray[np.int64]
    values: NDArray[np.float32]
