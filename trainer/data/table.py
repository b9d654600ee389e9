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
from .cells.numbers import NEARLY_ALL
from .cells.text import category_text
from .files.csv_file import CsvFile
from .files.parquet_file import read_parquet
from .findings import MAX_CITED, Finding, join_first

PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"

FIRST_ROW = 2
"""Number of the first row below the header of a CSV file."""


@dataclass(frozen=True)
class SourceText:
    """The text in a CSV file of a column that the table holds as numbers.

    Attributes:
        file: the CSV file.
        index: of the column in the file.
        cells: number of its cells in the file.
        known: text of some cells by row number.
    """

    file: CsvFile
    index: int
    cells: int
    known: dict[int, str]

    def read(self, row_numbers: NDArray[np.int64]) -> pa.ChunkedArray[Any]:
        """Return the trimmed text of the cells in these rows; reads the file again."""
        return self.file.text(self.index, self.cells).take(pa.array(row_numbers - FIRST_ROW))


@dataclass(frozen=True)
class Table:
    """The columns of a file, and the row numbers for messages.

    Attributes:
        path: the file as the user named it.
        columns: one pyarrow column per column of the file; a missing cell is null. A CSV column is
            text, or float64 with NaN for cells that are not numbers; a Parquet column keeps its
            type.
        row_numbers: int64 (rows,), as in a spreadsheet: the header of a CSV file is row 1, and blank
            lines do not count; the first row of a Parquet file is row 1.
        findings: from reading.
        source_texts: text of the columns that the table holds as numbers, by name.
    """

    path: str
    columns: pa.Table
    row_numbers: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()
    source_texts: dict[str, SourceText] = field(default_factory=dict)

    @classmethod
    def from_columns(cls, path: str, columns: pa.Table, first_row: int = FIRST_ROW) -> Self:
        """Return a table with rows numbered from ``first_row``."""
        return cls(path, columns, np.arange(columns.num_rows, dtype=np.int64) + first_row)

    @property
    def names(self) -> list[str]:
        """Column names, in the order of the file."""
        return list(self.columns.column_names)

    def __len__(self) -> int:
        return len(self.row_numbers)

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
            else f"the columns are {join_first(self.names[:20], len(self.names))}"
        )
        raise TableError(f"the column does not exist; {advice}", path=self.path, column=name)

    def with_text(self, names: Collection[str]) -> Self:
        """Return the table with the named columns as text instead of numbers.

        The file is read again for each of them.
        """
        table = self
        for name in self.source_texts.keys() & set(names):
            cells = self.source_texts[name].read(self.row_numbers)
            columns = table.columns.set_column(self.names.index(name), name, cells)
            others = {key: value for key, value in table.source_texts.items() if key != name}
            table = replace(table, columns=columns, source_texts=others)
        return table

    def cite(self, name: str, rows: NDArray[np.int64]) -> str:
        """Return the first cells of ``rows`` with their row numbers: "57 (row 13) and 2 more"."""
        cited = rows[:MAX_CITED]
        cells = [
            f"{text if text.isprintable() else ascii(text)} (row {number})"
            for text, number in zip(self._text(name, cited), self.row_numbers[cited], strict=True)
        ]
        return join_first(cells, len(rows))

    def _text(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        """Return cells of a column as text."""
        source = self.source_texts.get(name)
        if source is None:
            return [category_text(cell.as_py()) for cell in self.columns[name].take(pa.array(rows))]
        numbers = self.row_numbers[rows]
        known = [source.known[number] for number in numbers.tolist() if number in source.known]
        return known if len(known) == len(numbers) else source.read(numbers).to_pylist()

    def filter(self, mask: NDArray[np.bool_]) -> Self:
        """Return the rows of a mask, bool (rows,); they keep their row numbers."""
        if mask.all():
            return self  # saves a second copy of a large table
        part = replace(
            self, columns=self.columns.filter(pa.array(mask)), row_numbers=self.row_numbers[mask]
        )
        # In fewer rows the share of words may be larger.
        words = [name for name in self.source_texts if not _are_numbers(part.columns[name])]
        return part.with_text(words)


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
            "the file is a zip archive or an Excel workbook, expected CSV or Parquet: save the sheet as CSV",
            path=name,
        )
    if opening == PARQUET_MAGIC:
        return _with_names(Table.from_columns(name, read_parquet(name), first_row=1))
    if name.endswith(".parquet"):
        raise TableError(
            "the name ends in .parquet, but the content is not Parquet: write the file again",
            path=name,
        )
    return _csv_table(CsvFile.open(name, block_bytes), as_text)


def _csv_table(file: CsvFile, as_text: Collection[str] | None) -> Table:
    """Return the table of a CSV file."""
    names = _column_names(file.header)
    read = file.read([i for i, name in enumerate(names) if as_text is None or name in as_text])
    columns = pa.Table.from_arrays([column.cells for column in read], names=file.header)
    table = Table.from_columns(file.path, columns)
    findings = tuple(
        Finding("decimal-comma", name, f"Column {name!r} is read with decimal commas.")
        for name, column in zip(names, read, strict=True)
        if column.has_decimal_commas
    )
    source_texts = {
        names[i]: SourceText(
            file, i, len(table), {row + FIRST_ROW: text for row, text in column.texts.items()}
        )
        for i, column in enumerate(read)
        if column.texts is not None
    }
    release_memory()  # otherwise the process would keep the memory of the text
    return _with_names(replace(table, findings=findings, source_texts=source_texts))


def _opening(path: str) -> bytes:
    """Return the first four bytes, which identify the format."""
    try:
        with Path(path).open("rb") as file:
            opening = file.read(4)
    except FileNotFoundError:
        raise TableError("the file does not exist: check the path", path=path) from None
    except IsADirectoryError:
        raise TableError("this is a folder, expected a CSV or Parquet file", path=path) from None
    except OSError as error:
        raise TableError(f"the file can't be opened: {error.strerror}", path=path) from error
    if not opening:
        raise TableError("the file is empty, expected a header and rows", path=path)
    return opening


def _with_names(table: Table) -> Table:
    """Return the table with trimmed, unique column names.

    Raises:
        TableError: if it has no rows, or a name comes twice.
    """
    if not len(table):
        raise TableError("the table has a header but no rows: add rows", path=table.path)
    header = [name.strip() for name in table.names]
    for name, count in Counter(filter(None, header)).items():
        if count > 1:
            raise TableError(
                f"{count} columns have this name: rename all but one", path=table.path, column=name
            )
    names = _column_names(table.names)
    findings = tuple(
        Finding("unnamed", name, f"Column {position} has no name and is called {name!r}.")
        for position, name in enumerate(names, start=1)
        if not header[position - 1]
    )
    return replace(
        table,
        columns=table.columns.rename_columns(names),
        findings=(*table.findings, *findings),
    )


def _column_names(header: list[str]) -> list[str]:
    """Return the trimmed names of a header; an unnamed column gets a name by its position."""
    names = [name.strip() for name in header]
    return [name or _free_name(position, names) for position, name in enumerate(names, start=1)]


def _free_name(position: int, names: list[str]) -> str:
    name = f"column_{position}"
    while name in names:
        name += "_"
    return name
