"""CSV files, and their kin with other delimiters, read block by block into columns."""

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
"""How much is read at a time; no row may be longer. Smaller blocks cost time, larger ones memory."""

COLUMN_BYTES = 2**11
"""The least of a block for each column: what is done once for each would take most of the time."""

MISSING_IN_ANY_CASE = sorted(
    {
        "".join(letters)
        for token in MISSING
        for letters in product(*zip(token, token.upper(), strict=True))
    }
)
"""For pyarrow, which tells cases apart. Most cells need no other look at whether they are missing."""


@dataclass(frozen=True)
class DelimitedFile:
    """A CSV file and how it is laid out.

    Attributes:
        path: the file as the user named it.
        delimiter: what stands between cells.
        header: the cells of the first row, as they are written.
        block_bytes: how much is read at a time; no row may be longer.
    """

    path: str
    delimiter: str
    header: list[str]
    block_bytes: int

    @classmethod
    def open(cls, path: str, block_bytes: int | None = None) -> Self:
        """Finds out how a file is laid out.

        Args:
            path: the file.
            block_bytes: how much to read at a time; where None, what suits it.

        Raises:
            TableError: the file is empty, or no valid gzip.
        """
        with _refusing(path):
            delimiter, header = _layout(path)
        suitable = max(BLOCK_BYTES, COLUMN_BYTES * len(header))
        return cls(path, delimiter, header, block_bytes or suitable)

    def read(self, as_text: Container[int]) -> list[CsvColumn]:
        """All columns, trimmed, missing tokens as nulls; numbers as float64, others as text.

        Args:
            as_text: the places of columns to hold as text even if they are numbers.

        Raises:
            TableError: the file is ragged, not UTF-8, or no valid gzip; names the row where there
                is one to blame.
        """
        with _refusing(self.path):
            return self._read(as_text)

    def text(self, place: int, rows: int) -> pa.ChunkedArray[Any]:
        """One column as text; the file is read for it once more.

        Args:
            place: the column's place.
            rows: how many rows were read before.

        Raises:
            TableError: the file has changed since.
        """
        with _refusing(self.path):
            return self._again([place], rows)[0].held().cells

    def _read(self, as_text: Container[int]) -> list[CsvColumn]:
        places = range(len(self.header))
        growing = [self._growing(as_text=place in as_text) for place in places]
        last = self._read_into(growing, places)
        rows = growing[-1].rows
        if _ends_in_quotes(self.path, last if rows else self.header[-1]):
            raise TableError(
                "a quote is opened in this row and never closed, so that it swallows the rows "
                "below",
                path=self.path,
                row=rows + 1,
            )
        again = [place for place in places if growing[place].is_to_be_read_again]
        if again:
            for place in again:
                growing[place].numbers = None  # makes room
            for place, column in zip(again, self._again(again, rows), strict=True):
                growing[place] = column
        return [column.held() for column in growing]

    def _again(self, places: Sequence[int], rows: int) -> list[ColumnBuilder]:
        """Columns read as text when ``rows`` rows have been read before."""
        columns = [self._growing(as_text=True) for _ in places]
        self._read_into(columns, places)
        if columns[0].rows != rows:
            raise TableError("the file was changed while it was read", path=self.path)
        return columns

    def _growing(self, *, as_text: bool) -> ColumnBuilder:
        return ColumnBuilder(as_text=as_text, commas=self.delimiter == ";")

    def _read_into(self, columns: list[ColumnBuilder], places: Sequence[int]) -> str:
        """Reads the columns at ``places``, and returns the last cell read."""
        last = ""
        for block in self._blocks(places):
            for column, cells in zip(columns, block.columns, strict=True):
                column.add(cells)
            if len(block):
                last = block.columns[-1][-1].as_py() or ""
        return last.strip()

    def _blocks(self, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The rows below the header, text with nulls, for the columns at ``places``."""
        try:
            with self._reader(places) as reader:
                header_rows = 1
                for block in reader:
                    yield block.slice(header_rows)  # it is in the first one
                    header_rows = 0
        except ValueError as error:  # pa.ArrowInvalid is one
            raise _fault(self, error) from error

    def _reader(self, places: Sequence[int]) -> Any:
        names = [f"f{place}" for place in range(len(self.header))]
        return pyarrow.csv.open_csv(
            _bytes(self.path),
            read_options=pyarrow.csv.ReadOptions(
                autogenerate_column_names=True, block_size=self.block_bytes
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True
            ),
            # Text throughout: "007" and "1.10" are to come out as class names just as they went in.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=[names[place] for place in places],
                null_values=MISSING_IN_ANY_CASE,
                strings_can_be_null=True,
            ),
        )


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turns what the system says of a file into a refusal of the table."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"the file can't be read: {error}", path=path) from error


def _layout(path: str) -> tuple[str, list[str]]:
    """The delimiter that splits the header into most cells, and every row after it alike.

    And the header so split.
    """
    with _characters(path) as file:
        head = file.read(HEAD_CHARACTERS)
    if not head.strip():
        raise TableError("the file is empty", path=path)
    split = {delimiter: _records(head, delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: _fit(split[delimiter]))
    header = split[best][0] if split[best] else [head]
    return best, header


def _fit(records: list[list[str]]) -> tuple[bool, bool, int]:
    """Ranks a delimiter: one that splits at all, then one that splits evenly, then most often."""
    widths = [len(record) for record in records] or [0]
    return widths[0] > 1, len(set(widths)) == 1, widths[0]


def _records(head: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    records: list[list[str]] = []
    with suppress(csv.Error):  # a cell too long for this parser; the rows before it will do
        records.extend(record for record in islice(reader, HEAD_RECORDS) if record)
    return records


def _ends_in_quotes(path: str, last: str) -> bool:
    """Whether the last cell runs on to the end of the file, for want of a closing quote.

    pyarrow lets that pass. Only quotes can make a cell hold a line break, so one that does and is
    the last of the file must end in a quote.
    """
    if "\n" not in last and "\r" not in last:
        return False
    ending = ""
    with _characters(path) as file:
        for line in file:
            ending = line.rstrip() or ending
    return not ending.endswith('"')


def _fault(file: DelimitedFile, error: ValueError) -> TableError:
    """The first row that breaks the layout.

    pyarrow reads on several threads and then can't number rows, so the file is read again here,
    row by row. Only a refused file pays for it.
    """
    number = 0
    with _characters(file.path) as characters:
        rows = (row for row in csv.reader(characters, delimiter=file.delimiter) if row)
        try:
            for number, row in enumerate(rows, start=1):
                if complaint := _complaint(row, len(file.header)):
                    return TableError(complaint, path=file.path, row=number)
        except csv.Error:
            limit = f"{csv.field_size_limit():,}"
            complaint = f"a cell is longer than {limit} characters; is a quote left open?"
            return TableError(complaint, path=file.path, row=number + 1)
    return TableError(f"the file can't be read as CSV: {error}", path=file.path)


def _complaint(row: list[str], expected: int) -> str | None:
    for cell in row:
        for character in cell:
            if "\udc80" <= character <= "\udcff":
                byte = ord(character) - 0xDC00
                return f"byte 0x{byte:02X} is not UTF-8; save the file as CSV UTF-8"
    if len(row) != expected:
        advice = "; is a quote left open?" if any("\n" in cell for cell in row) else ""
        return f"expected {expected} cells, as in the header, found {len(row)}{advice}"
    return None


def _characters(path: str) -> IO[str]:
    """The file as text; bytes that are not UTF-8 become surrogates, as ``_complaint`` expects."""
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _bytes(path: str) -> Any:
    """The unpacked file, for pyarrow."""
    file = pa.OSFile(path, "rb")
    return pa.CompressedInputStream(file, "gzip") if _is_gzip(path) else file


def _is_gzip(path: str) -> bool:
    with Path(path).open("rb") as file:
        return path.endswith(".gz") or file.read(2) == GZIP_MAGIC
