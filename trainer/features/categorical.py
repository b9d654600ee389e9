"""Categories as network inputs: one-hot where a column has few levels, an index where it has many.

What the levels of a column are is decided by its training rows:

    rare      levels of fewer than 5 rows share one place, and so does whatever was never seen
    missing   has a place of its own from 5 rows on, else it is all zeros
    many      a column of 33 levels or more is one input, the level's index, for the network to look
              up in an embedding; fewer are one-hot, and two are +1 and -1 in one input
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
"""Between a column's number and a category in the keys of the graph's one table."""

BINARY = 2
"""Two levels need one input, +1 or -1."""

EMBEDDED_FROM = 33
"""So many levels, the rare and the missing ones counted as one each, are looked up by their index
rather than one-hot: from here on a layer's weights would mostly be multiplied by zeros."""


@dataclass(frozen=True)
class Vocabulary:
    """The levels of one column that the network tells apart.

    Attributes:
        levels: those with a place of their own, sorted.
        rare: whether all others, and those never seen, share a place.
        missing: whether a missing category has a place.
    """

    levels: tuple[str, ...]
    rare: bool = False
    missing: bool = False

    @classmethod
    def fit(cls, column: NDArray[Any]) -> Vocabulary:
        """The vocabulary of a column's training rows, str objects (rows,), "" where missing."""
        counts = Counter(column.tolist())
        gaps = counts.pop("", 0)
        rare = _rare(counts)
        return cls(
            tuple(sorted(counts.keys() - rare)),
            rare=bool(rare),
            missing=bool(counts) and gaps >= FEW_ROWS,
        )

    @property
    def is_embedded(self) -> bool:
        """Whether it is one input, the level's index."""
        return len(self.levels) + self.rare + self.missing >= EMBEDDED_FROM

    @property
    def is_binary(self) -> bool:
        """Whether its levels are +1 and -1 in one input."""
        return len(self.levels) + self.rare == BINARY

    @property
    def size(self) -> int:
        """How many inputs there are: of one-hot places, or the one of an index."""
        if self.is_embedded:
            return 1
        return (1 if self.is_binary else len(self.levels) + self.rare) + self.missing

    @property
    def indices(self) -> int:
        """How many different indices there are, where it is embedded."""
        return 1 + len(self.levels) + self.missing

    @cached_property
    def cells(self) -> Mapping[str, tuple[int, float]]:
        """Which of its inputs each level writes to, and what; "" is a missing one."""
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
        """The same for whatever is none of the levels: rare, or never seen."""
        if self.is_embedded or not self.rare:
            return 0, 0.0
        return (0, -1.0) if self.is_binary else (len(self.levels), 1.0)


def _rare(counts: Mapping[str, int]) -> set[str]:
    """The levels to pool.

    They are those of fewer than ``FEW_ROWS`` rows, or of fewer still, so that at least half of the
    rows keep their level: in a small table, or where no level has many rows, the rare ones are all
    there is to learn from. Two levels are kept, and a single rare one is no pool.
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
    """All columns of categories: one-hot inputs first, then an index for each embedded column.

    Attributes:
        vocabularies: of the columns, in order.
    """

    vocabularies: tuple[Vocabulary, ...]

    @classmethod
    def fit(cls, categories: NDArray[Any]) -> CategoryEncoder:
        """The encoder of these training rows: str objects (rows, columns), "" where missing."""
        return cls(tuple(Vocabulary.fit(column) for column in categories.T))

    @cached_property
    def places(self) -> int:
        """How many one-hot inputs there are."""
        return sum(v.size for v in self.vocabularies if not v.is_embedded)

    @cached_property
    def indices(self) -> tuple[int, ...]:
        """How many different indices each embedded column has, in order."""
        return tuple(v.indices for v in self.vocabularies if v.is_embedded)

    @property
    def size(self) -> int:
        """How many inputs there are."""
        return self.places + len(self.indices)

    @cached_property
    def _columns(self) -> list[tuple[int, Vocabulary]]:
        """The columns that have inputs, each with its number: one-hot ones first."""
        used = [(i, v) for i, v in enumerate(self.vocabularies) if v.size]
        return sorted(used, key=lambda column: column[1].is_embedded)

    @cached_property
    def _starts(self) -> list[int]:
        """The first input of each of ``_columns``."""
        sizes = [vocabulary.size for _, vocabulary in self._columns]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    def write(self, categories: NDArray[Any], inputs: NDArray[np.float32]) -> None:
        """Writes categories, (rows, columns), into network inputs, zeros of (rows, size)."""
        rows = np.arange(len(categories))
        for (column, vocabulary), start in zip(self._columns, self._starts, strict=True):
            cells = vocabulary.cells
            codes = {level: code for code, level in enumerate(cells)}
            places, values = zip(*cells.values(), vocabulary.other, strict=True)
            # Looking a cell up takes 50 ns; to make an array of texts for a sort takes longer.
            found = map(codes.get, categories[:, column].tolist(), repeat(len(cells)))
            code = np.fromiter(found, np.int64, count=len(rows))
            inputs[rows, start + np.array(places)[code]] = np.array(values, np.float32)[code]

    def transform(self, categories: NDArray[Any]) -> NDArray[np.float32]:
        """Categories as network inputs, float32 (rows, size) from (rows, columns)."""
        inputs = np.zeros((len(categories), self.size), np.float32)
        self.write(categories, inputs)
        return inputs

    def emit(self, graph: Graph, categories: str) -> list[str]:
        """The same as nodes, from a string input (N, columns): one-hot inputs, then indices.

        One look-up serves all columns: a cell's key is its column's number and its category. So
        the graph's length does not depend on how many columns there are. A part without inputs is
        left out.
        """
        if not self._columns:
            return []
        ids, places, values = self._emit_look_up(graph, categories)
        hot = len(self._columns) - len(self.indices)
        parts = []
        if hot:
            own = graph.columns(ids, 0, hot) if self.indices else ids
            shape = graph.add(
                "Concat",
                graph.add("Shape", categories, start=0, end=1),
                graph.constant(np.array([self.places]), "width"),
                axis=0,
            )
            zeros = graph.add("Expand", graph.constant(np.zeros((1, 1), np.float32), "zero"), shape)
            place = graph.add("Gather", graph.constant(places, "places"), own)
            value = graph.add("Gather", values, own)
            parts.append(graph.add("ScatterElements", zeros, place, value, axis=1))
        if self.indices:
            own = graph.columns(ids, hot, len(self._columns)) if hot else ids
            parts.append(graph.add("Gather", values, own))
        return parts

    def _emit_look_up(self, graph: Graph, categories: str) -> tuple[str, NDArray[np.int64], str]:
        """For each cell of ``_columns`` its row in two tables: the input it writes to, and what."""
        columns = [column for column, _ in self._columns]
        if columns != list(range(len(self.vocabularies))):
            categories = graph.add(
                "Gather", categories, graph.constant(np.array(columns), "used"), axis=1
            )
        # The first rows are those of what is no level, one for each column; -1 marks such cells,
        # and as all other rows come after, the larger of the two is the right one.
        rows = [
            (start + vocabulary.other[0], vocabulary.other[1])
            for start, (_, vocabulary) in zip(self._starts, self._columns, strict=True)
        ]
        others = np.arange(len(rows))[None, :]
        keys = []
        for start, (column, vocabulary) in zip(self._starts, self._columns, strict=True):
            for level, (place, value) in vocabulary.cells.items():
                keys.append(f"{column}{SEPARATOR}{level}")
                rows.append((start + place, value))
        prefixes = np.array([[f"{column}{SEPARATOR}" for column in columns]], dtype=object)
        cells = graph.add("StringConcat", graph.constant(prefixes, "columns"), categories)
        known = graph.add(
            "LabelEncoder",
            cells,
            domain="ai.onnx.ml",
            keys_strings=keys,
            values_int64s=list(range(others.size, len(rows))),
            default_int64=-1,
        )
        ids = graph.add("Max", known, graph.constant(others, "others"))
        places = np.array([place for place, _ in rows], np.int64)
        values = graph.constant(np.array([value for _, value in rows], np.float32), "values")
        return ids, places, values
