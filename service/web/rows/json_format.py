"""Rows as JSON: objects, lists or columns.

A body is decoded into types that are generated from the signature. A body that does not fit is
decoded again, slowly, to report every problem in it. A body that may hold too many objects is
counted before any of them is created.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ...errors import InvalidRequest
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.row_types import VALUE_TYPES, check_row_count
from ...model.validation import (
    columns_from_values,
    describe,
    locate_by_column,
    locate_by_row,
    rows_from_columns,
)
from ..errors import JSON
from ..json_body import DECODE_ERRORS, check_list_length, may_exceed_rows, parse_json


class _RawBody(msgspec.Struct):
    """A body with its rows still encoded."""

    instances: msgspec.Raw = msgspec.Raw(b"{}")
    inputs: msgspec.Raw = msgspec.Raw(b"{}")


_RAW_BODY = msgspec.json.Decoder(_RawBody)


class JsonRowDecoder:
    """Decodes the rows of one model.

    Unknown keys beside the rows, such as signature_name and parameters, are ignored.

    Args:
        model: the model.
        accepted_types: media types that the error for another media type lists.
    """

    def __init__(self, model: Model, accepted_types: Sequence[str] = (JSON,)) -> None:
        self._signature, self._types = model.signature, model.row_types
        self._accepted_types = accepted_types
        types = model.row_types
        self._named = _decoder("instances", list[types.object_row])  # type: ignore[name-defined]
        self._listed = _decoder("instances", list[types.array_row])  # type: ignore[name-defined]
        either = types.columns | list[types.array_row]  # type: ignore[name-defined]
        self._inputs = _decoder("inputs", either)
        self._values: dict[str, msgspec.json.Decoder[Any]] = {}
        if len(model.signature.features) == 1:
            (feature,) = model.signature.features
            value = VALUE_TYPES[feature.kind]
            values: Any = list[value if feature.required else value | None]  # type: ignore[misc]
            self._values = {key: _decoder(key, values) for key in ("instances", "inputs")}

    def decode(self, body: bytes, content_type: str, max_rows: int) -> tuple[Columns, bool]:
        """Return the rows in a body, and whether the response has columns.

        Args:
            body: the decompressed body.
            content_type: the client's Content-Type, for the error about a body that is not JSON.
            max_rows: limit of rows in one request.

        Raises:
            RequestError: for an invalid body.
        """
        if len(body) >= 2 * max_rows:
            _check_row_count_early(body, max_rows)
        return self._decode_fast(body, max_rows) or self._decode_with_errors(
            body, content_type, max_rows
        )

    def _decode_fast(self, body: bytes, max_rows: int) -> tuple[Columns, bool] | None:
        """Return the rows if they fit, else None, without a reason."""
        try:
            instances = self._named.decode(body).instances
        except DECODE_ERRORS:
            try:
                instances = self._listed.decode(body).instances
            except DECODE_ERRORS:
                return self._decode_inputs(body, max_rows)
        columns = self._types.from_rows(instances, max_rows)
        return None if columns is None else (columns, False)

    def _decode_inputs(self, body: bytes, max_rows: int) -> tuple[Columns, bool] | None:
        """Return the columns or rows under ``inputs``, as `_decode_fast` does."""
        try:
            inputs = self._inputs.decode(body).inputs
        except DECODE_ERRORS:
            return self._decode_values(body, max_rows)
        columns = (
            self._types.from_rows(inputs, max_rows)
            if isinstance(inputs, list)
            else self._types.from_columns(inputs, max_rows)
        )
        return None if columns is None else (columns, True)

    def _decode_values(self, body: bytes, max_rows: int) -> tuple[Columns, bool] | None:
        """Return rows written as bare values, which only a model with one feature has."""
        for key, decoder in self._values.items():
            try:
                values = getattr(decoder.decode(body), key)
            except DECODE_ERRORS:
                continue
            (field,) = self._types.columns.__struct_fields__
            columns = self._types.from_columns(self._types.columns(**{field: values}), max_rows)
            return None if columns is None else (columns, key == "inputs")
        return None

    def _decode_with_errors(
        self, body: bytes, content_type: str, max_rows: int
    ) -> tuple[Columns, bool]:
        """Return the rows, or raise an error that lists every problem."""
        request = parse_json(body, content_type, max_rows, self._accepted_types)
        key = self._find_key(request)
        rows, pointer = request[key], f"/{key}"
        if key == "inputs" and isinstance(rows, dict):
            return self._from_columns(rows, pointer, max_rows), True
        if not isinstance(rows, list):
            expected = "a list of rows" if key == "instances" else "columns or a list of rows"
            raise InvalidRequest(f"expected {expected}, got {describe(rows)}", pointer)
        check_row_count(len(rows), max_rows)
        return columns_from_values(self._signature, rows, locate_by_row(pointer)), key == "inputs"

    def _find_key(self, request: Any) -> str:
        """Return the key of the rows in a request."""
        if not isinstance(request, dict):
            raise InvalidRequest(
                f'expected an object such as {{"instances": [...]}}, got {describe(request)}'
            )
        for key in ("instances", "inputs"):
            if key in request:
                return key
        example = ", ".join(f'"{name}": ...' for name in list(self._signature.by_name)[:3])
        raise InvalidRequest(
            f'expected "instances" or "inputs" in the body: {{"instances": [{{{example}}}]}}'
        )

    def _from_columns(self, columns: dict[str, Any], pointer: str, max_rows: int) -> Columns:
        """Return parsed columns as rows; counted first, because rows take much more memory."""
        lists = [values for values in columns.values() if isinstance(values, list)]
        check_row_count(max(map(len, lists), default=0), max_rows)
        rows = rows_from_columns(self._signature, columns, pointer)
        return columns_from_values(self._signature, rows, locate_by_column(pointer))


def _decoder(key: str, kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Body", [(key, kind)]))


def _check_row_count_early(body: bytes, max_rows: int) -> None:
    """Reject a body with too many rows before any row is decoded.

    The two bytes ``{}`` may be a row of a hundred optional features, so decoding before counting
    would let a small body take a lot of memory.
    """
    if not may_exceed_rows(body, max_rows):
        return
    with suppress(*DECODE_ERRORS):
        raw = _RAW_BODY.decode(body)
        for rows in (raw.instances, raw.inputs):
            if bytes(rows)[:1] == b"[":
                check_list_length(rows, max_rows)
