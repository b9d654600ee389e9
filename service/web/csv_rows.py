"""Rows as ``text/csv``: a header of feature names, then a row a line."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from service.errors import InvalidRequest, UnreadableBody
from service.model.problems import check_names
from service.model.row_forms import check_row_count
from service.model.signature import Feature, Kind, Signature

DELIMITERS = (",", ";", "\t", "|")
"""Those that the trainer reads too; where two fit, the first."""

MISSING = frozenset({"", "na", "n/a", "nan", "?", "null", "none"})
"""Cells that mean a missing value, whatever their case: the contract's list."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A plain decimal number. Python's float() would take 1_000 and infinity too."""

COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")
"""One with a decimal comma."""

Read = Callable[[Feature | None, str], Any]
"""Gives the value of a cell."""

FIELD_CHARACTERS = 1_000_000
"""Longer cells are refused; the csv module asks for a limit."""


def read_csv(text: str, signature: Signature, max_rows: int = sys.maxsize) -> list[dict[str, Any]]:
    """The rows of a CSV body as plain values, still to be held against the signature.

    Args:
        text: quoted as RFC 4180 says, with any of ``DELIMITERS`` between the cells.
        signature: tells how a cell is read: as a number, a boolean or text.
        max_rows: no more rows than these are kept.

    Raises:
        UnreadableBody: for text that is no CSV.
        InvalidRequest: for a header that is missing or repeats itself, or a ragged row.
        InvalidRows: for a header with unknown columns, or without one that is needed.
        TooManyRows: for more than ``max_rows``.
    """
    csv.field_size_limit(FIELD_CHARACTERS)
    delimiter = _delimiter(text, signature)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        read = _value_with_comma if delimiter == ";" else _value
        return _rows((line for line in reader if line), signature, max_rows, read)
    except csv.Error as error:
        raise UnreadableBody(f"not CSV, line {reader.line_num}: {error}") from None


def _delimiter(text: str, signature: Signature) -> str:
    """The one that finds most of the features in the header; a comma where it makes no odds."""
    lines = io.StringIO(text, newline="")

    def found(delimiter: str) -> int:
        lines.seek(0)
        header = next(csv.reader(lines, delimiter=delimiter), [])
        return len(signature.by_name.keys() & set(_names(header)))

    try:
        return max(DELIMITERS, key=found)
    except csv.Error:
        return DELIMITERS[0]


def _names(header: list[str]) -> list[str]:
    """A column without a name is called by its place, as the trainer calls it."""
    return [name.strip() or f"column_{place}" for place, name in enumerate(header, 1)]


def _rows(
    lines: Iterator[list[str]], signature: Signature, max_rows: int, read: Read
) -> list[dict[str, Any]]:
    header = _names(next(lines, []))
    if not header:
        raise InvalidRequest("the CSV body is empty, expected a header line with feature names")
    if repeated := [name for name, times in Counter(header).items() if times > 1]:
        raise InvalidRequest(f"the CSV header names {min(repeated)[:40]!r} twice")
    check_names(signature, header)
    features = [signature.by_name.get(name) for name in header]
    rows: list[dict[str, Any]] = []
    for index, cells in enumerate(lines):
        if len(cells) != len(header):
            raise InvalidRequest(
                f"CSV row {index} has {len(cells)} cells, the header has {len(header)}"
            )
        if index == max_rows:
            check_row_count(index + 1 + sum(1 for _ in lines), max_rows)
        values = (
            read(feature, cell.strip()) for feature, cell in zip(features, cells, strict=True)
        )
        rows.append(dict(zip(header, values, strict=True)))
    return rows


def _value_with_comma(feature: Feature | None, cell: str) -> Any:
    """The same where semicolons stand between the cells: 1,5 is then a number too."""
    is_number = feature is not None and feature.kind is Kind.NUMBER
    if is_number and COMMA_NUMBER.fullmatch(cell):
        cell = cell.replace(",", ".")
    return _value(feature, cell)


def _value(feature: Feature | None, cell: str) -> Any:
    """A cell's value; text that does not fit stays text, for the signature to refuse."""
    if cell.lower() in MISSING:
        return None
    kind = feature.kind if feature is not None else Kind.CATEGORY
    if kind is Kind.NUMBER:
        return float(cell) if NUMBER.fullmatch(cell) else cell
    if kind is Kind.BOOLEAN:
        return {"true": True, "false": False, "1": True, "0": False}.get(cell.lower(), cell)
    return cell
