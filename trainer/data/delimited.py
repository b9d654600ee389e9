"""CSV files, and their kin with other delimiters, read into columns of text."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from trainer.data.text import tidy
from trainer.errors import TableError

DELIMITERS = (",", ";", "\t", "|")
GZIP_MAGIC = b"\x1f\x8b"
HEAD_CHARACTERS = 2**20  # room for a header of tens of thousands of columns
HEAD_RECORDS = 20  # enough to see whether a delimiter splits every row alike
BLOCK_BYTES = 4 * 2**20  # no row may be longer; smaller blocks cost time, larger ones memory


COMMA_NUMBER = r"^[+-]?[0-9]+(,[0-9]+)?$"
NO_THOUSANDS = r",([0-9]{1,2}|[0-9]{4,})$"
"""A comma before one, two or more than three digits can't set thousands apart."""

MOSTLY = 0.95
"""Share of a column's filled cells that must be numbers for it to be one; as in the rules."""


@dataclass(frozen=True)
class Layout:
    """How a file is laid out: what stands between cells, and its first row."""

    delimiter: str
    header: list[str]


def read_delimited(path: str) -> tuple[pa.Table, list[str]]:
    """The cells of a CSV file as text columns, trimmed, missing tokens as nulls.

    And the names of the columns whose decimal commas were turned into points: where semicolons
    stand between the cells, spreadsheets of many countries write 1,5 for 1.5.

    Raises:
        TableError: the file is empty, ragged, not UTF-8, or no valid gzip; names the row
            where there is one to blame.
    """
    try:
        return _read(path)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"the file can't be read: {error}", path=path) from error


def _read(path: str) -> tuple[pa.Table, list[str]]:
    layout = _layout(path)
    try:
        cells = _cells(path, layout).rename_columns(layout.header)
    except ValueError as error:  # pa.ArrowInvalid is one
        raise _fault(path, layout, error) from error
    if _ends_in_quotes(path, cells):
        raise TableError(
            "a quote is opened in this row and never closed, so that it swallows the rows below",
            path=path,
            row=cells.num_rows,
        )
    cells = cells.slice(1)
    return _with_points(cells) if layout.delimiter == ";" else (cells, [])


def _with_points(cells: pa.Table) -> tuple[pa.Table, list[str]]:
    """Columns of numbers with decimal commas, with points; all others as they are.

    A column is left alone if its commas may as well set thousands apart.
    """
    points = [_points(column) for column in cells.columns]
    columns = [
        column if changed is None else changed
        for column, changed in zip(cells.columns, points, strict=True)
    ]
    names = cells.column_names
    changed_names = [n for n, changed in zip(names, points, strict=True) if changed is not None]
    return pa.Table.from_arrays(columns, names=names), changed_names


def _points(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any] | None:
    """The column with points for commas, or None if it is left alone."""
    numbers = pc.match_substring_regex(column, COMMA_NUMBER)
    share = pc.mean(pc.cast(numbers, pa.float32())).as_py() or 0
    if share < MOSTLY:
        return None
    sure = pc.any(pc.match_substring_regex(column.filter(numbers), NO_THOUSANDS)).as_py()
    return pc.if_else(numbers, pc.replace_substring(column, ",", "."), column) if sure else None


def _layout(path: str) -> Layout:
    """The delimiter that splits the header into most cells, and every row after it alike."""
    with _characters(path) as file:
        head = file.read(HEAD_CHARACTERS)
    if not head.strip():
        raise TableError("the file is empty", path=path)
    split = {delimiter: _records(head, delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: _fit(split[delimiter]))
    header = split[best][0] if split[best] else [head]
    return Layout(best, header)


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


def _cells(path: str, layout: Layout) -> pa.Table:
    """All rows, the header among them, as tidy text; block by block, so one copy is held."""
    places = [f"f{place}" for place in range(len(layout.header))]
    reader = pyarrow.csv.open_csv(
        _bytes(path),
        read_options=pyarrow.csv.ReadOptions(
            autogenerate_column_names=True, block_size=BLOCK_BYTES
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        # Text throughout: "007" and "1.10" are to come out as class names just as they went in.
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
    )
    with reader:
        blocks = [
            pa.RecordBatch.from_arrays([tidy(column) for column in block.columns], names=places)
            for block in reader
        ]
    return pa.Table.from_batches(blocks)


def _ends_in_quotes(path: str, cells: pa.Table) -> bool:
    """Whether the last cell runs on to the end of the file, for want of a closing quote.

    pyarrow lets that pass. Only quotes can make a cell hold a line break, so one that does and is
    the last of the file must end in a quote.
    """
    last = cells.columns[-1][-1].as_py() or ""
    if "\n" not in last and "\r" not in last:
        return False
    ending = ""
    with _characters(path) as file:
        for line in file:
            ending = line.rstrip() or ending
    return not ending.endswith('"')


def _fault(path: str, layout: Layout, error: ValueError) -> TableError:
    """The first row that breaks the layout.

    pyarrow reads on several threads and then can't number rows, so the file is read again here,
    row by row. Only a refused file pays for it.
    """
    number = 0
    with _characters(path) as file:
        rows = (row for row in csv.reader(file, delimiter=layout.delimiter) if row)
        try:
            for number, row in enumerate(rows, start=1):
                if complaint := _complaint(row, len(layout.header)):
                    return TableError(complaint, path=path, row=number)
        except csv.Error:
            limit = f"{csv.field_size_limit():,}"
            complaint = f"a cell is longer than {limit} characters; is a quote left open?"
            return TableError(complaint, path=path, row=number + 1)
    return TableError(f"the file can't be read as CSV: {error}", path=path)


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
