"""A table file in memory, before anyone has said what its columns mean."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import TableError
from .cells.text import category_text
from .column import NEARLY_ALL
from .files.csv_file import DelimitedFile
from .files.parquet_file import read_parquet
from .findings import SHOWN, Finding, listed

PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"

FIRST_ROW = 2
"""Of a CSV file: the row below the header."""


@dataclass(frozen=True)
class Spelling:
    """How the cells of a column that is held as numbers are written in its file.

    Attributes:
        file: the CSV file.
        place: the column's place in it.
        cells: how many cells it has there.
        known: the text of some cells by row.
    """

    file: DelimitedFile
    place: int
    cells: int
    known: dict[int, str]

    def of(self, rows: NDArray[np.int64]) -> pa.ChunkedArray[Any]:
        """The text of the cells in these rows, as tidy as any; the file is read for it again."""
        return self.file.text(self.place, self.cells).take(pa.array(rows - FIRST_ROW))


@dataclass(frozen=True)
class Table:
    """The columns of one file, and where each row stands in it.

    Attributes:
        path: the file as the user named it.
        columns: one pyarrow column per column of the file; a missing cell is null. From CSV a
            column is text, or float64 with NaN for what is no number; from Parquet columns keep
            their types.
        rows: int64 (rows,), the row numbers a person would look for: the header of a CSV file is
            row 1 and blank lines don't count; the first row of a Parquet file is row 1.
        findings: what was found while reading.
        spellings: how the cells of those columns that are float64, though text in the file, are
            written there, by name.
    """

    path: str
    columns: pa.Table
    rows: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()
    spellings: dict[str, Spelling] = field(default_factory=dict)

    @classmethod
    def numbered(cls, path: str, columns: pa.Table, first_row: int = FIRST_ROW) -> Self:
        """A table whose rows are numbered on from ``first_row``."""
        return cls(path, columns, np.arange(columns.num_rows, dtype=np.int64) + first_row)

    @property
    def names(self) -> list[str]:
        """The column names, in the order of the file."""
        return list(self.columns.column_names)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.ChunkedArray[Any]:
        """The cells of one column.

        Raises:
            TableError: there is no such column; names the one that may have been meant.
        """
        if name in self.names:
            return self.columns[name]
        folded = {known.casefold(): known for known in self.names}
        near = difflib.get_close_matches(name.casefold(), folded, n=1)
        advice = (
            f"did you mean {folded[near[0]]!r}?"
            if near
            else f"the columns are {listed(self.names[:20], len(self.names))}"
        )
        raise TableError(f"there is no such column; {advice}", path=self.path, column=name)

    def text(self, name: str) -> pa.ChunkedArray[Any]:
        """The cells of one column as they are written, if they are text in the file."""
        return self.as_written([name]).columns[name]

    def as_written(self, names: Collection[str]) -> Self:
        """The same table, with those of the named columns that are held as numbers as text again.

        The file is read once more for each of them.
        """
        table = self
        for name in self.spellings.keys() & set(names):
            place = self.names.index(name)
            cells = self.spellings[name].of(self.rows)
            others = {key: value for key, value in table.spellings.items() if key != name}
            columns = table.columns.set_column(place, name, cells)
            table = replace(table, columns=columns, spellings=others)
        return table

    def cite(self, name: str, places: NDArray[np.int64]) -> str:
        """The first of a column's cells at ``places``, with rows: "57 (row 13) and 2 more"."""
        rows = self.rows[places[:SHOWN]]
        cells = self._written(name, places[:SHOWN])
        shown = [
            f"{text if text.isprintable() else ascii(text)} (row {row})"
            for text, row in zip(cells, rows, strict=True)
        ]
        return listed(shown, len(places))

    def _written(self, name: str, places: NDArray[np.int64]) -> list[str]:
        """Cells of a column as text."""
        rows = self.rows[places]
        if spelling := self.spellings.get(name):
            known = [spelling.known.get(row) for row in rows.tolist()]
            texts = [text for text in known if text is not None]
            return texts if len(texts) == len(rows) else spelling.of(rows).to_pylist()
        return [category_text(cell.as_py()) for cell in self.columns[name].take(pa.array(places))]

    def where(self, mask: NDArray[np.bool_]) -> Self:
        """The rows where ``mask``, bool (rows,), is true; they keep their row numbers."""
        if mask.all():
            return self  # spares a second copy of a large table
        part = replace(self, columns=self.columns.filter(pa.array(mask)), rows=self.rows[mask])
        # Fewer rows may hold a larger share of words.
        return part.as_written([n for n in self.spellings if not _are_numbers(part.columns[n])])


def _are_numbers(column: pa.ChunkedArray[Any]) -> bool:
    """Whether nearly all filled cells of a float64 column are numbers, as the rules ask of one."""
    words = pc.sum(pc.is_nan(column)).as_py() or 0
    return bool(words <= (1 - NEARLY_ALL) * (len(column) - column.null_count))


def release_memory() -> None:
    """Give back to the system what tables that are no more have held: pyarrow keeps it for others."""
    pa.default_memory_pool().release_unused()


def digest(path: str) -> str:
    """The sha256 of a table's file, hexadecimal; the file may be larger than the memory."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_table(
    path: str | Path, as_text: Collection[str] | None = None, block_bytes: int | None = None
) -> Table:
    """Reads a CSV or Parquet file.

    CSV: comma, semicolon, tab or pipe, whichever the file uses; quoted cells; UTF-8 with or
    without a byte order mark; plain or gzip. Parquet is known by its first bytes, not its name.
    Text cells are trimmed, and those listed in ``trainer.data.cells.text.MISSING`` are missing.

    Args:
        path: the file.
        as_text: columns of a CSV file to hold as text even if they are numbers, for class names
            are spelled as they are written; where None, all are. Other columns of numbers are
            held as float64, which takes a third of the memory of long decimals.
        block_bytes: how much of a CSV file is read at a time, if not what suits it; no row
            may be longer.

    Raises:
        TableError: the file can't be opened, is no table, is damaged, has no rows, or has two
            columns of one name.
    """
    name = str(path)
    opening = _opening(name)
    if opening.startswith(ZIP_MAGIC):
        raise TableError(
            "this is a zip archive or an Excel workbook; save the sheet as CSV", path=name
        )
    if opening == PARQUET_MAGIC:
        return _named(Table.numbered(name, read_parquet(name), first_row=1))
    if name.endswith(".parquet"):
        raise TableError("this is not a Parquet file, whatever its name says", path=name)
    return _delimited(DelimitedFile.open(name, block_bytes), as_text)


def _delimited(file: DelimitedFile, as_text: Collection[str] | None) -> Table:
    """The table of a CSV file."""
    names = _names(file.header)
    places = range(len(names))
    held = file.read([i for i in places if as_text is None or names[i] in as_text])
    columns = pa.Table.from_arrays([column.cells for column in held], names=file.header)
    table = Table.numbered(file.path, columns)
    findings = tuple(
        Finding("decimal-comma", name, f"Column {name!r} is read with decimal commas.")
        for name, column in zip(names, held, strict=True)
        if column.has_commas
    )
    spellings = {
        names[i]: Spelling(
            file, i, len(table), {place + FIRST_ROW: text for place, text in column.spelled.items()}
        )
        for i, column in enumerate(held)
        if column.spelled is not None
    }
    # What the text took up would stay with the process, beside all that follows.
    pa.default_memory_pool().release_unused()
    return _named(replace(table, findings=findings, spellings=spellings))


def _opening(path: str) -> bytes:
    """The first four bytes, which tell the format."""
    try:
        with Path(path).open("rb") as file:
            opening = file.read(4)
    except FileNotFoundError:
        raise TableError("there is no such file", path=path) from None
    except IsADirectoryError:
        raise TableError("this is a directory, not a table file", path=path) from None
    except OSError as error:
        raise TableError(f"the file can't be opened: {error.strerror}", path=path) from error
    if not opening:
        raise TableError("the file is empty", path=path)
    return opening


def _named(table: Table) -> Table:
    """The table with trimmed, unique column names, if it has any rows."""
    if not len(table):
        raise TableError("the table has a header but no rows", path=table.path)
    given = [name.strip() for name in table.names]
    for name, count in Counter(filter(None, given)).items():
        if count > 1:
            raise TableError(
                f"{count} columns have this name; give each its own", path=table.path, column=name
            )
    names = _names(table.names)
    findings = tuple(
        Finding("unnamed", name, f"Column {place} has no name; it is called {name!r} here.")
        for place, name in enumerate(names, start=1)
        if not given[place - 1]
    )
    findings = (*table.findings, *findings)
    return replace(table, columns=table.columns.rename_columns(names), findings=findings)


def _names(header: list[str]) -> list[str]:
    """The trimmed names of a header; a column without one is called by its place."""
    given = [name.strip() for name in header]
    return [name or _position_name(place, given) for place, name in enumerate(given, start=1)]


def _position_name(place: int, taken: list[str]) -> str:
    name = f"column_{place}"
    while name in taken:
        name += "_"
    return name
