"""CSV files with any delimiter, read block by block into columns."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.csv

from ...errors import TableError
from ..cells.text import MISSING
from .column_builder import ColumnBuilder, CsvColumn

DELIMITERS = (",", ";", "\t", "|")
GZIP_MAGIC = b"\x1f\x8b"
HEAD_CHARACTERS = 2**20  # room for a header of tens of thousands of columns
HEAD_RECORDS = 20  # enough to see whether a delimiter splits every row alike

BLOCK_BYTES = 4 * 2**20
"""Size of a block; no row may be longer. Smaller blocks cost time, larger ones memory."""

COLUMN_BYTES = 2**11
"""Least size of a block per column, because each block has a cost per column."""

MISSING_IN_ANY_CASE = sorted(
    {
        "".join(letters)
        for token in MISSING
        for letters in product(*zip(token, token.upper(), strict=True))
    }
)
"""Missing tokens for pyarrow, which compares case. Few cells need a second check."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file with its layout.

    Attributes:
        path: the file as the user named it.
        delimiter: between cells.
        header: the cells of the first row, unchanged.
        block_bytes: size of a block; no row may be longer.
    """

    path: str
    delimiter: str
    header: list[str]
    block_bytes: int

    @classmethod
    def open(cls, path: str, block_bytes: int | None = None) -> Self:
        """Return a file with its detected layout.

        Args:
            path: the file.
            block_bytes: size of a block; None for a suitable one.

        Raises:
            TableError: if the file is empty, or not valid gzip.
        """
        with _as_table_error(path):
            delimiter, header = _layout(path)
        suitable = max(BLOCK_BYTES, COLUMN_BYTES * len(header))
        return cls(path, delimiter, header, block_bytes or suitable)

    def read(self, as_text: Container[int]) -> list[CsvColumn]:
        """Return all columns, trimmed, missing tokens as nulls; numbers as float64, others as text.

        Args:
            as_text: indices of columns to hold as text even if they are numbers.

        Raises:
            TableError: if the file is ragged, not UTF-8, or not valid gzip; names the row if possible.
        """
        with _as_table_error(self.path):
            return self._read(as_text)

    def text(self, index: int, rows: int) -> pa.ChunkedArray[Any]:
        """Return one column as text; reads the file again.

        Args:
            index: of the column.
            rows: number of rows of the first reading.

        Raises:
            TableError: if the file has changed since.
        """
        with _as_table_error(self.path):
            return self._read_again([index], rows)[0].build().cells

    def _read(self, as_text: Container[int]) -> list[CsvColumn]:
        indices = range(len(self.header))
        builders = [self._builder(as_text=index in as_text) for index in indices]
        last_cell = self._read_into(builders, indices)
        rows = builders[-1].rows
        if _has_open_quote(self.path, last_cell if rows else self.header[-1]):
            raise TableError(
                "a quote in this row is never closed: close it, or double it inside a cell",
                path=self.path,
                row=rows + 1,
            )
        second = [index for index in indices if builders[index].needs_second_reading]
        if second:
            for index in second:
                builders[index].numbers = None  # frees memory
            for index, builder in zip(second, self._read_again(second, rows), strict=True):
                builders[index] = builder
        return [builder.build() for builder in builders]

    def _read_again(self, indices: Sequence[int], rows: int) -> list[ColumnBuilder]:
        """Return columns read again as text; the first reading had ``rows`` rows."""
        builders = [self._builder(as_text=True) for _ in indices]
        self._read_into(builders, indices)
        if builders[0].rows != rows:
            raise TableError(
                "the file changed while it was read: run the command again", path=self.path
            )
        return builders

    def _builder(self, *, as_text: bool) -> ColumnBuilder:
        return ColumnBuilder(as_text=as_text, commas=self.delimiter == ";")

    def _read_into(self, builders: list[ColumnBuilder], indices: Sequence[int]) -> str:
        """Read the columns at ``indices`` and return the last cell."""
        last = ""
        for block in self._blocks(indices):
            for builder, cells in zip(builders, block.columns, strict=True):
                builder.add(cells)
            if len(block):
                last = block.columns[-1][-1].as_py() or ""
        return last.strip()

    def _blocks(self, indices: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Yield the rows below the header, text with nulls, of the columns at ``indices``."""
        try:
            with self._reader(indices) as reader:
                header_rows = 1
                for block in reader:
                    yield block.slice(header_rows)  # the first block starts with it
                    header_rows = 0
        except ValueError as error:  # pa.ArrowInvalid is one
            raise _find_fault(self, error) from error

    def _reader(self, indices: Sequence[int]) -> Any:
        names = [f"f{index}" for index in range(len(self.header))]
        return pyarrow.csv.open_csv(
            _bytes(self.path),
            read_options=pyarrow.csv.ReadOptions(
                autogenerate_column_names=True, block_size=self.block_bytes
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True
            ),
            # Text throughout, so that class names such as "007" and "1.10" keep their spelling.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=[names[index] for index in indices],
                null_values=MISSING_IN_ANY_CASE,
                strings_can_be_null=True,
            ),
        )


@contextmanager
def _as_table_error(path: str) -> Iterator[None]:
    """Raise errors of the system as TableError."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"the file can't be read: {error}", path=path) from error


def _layout(path: str) -> tuple[str, list[str]]:
    """Return the delimiter and the header.

    The delimiter splits the header into most cells, and every row after it alike.
    """
    with _characters(path) as file:
        head = file.read(HEAD_CHARACTERS)
    if not head.strip():
        raise TableError("the file is empty, expected a header and rows", path=path)
    split = {delimiter: _records(head, delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: _fit(split[delimiter]))
    header = split[best][0] if split[best] else [head]
    return best, header


def _fit(records: list[list[str]]) -> tuple[bool, bool, int]:
    """Return the rank of a delimiter: it splits at all, evenly, most often."""
    widths = [len(record) for record in records] or [0]
    return widths[0] > 1, len(set(widths)) == 1, widths[0]


def _records(head: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    records: list[list[str]] = []
    with suppress(csv.Error):  # a cell is too long for this parser; the rows before it are enough
        records.extend(record for record in islice(reader, HEAD_RECORDS) if record)
    return records


def _has_open_quote(path: str, last: str) -> bool:
    """Return whether the last cell runs to the end of the file without a closing quote.

    pyarrow accepts that. Only a quoted cell can hold a line break, so if the last cell of the file has
    one, the file must end in a quote.
    """
    if "\n" not in last and "\r" not in last:
        return False
    ending = ""
    with _characters(path) as file:
        for line in file:
            ending = line.rstrip() or ending
    return not ending.endswith('"')


def _find_fault(file: CsvFile, error: ValueError) -> TableError:
    """Return an error that names the first row that breaks the layout.

    pyarrow reads in several threads and can't number rows, so an invalid file is read again row by row.
    """
    number = 0
    with _characters(file.path) as characters:
        rows = (row for row in csv.reader(characters, delimiter=file.delimiter) if row)
        try:
            for number, row in enumerate(rows, start=1):
                if problem := _row_problem(row, len(file.header)):
                    return TableError(problem, path=file.path, row=number)
        except csv.Error:
            limit = f"{csv.field_size_limit():,}"
            problem = f"a cell is longer than {limit} characters: check for an open quote"
            return TableError(problem, path=file.path, row=number + 1)
    return TableError(f"the file can't be read as CSV: {error}", path=file.path)


def _row_problem(row: list[str], expected: int) -> str | None:
    for cell in row:
        for character in cell:
            if "\udc80" <= character <= "\udcff":
                byte = ord(character) - 0xDC00
                return f"byte 0x{byte:02X} is not UTF-8: save the file as CSV UTF-8"
    if len(row) != expected:
        advice = ": check for an open quote" if any("\n" in cell for cell in row) else ""
        return f"expected {expected} cells, as in the header, found {len(row)}{advice}"
    return None


def _characters(path: str) -> IO[str]:
    """Return the file as text; bytes that are not UTF-8 become surrogates, as ``_row_problem`` expects."""
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _bytes(path: str) -> Any:
    """Return the decompressed file, for pyarrow."""
    file = pa.OSFile(path, "rb")
    return pa.CompressedInputStream(file, "gzip") if _is_gzip(path) else file


def _is_gzip(path: str) -> bool:
    with Path(path).open("rb") as file:
        return path.endswith(".gz") or file.read(2) == GZIP_MAGIC
