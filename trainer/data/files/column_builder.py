"""Builds columns block by block while a file is read.

A column of numbers is held as float64: 8 bytes per cell, while a number of 17 digits takes 24 bytes as
text. The builder keeps the text of cells that findings cite: the first cells that are not numbers, and
the largest and smallest numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..cells.decimal_commas import DecimalCommaDetector, with_points
from ..cells.numbers import NEARLY_ALL, parse_numbers
from ..cells.text import tidy

MAX_TEXTS = 16
"""Cells of each kind whose text the builder keeps. A finding cites three, but some rows may be dropped
before, because they have no label."""


@dataclass(frozen=True)
class CsvColumn:
    """A column of a CSV file.

    Attributes:
        cells: text, or float64 with NaN for cells that are not numbers; missing cells are null.
        texts: for float64, the text of some cells by index; None for text.
        has_decimal_commas: whether decimal commas became points.
    """

    cells: pa.ChunkedArray[Any]
    texts: dict[int, str] | None = None
    has_decimal_commas: bool = False


class ColumnBuilder:
    """Builds a column of a CSV file: numbers if nearly all filled cells are numbers, else text.

    The first block with a filled cell decides; text stays text.

    Args:
        as_text: whether to hold it as text in any case.
        commas: whether numbers may have decimal commas.
    """

    def __init__(self, *, as_text: bool, commas: bool) -> None:
        self.rows = 0
        self.text: list[pa.Array[Any]] = []
        self.numbers: NumbersBuilder | None = None
        self._commas = commas
        self._is_decided = as_text

    def add(self, cells: pa.Array[Any]) -> None:
        """Add the next block of cells, text with nulls."""
        if not self._is_decided:
            self._decide(cells)
        if self.numbers is None:
            self.text.append(tidy(cells))
        else:
            self.numbers.add(cells)
        self.rows += len(cells)

    def _decide(self, cells: pa.Array[Any]) -> None:
        if not len(tidy(cells).drop_null()):
            return
        self._is_decided = True
        candidates = (
            (PointNumbersBuilder, CommaNumbersBuilder) if self._commas else (NumbersBuilder,)
        )
        for builder in candidates:
            trial = builder()
            trial.add(cells)
            if trial.is_plausible:
                self.text = []
                self.numbers = builder()
                self.numbers.add(pa.nulls(self.rows, pa.string()))
                return

    @property
    def needs_second_reading(self) -> bool:
        """Whether the column is held as numbers, but is or may be text."""
        return self.numbers is not None and not self.numbers.is_certain

    def build(self) -> CsvColumn:
        """Return the whole column; it must not need a second reading."""
        if self.numbers is not None:
            numbers = self.numbers
            return CsvColumn(numbers.column(), numbers.texts, numbers.has_decimal_commas)
        cells = pa.chunked_array(self.text, pa.string())
        if not self._commas:
            return CsvColumn(cells)
        commas = DecimalCommaDetector()
        have_commas = commas.add(cells)
        if not (commas.is_plausible and commas.is_certain):
            return CsvColumn(cells)
        return CsvColumn(with_points(cells, have_commas), has_decimal_commas=True)


class NumbersBuilder:
    """Builds the numbers of a column, with the text of a few cells.

    Attributes:
        rows: number of cells.
        filled: number of filled cells.
        unparsable: number of filled cells that are not numbers.
        has_decimal_commas: whether decimal commas become points.
        has_codes: whether an integer has a leading zero, like a code (007): then all text may be
            needed.
    """

    has_decimal_commas = False

    def __init__(self) -> None:
        self.rows = 0
        self.filled = 0
        self.unparsable = 0
        self.has_codes = False
        self._pages: list[NDArray[np.float64]] = []
        self._room = 0  # free cells of the last page
        self._words: list[NDArray[np.int64]] = []  # indices of cells that are not numbers
        self._known_words = pa.array([], pa.string())
        self._first_words: dict[int, str] = {}
        self._largest, self._smallest = _Largest(), _Largest()

    def add(self, cells: pa.Array[Any]) -> None:
        """Add the next block of cells, text with nulls, trimmed or not."""
        values, cells = self._read(cells)
        self.filled += len(cells) - cells.null_count
        is_filled = cells.is_valid().to_numpy(zero_copy_only=False)
        words = np.flatnonzero(np.isnan(values) & is_filled)
        if len(words):
            self._add_words(cells, words)
        self.has_codes = self.has_codes or _have_codes(values, cells)
        self._largest.add(values, cells, self.rows)
        self._smallest.add(-values, cells, self.rows)
        self._store(values)
        self.rows += len(values)

    def _read(self, cells: pa.Array[Any]) -> tuple[NDArray[np.float64], pa.Array[Any]]:
        """Return the cells as float64 (rows,), NaN for other text, and as trimmed text."""
        # A cast fails on blanks and words, but takes a third of the time. So it is tried first, and
        # again without the column's known words: most columns have one or two.
        values = _cast(cells, self._known_words)
        if values is None:
            cells = tidy(cells)
            values = _cast(cells, self._known_words)
        if values is None:
            values = parse_numbers(cells)
            if len(self._known_words) < MAX_TEXTS:
                words = cells.filter(pa.array(np.isnan(values))).drop_null().unique()
                self._known_words = pa.concat_arrays([self._known_words, words]).slice(0, MAX_TEXTS)
        return values, cells

    def _add_words(self, cells: pa.Array[Any], words: NDArray[np.int64]) -> None:
        self.unparsable += len(words)
        self._words.append(words + self.rows)
        for index in words[: MAX_TEXTS - len(self._first_words)].tolist():
            self._first_words[self.rows + index] = cells[index].as_py()

    def _store(self, values: NDArray[np.float64]) -> None:
        """Copy a block to the pages; each page is as large as all before it.

        Large pages take memory only as they are written, and return it when freed. Many small arrays
        would stay with the process.
        """
        while len(values):
            if not self._room:
                self._room = max(self.rows, len(values))
                self._pages.append(np.empty(self._room, np.float64))
            start = len(self._pages[-1]) - self._room
            part = values[: self._room]
            self._pages[-1][start : start + len(part)] = part
            self._room -= len(part)
            values = values[len(part) :]

    @property
    def is_plausible(self) -> bool:
        """Whether nearly all filled cells are numbers, and none is a code."""
        return not self.has_codes and self.unparsable <= (1 - NEARLY_ALL) * self.filled

    @property
    def is_certain(self) -> bool:
        """Whether the complete column consists of such numbers."""
        return self.is_plausible

    @property
    def texts(self) -> dict[int, str]:
        """Text of some cells by index, including those that findings cite."""
        return {**self._first_words, **self._largest.texts, **self._smallest.texts}

    def column(self) -> pa.ChunkedArray[Any]:
        """Return the numbers as float64: null for missing cells, NaN for other text."""
        words = np.concatenate([np.empty(0, np.int64), *self._words])
        chunks, start = [], 0
        for page in self._pages:
            values = page[: self.rows - start]
            missing = np.isnan(values)
            here = words[(words >= start) & (words < start + len(values))]
            missing[here - start] = False
            chunks.append(pa.array(values, mask=missing))
            start += len(values)
        return pa.chunked_array(chunks, pa.float64())


class PointNumbersBuilder(NumbersBuilder):
    """Numbers with decimal points in a file that may have decimal commas."""

    @property
    def is_certain(self) -> bool:
        """Whether no cell was other text, such as a number with a comma."""
        return super().is_certain and not self.unparsable


class CommaNumbersBuilder(NumbersBuilder):
    """Numbers with decimal commas."""

    has_decimal_commas = True

    def __init__(self) -> None:
        super().__init__()
        self._commas = DecimalCommaDetector()

    def add(self, cells: pa.Array[Any]) -> None:
        """Add the next block of cells, with commas."""
        cells = tidy(cells)
        super().add(with_points(cells, self._commas.add(cells)))

    @property
    def is_plausible(self) -> bool:
        """Whether nearly all filled cells are numbers that may have a comma."""
        return super().is_plausible and self._commas.is_plausible

    @property
    def is_certain(self) -> bool:
        """Whether the commas can't be thousands separators."""
        return super().is_certain and self._commas.is_certain


class _Largest:
    """Indices of the largest values so far; of equals, the earliest first."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self._values = np.empty(0)
        self._indices = np.empty(0, np.int64)

    def add(self, values: NDArray[np.float64], cells: pa.Array[Any], start: int) -> None:
        """Add a block of values with its cells and the index of the first one."""
        least = self._values[-1] if len(self._values) == MAX_TEXTS else -np.inf
        new = np.flatnonzero(values > least)
        if not len(new):
            return
        candidates = np.concatenate([self._values, values[new]])
        indices = np.concatenate([self._indices, new + start])
        order = np.argsort(-candidates, kind="stable")[:MAX_TEXTS]
        self._values, self._indices = candidates[order], indices[order]
        self.texts = {
            index: self.texts[index] if index < start else cells[index - start].as_py()
            for index in self._indices.tolist()
        }


def _cast(cells: pa.Array[Any], words: pa.Array[Any]) -> NDArray[np.float64] | None:
    """Return cells without these words as float64 (rows,), or None if one is not a plain number."""
    if len(words):
        cells = pc.if_else(pc.is_in(cells, words), None, cells)
    try:
        return np.asarray(cells.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        return None


def _have_codes(values: NDArray[np.float64], cells: pa.Array[Any]) -> bool:
    """Return whether any cell is digits with a leading zero."""
    whole = values == np.floor(values)
    if not whole.any():
        return False
    zero_first = pc.and_(pc.starts_with(cells, "0"), pc.greater(pc.binary_length(cells), 1))
    indices = np.flatnonzero(
        whole & zero_first.fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    )
    digits = pc.match_substring_regex(cells.take(pa.array(indices)), "^[0-9]+$")
    return bool(pc.any(digits).as_py())
