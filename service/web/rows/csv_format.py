"""Rows as ``text/csv``: a header line with feature names, then one row per line.

Cells are parsed by column: numbers all at once, other cells once for each distinct text.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from ...errors import InvalidRequest, InvalidRows, Problem, UnreadableBody
from ...model.columns import Columns
from ...model.row_types import check_row_count
from ...model.signature import Feature, Kind, Signature
from ...model.table_validation import DictionaryColumn, Numbers, columns_from_table
from ...model.validation import (
    PROBLEM_LIMIT,
    check_column_names,
    check_unique_columns,
    count_values,
    invalid_rows,
    truncate,
)

DELIMITERS = (",", ";", "\t", "|")
"""Accepted delimiters, the same as the trainer's. If two fit equally well, the first is used."""

MISSING = frozenset({"", "na", "n/a", "nan", "?", "null", "none"})
"""Cells in lower case that mean a missing value; the trainer has the same list."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A plain decimal number. Python's float() would accept 1_000 and infinity too."""

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")

_INTEGER_ZERO = re.compile(r"[+-]?0+")

_JSON_NUMBERS = msgspec.json.Decoder(list[float | None])

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

ParseCell = Callable[[Feature, str], Any]
"""Returns the value of a cell."""

MAX_CELL_CHARACTERS = 1_000_000
"""The csv module needs a limit."""

MAX_LINE_CELLS = 100_000
"""A line with more cells is rejected before each cell becomes an object."""


def read_csv(
    text: str, signature: Signature, max_rows: int = sys.maxsize, *, has_header: bool = True
) -> Columns:
    """Return the rows of a CSV body.

    Args:
        text: the body, quoted as in RFC 4180, with any of ``DELIMITERS``.
        signature: the features, which decide how each cell is parsed.
        max_rows: limit of rows in one request.
        has_header: whether the first line names the features. Without a header, cells are in
            signature order.

    Raises:
        UnreadableBody: for text that is not CSV.
        InvalidRequest: for a header that is missing, repeats a name, or names only unknown features.
        InvalidRows: for unknown or missing columns, rows with a wrong number of cells, and cells
            that do not fit their feature.
        TooManyRows: for more than ``max_rows`` rows.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    names = list(signature.by_name)
    delimiter = _detect_delimiter(text, names, has_header=has_header)
    reader = csv.reader(_lines(text), strict=True, delimiter=delimiter)
    try:
        lines = (cells for cells in reader if cells)
        if has_header:
            names = _read_header(lines, signature)
        rows = _read_rows(lines, names, max_rows)
    except csv.Error as error:
        raise UnreadableBody(f"the body is not CSV: line {reader.line_num}: {error}") from None
    parse = _parse_cell_with_comma if delimiter == ";" else _parse_cell
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    table = {
        name: parse_column(signature.by_name[name], cells, parse)
        for name, cells in zip(names, columns, strict=True)
    }
    return columns_from_table(signature, table, len(rows))


def _parse_cell(feature: Feature, cell: str) -> Any:
    """Return a cell's value. Text that does not fit stays text, which validation rejects."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return None
    if feature.kind is Kind.NUMBER:
        return _to_double(cell) if NUMBER.fullmatch(cell) else cell
    if feature.kind is Kind.BOOLEAN:
        return _BOOLEANS.get(cell.lower(), cell)
    return cell


def _to_double(cell: str) -> float:
    """Return a plain number as a double, with the sign of zero as in JSON.

    JSON decoders read ``-0`` as the integer 0, which has no sign, and ``-0.0`` as negative zero.
    """
    return 0.0 if _INTEGER_ZERO.fullmatch(cell) else float(cell)


def _parse_cell_with_comma(feature: Feature, cell: str) -> Any:
    """Return a cell's value in a table delimited by semicolons, where 1,5 is a number too."""
    if feature.kind is Kind.NUMBER and _DECIMAL_COMMA.fullmatch(cell.strip()):
        cell = cell.replace(",", ".")
    return _parse_cell(feature, cell)


def parse_column(
    feature: Feature, cells: Sequence[str], parse: ParseCell = _parse_cell
) -> DictionaryColumn | Numbers:
    """Return one feature's cells as a column for `columns_from_table`.

    Args:
        feature: the feature.
        cells: one text per row.
        parse: returns the value of a cell.
    """
    if feature.kind is Kind.NUMBER:
        numbers = _parse_json_numbers(cells)
        if numbers is None:
            values = [parse(feature, cell) for cell in cells]
            numbers = None if str in set(map(type, values)) else np.array(values, np.float64)
        if numbers is not None:
            return numbers
    return DictionaryColumn(cells, {cell: parse(feature, cell) for cell in set(cells)})


def _parse_json_numbers(cells: Sequence[str]) -> Numbers | None:
    """Return cells that are all missing or JSON numbers as an array, or None for other cells.

    Decoding them as one JSON array takes a tenth of the time. A cell such as ``1,2`` would add a
    value to the array, so the lengths are compared.
    """
    for written in (cells, (_null_if_missing(cell) for cell in cells)):
        try:
            values = _JSON_NUMBERS.decode(f"[{','.join(written)}]")
        except (msgspec.MsgspecError, UnicodeEncodeError):
            continue
        return np.array(values, np.float64) if len(values) == len(cells) else None
    return None


def _null_if_missing(cell: str) -> str:
    return "null" if cell.strip().lower() in MISSING else cell


def _lines(text: str) -> Iterator[str]:
    """Yield the lines with their line ends.

    Raises:
        InvalidRequest: at a line with more than ``MAX_LINE_CELLS`` cells.
    """
    for line in io.StringIO(text, newline=""):
        if len(line) > MAX_LINE_CELLS and max(map(line.count, DELIMITERS)) >= MAX_LINE_CELLS:
            raise InvalidRequest(f"a CSV line has more than {MAX_LINE_CELLS} cells")
        yield line


def _detect_delimiter(text: str, names: Sequence[str], *, has_header: bool) -> str:
    """Return the delimiter that finds most feature names in the header.

    Without a header, return the delimiter that gives as many cells as there are features. The
    comma is the default.
    """
    first_line = next(_lines(text.lstrip("\r\n")), "")

    def score(delimiter: str) -> int:
        cells = next(csv.reader([first_line], delimiter=delimiter), [])
        if not has_header:
            return len(cells) == len(names)
        return len(set(names) & set(_column_names(cells)))

    try:
        return max(DELIMITERS, key=score)
    except csv.Error:
        return DELIMITERS[0]


def lacks_header(text: str, signature: Signature) -> bool:
    """Return whether the first line of a table is a row and not a header.

    A row has as many cells as there are features and names no feature. Names are compared without
    case, so that a header with the wrong case is rejected and not read as a row.

    Args:
        text: the table, or its beginning.
        signature: the features.
    """
    first_line = next(_lines(text.lstrip("\r\n")), "").rstrip("\r\n")
    try:
        splits = [next(csv.reader([first_line], delimiter=d), []) for d in DELIMITERS]
    except csv.Error:
        return False
    names = {name.lower() for name in signature.by_name}
    if any(cell.strip().lower() in names for cells in splits for cell in cells):
        return False
    return len(signature.features) in map(len, splits)


def _read_header(lines: Iterator[list[str]], signature: Signature) -> list[str]:
    names = _column_names(next(lines, []))
    if not names:
        raise InvalidRequest("the CSV body is empty, expected a header line with feature names")
    known = set(names) & signature.by_name.keys()
    if known:
        check_unique_columns(names, "the CSV header")
    try:
        check_column_names(signature, names)
    except InvalidRows as error:
        if known or any(problem.did_you_mean for problem in error.problems):
            raise
        raise InvalidRequest(
            "the first CSV line names no feature; to send rows without a header, in signature "
            "order, set Content-Type to text/csv; header=absent"
        ) from None
    return names


def _column_names(header: list[str]) -> list[str]:
    """Return the names in a header. A column without a name gets its number, as in the trainer."""
    return [name.strip() or f"column_{number}" for number, name in enumerate(header, 1)]


def _read_rows(lines: Iterator[list[str]], names: Sequence[str], max_rows: int) -> list[list[str]]:
    """Return the cells of each row.

    Raises:
        InvalidRows: for rows with more or fewer cells than there are names.
        TooManyRows: for more than ``max_rows`` rows; the rest is counted and not kept.
    """
    rows: list[list[str]] = []
    problems: list[Problem] = []
    for index, cells in enumerate(lines):
        if index == max_rows:
            check_row_count(index + 1 + sum(1 for _ in lines), max_rows)
        if len(cells) != len(names) and len(problems) <= PROBLEM_LIMIT:
            expected = f"{count_values(len(names))}: {truncate(', '.join(names), 200)}"
            problems.append(Problem(index, None, None, expected, count_values(len(cells))))
        rows.append(cells)
    if problems:
        raise invalid_rows(problems)
    return rows
