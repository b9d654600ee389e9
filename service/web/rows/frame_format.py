"""Rows as a pandas frame in the orientation ``split``, the way MLflow's client sends them.

{"columns": ["weight_kg", "height_cm"], "data": [[95, 172]]}

Columns may be in any order. Without names they are in signature order. The index is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from ...errors import InvalidRequest, Problem
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.row_types import VALUE_TYPES, check_row_count
from ...model.signature import Kind, Signature
from ...model.validation import (
    PROBLEM_LIMIT,
    check_column_names,
    columns_from_values,
    count_values,
    describe,
    invalid_rows,
    truncate,
)
from ..json_body import check_list_length

COLUMN_ORDERS = 64
"""Limit of cached decoders, because clients may send any number of column orders."""

NAT = "NaT"
"""A missing datetime as pandas writes it."""


class _Frame(msgspec.Struct):
    """A frame with its rows still encoded."""

    data: msgspec.Raw
    columns: list[str | int] | None = None


_FRAME = msgspec.json.Decoder(_Frame)


@dataclass(frozen=True)
class _RowDecoder:
    """Decodes the rows of frames with one order of columns.

    Attributes:
        rows: decodes the rows, each into a tuple.
        fields: the field of ``RowTypes.columns`` for each column.
    """

    rows: msgspec.json.Decoder[Any]
    fields: list[str]


class FrameDecoder:
    """Decodes the frames of one model without reporting problems."""

    def __init__(self, model: Model) -> None:
        self._signature, self._types = model.signature, model.row_types
        self._by_columns: dict[tuple[str, ...], _RowDecoder] = {}

    def decode(self, content: bytes | msgspec.Raw, max_rows: int) -> Columns | None:
        """Return the rows of a frame if they fit, else None, without a reason.

        Raises:
            TooManyRows: for more than ``max_rows`` rows.
            msgspec.MsgspecError: for another JSON value.
        """
        frame = _FRAME.decode(content)
        decoder = self._row_decoder(frame.columns)
        if decoder is None:
            return None
        check_list_length(frame.data, max_rows)
        rows = decoder.rows.decode(frame.data)
        check_row_count(len(rows), max_rows)
        fields = decoder.fields
        values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(fields)
        columns = self._types.columns(**dict(zip(fields, values, strict=True)))
        return self._types.from_columns(columns, max_rows)

    def _row_decoder(self, columns: list[str | int] | None) -> _RowDecoder | None:
        """Return the decoder for an order of columns, or None if they are not the features."""
        names = tuple(self._signature.by_name)
        if columns is not None and columns != list(range(len(names))):
            if len(columns) > len(names):
                return None
            names = tuple(columns)  # type: ignore[arg-type]  # a number is not a feature's name
        decoder = self._by_columns.get(names) or self._make_row_decoder(names)
        if decoder is not None and len(self._by_columns) < COLUMN_ORDERS:
            self._by_columns[names] = decoder
        return decoder

    def _make_row_decoder(self, names: tuple[str, ...]) -> _RowDecoder | None:
        signature, sent = self._signature, set(names)
        required = {feature.name for feature in signature.features if feature.required}
        is_valid = required <= sent <= signature.by_name.keys()
        if not names or len(sent) != len(names) or not is_valid:
            return None
        fields = dict(zip(signature.by_name, self._types.columns.__struct_fields__, strict=True))
        values = []
        for name in names:
            feature = signature.by_name[name]
            value = VALUE_TYPES[feature.kind]
            values.append(value if feature.required else value | None)
        rows = msgspec.json.Decoder(list[tuple[tuple(values)]])  # type: ignore[misc]
        return _RowDecoder(rows, [fields[name] for name in names])


def columns_from_frame(signature: Signature, frame: Any, pointer: str, max_rows: int) -> Columns:
    """Return the rows of a frame, or raise an error that lists every problem.

    Args:
        signature: the features.
        frame: the parsed frame.
        pointer: JSON pointer of the frame in the body.
        max_rows: limit of rows in one request.

    Raises:
        InvalidRequest: for a value that is not a frame.
        InvalidRows: for unknown or missing columns, rows of a wrong length, and invalid values.
        TooManyRows: for more than ``max_rows`` rows.
    """
    if not isinstance(frame, dict):
        raise InvalidRequest(f"expected columns and data, got {describe(frame)}", pointer)
    data, base = frame.get("data"), f"{pointer}/data"
    if not isinstance(data, list):
        raise InvalidRequest(f"expected a list of rows, got {describe(data)}", base)
    check_row_count(len(data), max_rows)
    names = _check_columns(signature, frame.get("columns"), f"{pointer}/columns")
    _check_lengths(names, data, base)
    indexes = {name: index for index, name in enumerate(names)}

    def locate(row: int, name: str | None) -> str:
        return f"{base}/{row}/{indexes[name]}" if name in indexes else f"{base}/{row}"

    rows = [dict(zip(names, row, strict=True)) for row in data]
    return columns_from_values(signature, nat_to_none(signature, rows), locate)


def _check_columns(signature: Signature, columns: Any, pointer: str) -> list[str]:
    """Return the column names of a frame; by default the features in signature order."""
    features = list(signature.by_name)
    if columns is None or columns == list(range(len(features))):
        return features
    if not isinstance(columns, list):
        raise InvalidRequest(f"expected a list of names, got {describe(columns)}", pointer)
    # Further columns are unknown or repeated, and these suffice to report that.
    columns = columns[: len(features) + PROBLEM_LIMIT + 1]
    indexes: dict[str, int] = {}
    for index, name in enumerate(columns):
        if not isinstance(name, str):
            raise InvalidRequest(f"expected a name, got {describe(name)}", f"{pointer}/{index}")
        if name in indexes:
            raise InvalidRequest(f"column '{truncate(name)}' is repeated", f"{pointer}/{index}")
        indexes[name] = index

    def locate(_row: int, name: str | None) -> str:
        return f"{pointer}/{indexes[name]}" if name in indexes else pointer

    check_column_names(signature, columns, locate)
    return list(indexes)


def _check_lengths(names: Sequence[str], data: Sequence[Any], pointer: str) -> None:
    """Reject rows that are not lists with one value per column."""
    expected = f"{count_values(len(names))}: {truncate(', '.join(names), 200)}"
    problems = (
        Problem(row, None, f"{pointer}/{row}", expected, _describe_row(values))
        for row, values in enumerate(data)
        if not isinstance(values, list) or len(values) != len(names)
    )
    if found := list(islice(problems, PROBLEM_LIMIT + 1)):
        raise invalid_rows(found)


def _describe_row(values: Any) -> str:
    return count_values(len(values)) if isinstance(values, list) else describe(values)


def nat_to_none(signature: Signature, rows: list[Any]) -> list[Any]:
    """Return the rows with None for each missing datetime, which pandas writes as the text NaT."""
    datetimes = {feature.name for feature in signature.features if feature.kind is Kind.DATETIME}
    if not datetimes:
        return rows
    return [
        {name: None if name in datetimes and value == NAT else value for name, value in row.items()}
        if isinstance(row, dict)
        else row
        for row in rows
    ]
