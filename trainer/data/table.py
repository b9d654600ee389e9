"""A table file in memory, before the kinds of its columns are known."""

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
"""Number of the first row below the header of a CSV file."""


@dataclass(frozen=True)
class Spelling:
    """The text of a column that is held as numbers.

    Attributes:
        file: the CSV file.
        place: index of the column in the file.
        cells: number of its cells in the file.
        known: text of some cells by row.
    """

    file: DelimitedFile
    place: int
    cells: int
    known: dict[int, str]

    def of(self, rows: NDArray[np.int64]) -> pa.ChunkedArray[Any]:
        """Return the trimmed text of the cells in these rows; reads the file again."""
        return self.file.text(self.place, self.cells).take(pa.array(rows - FIRST_ROW))


@dataclass(frozen=True)
class Table:
    """The columns of a file, and the row numbers for messages.

    Attributes:
        path: the file as the user named it.
        columns: one pyarrow column per column of the file; a missing cell is null. A CSV column is
            text, or float64 with NaN for cells that are not numbers; a Parquet column keeps its
            type.
        rows: int64 (rows,), row numbers as in a spreadsheet: the header of a CSV file is row 1, and
            blank lines do not count; the first row of a Parquet file is row 1.
        findings: from reading.
        spellings: text of the columns that a CSV file holds as numbers, by name.
    """

    path: str
    columns: pa.Table
    rows: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()
    spellings: dict[str, Spelling] = field(default_factory=dict)

    @classmethod
    def numbered(cls, path: str, columns: pa.Table, first_row: int = FIRST_ROW) -> Self:
        """Return a table with rows numbered from ``first_row``."""
        return cls(path, columns, np.arange(columns.num_rows, dtype=np.int64) + first_row)

    @property
    def names(self) -> list[str]:
        """Column names, in the order of the file."""
        return list(self.columns.column_names)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.ChunkedArray[Any]:
        """Return the cells of a column.

        Raises:
            TableError: if the column does not exist; names the nearest one.
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
        raise TableError(f"the column does not exist; {advice}", path=self.path, column=name)

    def text(self, name: str) -> pa.ChunkedArray[Any]:
        """Return the cells of a column as text, if the file holds text."""
        return self.as_written([name]).columns[name]

    def as_written(self, names: Collection[str]) -> Self:
        """Return the table with the named columns as text instead of numbers.

        The file is read again for each of them.
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
        """Return the first cells at ``places`` with their rows: "57 (row 13) and 2 more"."""
        rows = self.rows[places[:SHOWN]]
        cells = self._written(name, places[:SHOWN])
        shown = [
            f"{text if text.isprintable() else ascii(text)} (row {row})"
            for text, row in zip(cells, rows, strict=True)
        ]
        return listed(shown, len(places))

    def _written(self, name: str, places: NDArray[np.int64]) -> list[str]:
        """Return cells of a column as text."""
        rows = self.rows[places]
        if spelling := self.spellings.get(name):
            known = [spelling.known.get(row) for row in rows.tolist()]
            texts = [text for text in known if text is not None]
            return texts if len(texts) == len(rows) else spelling.of(rows).to_pylist()
        return [category_text(cell.as_py()) for cell in self.columns[name].take(pa.array(places))]

    def where(self, mask: NDArray[np.bool_]) -> Self:
        """Return the rows of a mask, bool (rows,); they keep their row numbers."""
        if mask.all():
            return self  # saves a second copy of a large table
        part = replace(self, columns=self.columns.filter(pa.array(mask)), rows=self.rows[mask])
        # In fewer rows the share of words may be larger.
        return part.as_written([n for n in self.spellings if not _are_numbers(part.columns[n])])


def _are_numbers(column: pa.ChunkedArray[Any]) -> bool:
    """Return whether nearly all filled cells of a float64 column are numbers."""
    words = pc.sum(pc.is_nan(column)).as_py() or 0
    return bool(words <= (1 - NEARLY_ALL) * (len(column) - column.null_count))


def release_memory() -> None:
    """Return freed memory to the system, which pyarrow would keep."""
    pa.default_memory_pool().release_unused()


def digest(path: str) -> str:
    """Return the sha256 of a file in hexadecimal digits, without reading it into memory."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_table(
    path: str | Path, as_text: Collection[str] | None = None, block_bytes: int | None = None
) -> Table:
    """Return the table of a CSV or Parquet file.

    CSV: comma, semicolon, tab or bar as separator; quoted cells; UTF-8 with or without a byte order
    mark; plain or gzip. Parquet is recognized by its first bytes, not by its name. Text cells are
    trimmed, and those in ``cells.text.MISSING`` are missing.

    Args:
        path: the file.
        as_text: columns of a CSV file to hold as text even if they are numbers, because class names
            keep their spelling; None for all. Other columns of numbers are held as float64, which
            takes a third of the memory of long decimals.
        block_bytes: size of the blocks of a CSV file; None for a suitable one. No row may be longer.

    Raises:
        TableError: if the file can't be opened, is not a table, is damaged, has no rows, or has two
            columns with one name.
    """
    name = str(path)
    opening = _opening(name)
    if opening.startswith(ZIP_MAGIC):
        raise TableError(
            "the file is a zip archive or an Excel workbook: save the sheet as CSV", path=name
        )
    if opening == PARQUET_MAGIC:
        return _with_names(Table.numbered(name, read_parquet(name), first_row=1))
    if name.endswith(".parquet"):
        raise TableError("the name says Parquet, but the content is not Parquet", path=name)
    return _delimited(DelimitedFile.open(name, block_bytes), as_text)


def _delimited(file: DelimitedFile, as_text: Collection[str] | None) -> Table:
    """Return the table of a CSV file."""
    names = _names(file.header)
    places = range(len(names))
    read = file.read([i for i in places if as_text is None or names[i] in as_text])
    columns = pa.Table.from_arrays([column.cells for column in read], names=file.header)
    table = Table.numbered(file.path, columns)
    findings = tuple(
        Finding("decimal-comma", name, f"Column {name!r} is read with decimal commas.")
        for name, column in zip(names, read, strict=True)
        if column.has_commas
    )
    spellings = {
        names[i]: Spelling(
            file, i, len(table), {place + FIRST_ROW: text for place, text in column.spelled.items()}
        )
        for i, column in enumerate(read)
        if column.spelled is not None
    }
    # Otherwise the process would keep the memory of the text.
    pa.default_memory_pool().release_unused()
    return _with_names(replace(table, findings=findings, spellings=spellings))


def _opening(path: str) -> bytes:
    """Return the first four bytes, which identify the format."""
    try:
        with Path(path).open("rb") as file:
            opening = file.read(4)
    except FileNotFoundError:
        raise TableError("the file does not exist", path=path) from None
    except IsADirectoryError:
        raise TableError("this is a folder, expected a table file", path=path) from None
    except OSError as error:
        raise TableError(f"the file can't be opened: {error.strerror}", path=path) from error
    if not opening:
        raise TableError("the file is empty", path=path)
    return opening


def _with_names(table: Table) -> Table:
    """Return the table with trimmed, unique column names.

    Raises:
        TableError: if it has no rows, or a name comes twice.
    """
    if not len(table):
        raise TableError("the table has a header but no rows", path=table.path)
    given = [name.strip() for name in table.names]
    for name, count in Counter(filter(None, given)).items():
        if count > 1:
            raise TableError(
                f"{count} columns have this name: rename all but one", path=table.path, column=name
            )
    names = _names(table.names)
    findings = tuple(
        Finding("unnamed", name, f"Column {place} has no name and is called {name!r}.")
        for place, name in enumerate(names, start=1)
        if not given[place - 1]
    )
    findings = (*table.findings, *findings)
    return replace(table, columns=table.columns.rename_columns(names), findings=findings)


def _names(header: list[str]) -> list[str]:
    """Return the trimmed names of a header; an unnamed column gets a name by its position."""
    given = [name.strip() for name in header]
    return [name or _position_name(place, given) for place, name in enumerate(given, start=1)]


def _position_name(place: int, taken: list[str]) -> str:
    name = f"column_{place}"
    while name in taken:
        name += "_"
    return name
