"""Rows as ``text/csv``: a header of feature names, then a row a line.

The cells are read by column: numbers all at once, other cells once for each different text.
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
from ...model.table_validation import Coded, Numbers, columns_from_table
from ...model.validation import (
    PROBLEM_LIMIT,
    check_names,
    check_unique,
    invalid_rows,
    truncate,
    values_of,
)

DELIMITERS = (",", ";", "\t", "|")
"""Those that the trainer reads too; where two fit, the first."""

MISSING = frozenset({"", "na", "n/a", "nan", "?", "null", "none"})
"""Cells that mean a missing value, whatever their case: the contract's list."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A plain decimal number. Python's float() would take 1_000 and infinity too."""

_JSON_NUMBERS = msgspec.json.Decoder(list[float | None])

COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")
"""One with a decimal comma."""

Read = Callable[[Feature, str], Any]
"""Gives the value of a cell."""

FIELD_CHARACTERS = 1_000_000
"""Longer cells are refused; the csv module asks for a limit."""

LINE_CELLS = 100_000
"""A line of more is refused before each of them becomes an object."""


def csv_columns(
    text: str, signature: Signature, max_rows: int = sys.maxsize, *, has_header: bool = True
) -> Columns:
    """The rows of a CSV body.

    Args:
        text: quoted as RFC 4180 says, with any of ``DELIMITERS`` between the cells.
        signature: tells how a cell is read: as a number, a boolean, a datetime or text.
        max_rows: no more rows than these are kept.
        has_header: whether the first line names the features; else the cells of each line stand in
            signature order.

    Raises:
        UnreadableBody: for text that is no CSV.
        InvalidRequest: for a header that is missing or repeats itself, or names nothing that is
            known or resembles it.
        InvalidRows: for a header with unknown columns, or without one that is needed, for every row
            of more or fewer cells, and for every cell that doesn't fit.
        TooManyRows: for more than ``max_rows``.
    """
    csv.field_size_limit(FIELD_CHARACTERS)
    names = list(signature.by_name)
    delimiter = _delimiter(text, names, has_header=has_header)
    reader = csv.reader(_lines(text), strict=True, delimiter=delimiter)
    try:
        filled = (cells for cells in reader if cells)
        if has_header:
            names = _header(filled, signature)
        rows = _rows(filled, names, max_rows)
    except csv.Error as error:
        raise UnreadableBody(f"not CSV, line {reader.line_num}: {error}") from None
    read = _value_with_comma if delimiter == ";" else _value
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    table = {
        name: cells_column(signature.by_name[name], cells, read)
        for name, cells in zip(names, columns, strict=True)
    }
    return columns_from_table(signature, table, len(rows))


def _value(feature: Feature, cell: str) -> Any:
    """A cell's value; text that does not fit stays text, for the signature to refuse."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return None
    if feature.kind is Kind.NUMBER:
        return float(cell) if NUMBER.fullmatch(cell) else cell
    if feature.kind is Kind.BOOLEAN:
        return {"true": True, "false": False, "1": True, "0": False}.get(cell.lower(), cell)
    return cell


def _value_with_comma(feature: Feature, cell: str) -> Any:
    """The same where semicolons stand between the cells: 1,5 is then a number too."""
    if feature.kind is Kind.NUMBER and COMMA_NUMBER.fullmatch(cell.strip()):
        cell = cell.replace(",", ".")
    return _value(feature, cell)


def cells_column(feature: Feature, cells: Sequence[str], read: Read = _value) -> Coded | Numbers:
    """A column of text cells for `columns_from_table`.

    Args:
        feature: which it is.
        cells: one for each row.
        read: gives the value of a cell.
    """
    if feature.kind is Kind.NUMBER:
        numbers = _json_numbers(cells)
        if numbers is None:
            values = [read(feature, cell) for cell in cells]
            numbers = None if str in set(map(type, values)) else np.array(values, np.float64)
        if numbers is not None:
            return numbers
    return Coded(cells, {cell: read(feature, cell) for cell in set(cells)})


def _json_numbers(cells: Sequence[str]) -> Numbers | None:
    """Cells that are all missing or numbers as JSON writes them; None where one is anything else.

    They are read as a JSON array, which takes a tenth of the time. A cell that would be several
    values of it can't hide: none can be less than one.
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
    """The lines with their ends, none of them of more cells than any table has."""
    for line in io.StringIO(text, newline=""):
        if len(line) > LINE_CELLS and max(map(line.count, DELIMITERS)) >= LINE_CELLS:
            raise InvalidRequest(f"a line of CSV has more than {LINE_CELLS} cells")
        yield line


def _delimiter(text: str, names: Sequence[str], *, has_header: bool) -> str:
    """The one that finds most of the features in the header; a comma where it makes no odds.

    Without a header it is the one that finds as many cells as there are features.
    """
    first = next(_lines(text.lstrip("\r\n")), "")

    def found(delimiter: str) -> int:
        cells = next(csv.reader([first], delimiter=delimiter), [])
        if not has_header:
            return len(cells) == len(names)
        return len(set(names) & set(_named(cells)))

    try:
        return max(DELIMITERS, key=found)
    except csv.Error:
        return DELIMITERS[0]


def lacks_header(text: str, signature: Signature) -> bool:
    """Whether the first line of a table is a row: as many cells as features, and no feature's name.

    A name in other cases is one too, lest somebody's mistake in a header is answered as a row.

    Args:
        text: the table, or how it begins.
        signature: tells the features.
    """
    first = next(_lines(text.lstrip("\r\n")), "").rstrip("\r\n")
    try:
        found = [next(csv.reader([first], delimiter=d), []) for d in DELIMITERS]
    except csv.Error:
        return False
    names = {name.lower() for name in signature.by_name}
    if any(cell.strip().lower() in names for cells in found for cell in cells):
        return False
    return len(signature.features) in map(len, found)


def _header(lines: Iterator[list[str]], signature: Signature) -> list[str]:
    names = _named(next(lines, []))
    if not names:
        raise InvalidRequest("the CSV body is empty, expected a header line with feature names")
    known = set(names) & signature.by_name.keys()
    if known:
        check_unique(names, "the CSV header")
    try:
        check_names(signature, names)
    except InvalidRows as error:
        if known or any(p.did_you_mean for p in error.problems):
            raise
        raise InvalidRequest(
            "the first line of the CSV names no feature; rows without a header, in the order of "
            "the features, are sent as text/csv; header=absent"
        ) from None
    return names


def _named(header: list[str]) -> list[str]:
    """A column without a name is called by its place, as the trainer calls it."""
    return [name.strip() or f"column_{place}" for place, name in enumerate(header, 1)]


def _rows(lines: Iterator[list[str]], names: Sequence[str], max_rows: int) -> list[list[str]]:
    """The cells of each line, of all lines the same number."""
    rows: list[list[str]] = []
    wrong: list[Problem] = []
    for index, cells in enumerate(lines):
        if index == max_rows:
            check_row_count(index + 1 + sum(1 for _ in lines), max_rows)
        if len(cells) != len(names) and len(wrong) <= PROBLEM_LIMIT:
            expected = f"{values_of(len(names))}: {truncate(', '.join(names), 200)}"
            wrong.append(Problem(index, None, None, expected, values_of(len(cells))))
        rows.append(cells)
    if wrong:
        raise invalid_rows(wrong)
    return rows
