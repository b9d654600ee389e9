"""Columns that grow block by block while a file is read.

A column of numbers is held as float64 as soon as a block of its text is there: 8 bytes a cell,
where a number with 17 digits takes 24 as text. What of the text may still be asked for is kept
beside it: the first cells that are no numbers, and the largest and smallest numbers. Those are
the ones that findings cite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..cells.decimal_commas import DecimalCommaDetector, with_points
from ..cells.numbers import parse
from ..cells.text import tidy
from ..column import NEARLY_ALL

KEPT = 16
"""Cells of each sort whose text is kept. A finding cites three, but rows may be dropped first."""


@dataclass(frozen=True)
class CsvColumn:
    """A column of a CSV file as it is held.

    Attributes:
        cells: text, null where missing; or float64, null where missing, NaN where no number.
        spelled: of float64 cells the text of some by place, among them those that findings cite;
            None where the cells are text.
        has_commas: whether decimal commas were turned into points.
    """

    cells: pa.ChunkedArray[Any]
    spelled: dict[int, str] | None = None
    has_commas: bool = False


class ColumnBuilder:
    """A column of a CSV file: numbers where nearly all of its filled cells are, else text.

    The first block with a filled cell decides; a column that is text then stays text.

    Args:
        as_text: hold it as text whatever is in it.
        commas: whether its numbers may have decimal commas.
    """

    def __init__(self, *, as_text: bool, commas: bool) -> None:
        self.rows = 0
        self.text: list[pa.Array[Any]] = []
        self.numbers: GrowingNumbers | None = None
        self._commas = commas
        self._is_decided = as_text

    def add(self, cells: pa.Array[Any]) -> None:
        """Takes the next block of cells, text with nulls."""
        if not self._is_decided:
            self._decide(cells)
        if self.numbers is None:
            self.text.append(tidy(cells))
        else:
            self.numbers.add(cells)
        self.rows += len(cells)

    def _decide(self, cells: pa.Array[Any]) -> None:
        kinds = (PointNumbers, CommaNumbers) if self._commas else (GrowingNumbers,)
        for kind in kinds:
            trial = kind()
            trial.add(cells)
            if not trial.filled:
                return
            if trial.are_usual:
                self.text = []
                self.numbers = kind()
                self.numbers.add(pa.nulls(self.rows, pa.string()))
                break
        self._is_decided = True

    @property
    def is_to_be_read_again(self) -> bool:
        """Whether it was held as numbers and is text after all, or may be."""
        return self.numbers is not None and not self.numbers.are_certain

    def held(self) -> CsvColumn:
        """The whole column; it is not to be one that must be read again."""
        if self.numbers is not None:
            numbers = self.numbers
            return CsvColumn(numbers.column(), numbers.spelled, numbers.has_commas)
        cells = pa.chunked_array(self.text, pa.string())
        if not self._commas:
            return CsvColumn(cells)
        commas = DecimalCommaDetector()
        have_commas = commas.see(cells)
        if not (commas.is_usual and commas.is_sure):
            return CsvColumn(cells)
        return CsvColumn(with_points(cells, have_commas), has_commas=True)


class GrowingNumbers:
    """The cells of a column as numbers, with the text of a few.

    Attributes:
        rows: how many cells there are.
        filled: how many of them are not missing.
        unparsable: how many of those are no numbers.
        has_commas: whether decimal commas are turned into points.
        has_codes: whether a whole number has a zero in front, as codes may (007): then the text of
            all may be asked for.
    """

    has_commas = False

    def __init__(self) -> None:
        self.rows = 0
        self.filled = 0
        self.unparsable = 0
        self.has_codes = False
        self._pages: list[NDArray[np.float64]] = []
        self._room = 0  # in the last page
        self._words: list[NDArray[np.int64]] = []  # places of cells that are no numbers
        self._known_words = pa.array([], pa.string())
        self._first_words: dict[int, str] = {}
        self._largest, self._smallest = _Foremost(), _Foremost()

    def add(self, cells: pa.Array[Any]) -> None:
        """Takes the next block of cells, text with nulls, blanks around them or not."""
        values, cells = self._read(cells)
        self.filled += len(cells) - cells.null_count
        is_filled = cells.is_valid().to_numpy(zero_copy_only=False)
        words = np.flatnonzero(np.isnan(values) & is_filled)
        if len(words):
            self._add_words(cells, words)
        self.has_codes = self.has_codes or _have_codes(values, cells)
        self._largest.see(values, cells, self.rows)
        self._smallest.see(-values, cells, self.rows)
        self._store(values)
        self.rows += len(values)

    def _read(self, cells: pa.Array[Any]) -> tuple[NDArray[np.float64], pa.Array[Any]]:
        """The cells as float64 (rows,), NaN where they are no numbers, and as tidy text."""
        # A cast takes no blanks and no words, but a third of the time. So it is tried first, and
        # again without the words that the column is known for: most have one or two.
        values = _cast(cells, self._known_words)
        if values is None:
            cells = tidy(cells)
            values = _cast(cells, self._known_words)
        if values is None:
            values = parse(cells)
            if len(self._known_words) < KEPT:
                words = cells.filter(pa.array(np.isnan(values))).drop_null().unique()
                self._known_words = pa.concat_arrays([self._known_words, words]).slice(0, KEPT)
        return values, cells

    def _add_words(self, cells: pa.Array[Any], words: NDArray[np.int64]) -> None:
        self.unparsable += len(words)
        self._words.append(words + self.rows)
        for place in words[: KEPT - len(self._first_words)].tolist():
            self._first_words[self.rows + place] = cells[place].as_py()

    def _store(self, values: NDArray[np.float64]) -> None:
        """Copies a block to the pages, each as large as all before it: so they are few and large.

        Memory of large pages is only taken up as it is written to, and is given back when it is
        freed; that of as many small arrays as there are blocks would stay with the process.
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
    def are_usual(self) -> bool:
        """Whether nearly all filled cells are numbers, as the rules ask, and none is a code."""
        return not self.has_codes and self.unparsable <= (1 - NEARLY_ALL) * self.filled

    @property
    def are_certain(self) -> bool:
        """Whether the column, now that all of it was seen, is one of these numbers."""
        return self.are_usual

    @property
    def spelled(self) -> dict[int, str]:
        """The text of some cells by place, among them the ones that findings cite."""
        return {**self._first_words, **self._largest.texts, **self._smallest.texts}

    def column(self) -> pa.ChunkedArray[Any]:
        """The numbers as float64: null where a cell is missing, NaN where it is no number."""
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


class PointNumbers(GrowingNumbers):
    """Numbers with points in a file whose numbers may have commas."""

    @property
    def are_certain(self) -> bool:
        """Whether none of the cells was a word, which a number with a comma is here."""
        return super().are_certain and not self.unparsable


class CommaNumbers(GrowingNumbers):
    """Numbers with decimal commas."""

    has_commas = True

    def __init__(self) -> None:
        super().__init__()
        self._commas = DecimalCommaDetector()

    def add(self, cells: pa.Array[Any]) -> None:
        """Takes the next block of cells, with commas."""
        cells = tidy(cells)
        super().add(with_points(cells, self._commas.see(cells)))

    @property
    def are_usual(self) -> bool:
        """Whether nearly all filled cells are numbers that may have a comma."""
        return super().are_usual and self._commas.is_usual

    @property
    def are_certain(self) -> bool:
        """Whether the commas are no separators of thousands."""
        return super().are_certain and self._commas.is_sure


class _Foremost:
    """The places of the largest values seen so far, the earliest first among equals."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self._values = np.empty(0)
        self._places = np.empty(0, np.int64)

    def see(self, values: NDArray[np.float64], cells: pa.Array[Any], start: int) -> None:
        """Looks at a block of values, its cells, and the place of the first one."""
        bar = self._values[-1] if len(self._values) == KEPT else -np.inf
        new = np.flatnonzero(values > bar)
        if not len(new):
            return
        joined = np.concatenate([self._values, values[new]])
        places = np.concatenate([self._places, new + start])
        order = np.argsort(-joined, kind="stable")[:KEPT]
        self._values, self._places = joined[order], places[order]
        self.texts = {
            place: self.texts[place] if place < start else cells[place - start].as_py()
            for place in self._places.tolist()
        }


def _cast(cells: pa.Array[Any], words: pa.Array[Any]) -> NDArray[np.float64] | None:
    """Cells without these words as float64 (rows,), or None if any of them is no plain number."""
    if len(words):
        cells = pc.if_else(pc.is_in(cells, words), None, cells)
    try:
        return np.asarray(cells.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        return None


def _have_codes(values: NDArray[np.float64], cells: pa.Array[Any]) -> bool:
    """Whether any of the cells, whose values are given, is digits with a zero in front."""
    whole = values == np.floor(values)
    if not whole.any():
        return False
    zero_first = pc.and_(pc.starts_with(cells, "0"), pc.greater(pc.binary_length(cells), 1))
    places = np.flatnonzero(
        whole & zero_first.fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    )
    digits = pc.match_substring_regex(cells.take(pa.array(places)), "^[0-9]+$")
    return bool(pc.any(digits).as_py())
