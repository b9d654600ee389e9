r"""MLflow's and SageMaker's ``/invocations``: frames and rows, with the rows protocol's responses.

{"dataframe_split": {"columns": ["weight_kg", "height_cm"], "data": [[95, 172]]}}
{"dataframe_records": [{"height_cm": 172, "weight_kg": 95}]}
{"instances": [[172, 95]]}                                 also a list of objects
{"inputs": {"height_cm": [172], "weight_kg": [95]}}        also rows; the response has rows
[[172, 95]]                                                SageMaker; pandas ``records``
[172, 95]                                                  SageMaker, one row
{"columns": [...], "data": [...]}                          MLflow 1; pandas ``split``
172,95                                                     text/csv, with or without a header

All other formats of the rows protocol are accepted too. A missing number may be NaN, as in pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from ...errors import InvalidRequest
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.per_model import PerModel
from ...model.row_types import check_row_count
from ...model.signature import Signature
from ...model.validation import (
    Locate,
    columns_from_values,
    describe,
    locate_by_column,
    locate_by_row,
    pointer_token,
    rows_from_columns,
)
from ..inference.protocol import Decoded, Header, InferenceResult
from ..json_body import (
    BYTE_ORDER_MARK,
    DECODE_ERRORS,
    check_list_length,
    media_type,
    nan_to_null,
    parse_json,
)
from ..response import Response
from .csv_format import lacks_header
from .frame_format import FrameDecoder, columns_from_frame, nat_to_none
from .protocol import ACCEPTED_TYPES, CSV, RowsProtocol, format_of
from .table_results import encode_csv

SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"

KEYS = (SPLIT, RECORDS, INSTANCES, INPUTS)
"""A request has exactly one of these keys."""

MISSING_COST = 16
"""Decoding time of JSON with NaN or NaT, relative to other JSON of the same size."""

MAX_FIRST_LINE_BYTES = 64 * 1024
"""Bytes of a CSV body in which a header is looked for."""

Encoded = bytes | msgspec.Raw
"""JSON that is not decoded yet."""

_ABSENT = msgspec.Raw()


class _Request(msgspec.Struct):
    """A request with its rows still encoded. Other keys, such as ``params``, are ignored."""

    dataframe_split: msgspec.Raw = _ABSENT
    dataframe_records: msgspec.Raw = _ABSENT
    instances: msgspec.Raw = _ABSENT
    inputs: msgspec.Raw = _ABSENT


_REQUEST = msgspec.json.Decoder(_Request)


@dataclass(frozen=True)
class _RequestDecoders:
    """The decoders of one model: rows as objects, rows as lists, columns, and frames."""

    named: msgspec.json.Decoder[Any]
    listed: msgspec.json.Decoder[Any]
    columns: msgspec.json.Decoder[Any]
    frames: FrameDecoder


class InvocationsProtocol:
    """Decodes frames and rows; the module's docstring shows them.

    MLflow's client makes a data frame of ``predictions``. Ours are rows of label, probability and
    probabilities, so the frame has three columns.

    Args:
        max_rows: limit of rows in one request.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows = RowsProtocol(max_rows)

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """Return the rows in a body. The context is the encoder of the response."""
        content_type = header("content-type") or ""
        if format_of(content_type, body) is not None:
            return self._decode_table(model, body, header)
        body = nan_to_null(body)
        columns = self._decode_fast(model, body)
        if columns is None:
            columns = self._decode_with_errors(model.signature, body, content_type)
        return Decoded(columns, self._rows.encoder_for(model, header))

    def _decode_table(self, model: Model, body: bytes, header: Header) -> Decoded:
        """Return the rows of a body in a format other than JSON."""
        if not _is_csv_without_header(model.signature, body, header("content-type") or ""):
            return self._rows.decode(model, body, header)

        def with_header_absent(name: str) -> str | None:
            return f"{CSV}; header=absent" if name == "content-type" else header(name)

        decoded = self._rows.decode(model, body, with_header_absent)
        if decoded.context is not encode_csv:
            return decoded
        # SageMaker joins the lines of the body with those of the response, so neither has a header.
        return Decoded(decoded.columns, partial(encode_csv, has_header=False))

    def encode(self, result: InferenceResult) -> Response:
        """Return the response of the rows protocol."""
        return self._rows.encode(result)

    def decode_cost(self, header: Header, body: bytes) -> int:
        """Return the cost of the rows protocol, multiplied for pandas' missing values."""
        cost = self._rows.decode_cost(header, body)
        return MISSING_COST * cost if b"NaN" in body or b"NaT" in body else cost

    def _decode_fast(self, model: Model, body: bytes) -> Columns | None:
        """Return the rows if they fit, else None, without a reason."""
        decoders = _decoders_of(model)
        try:
            key, content = _find_content(body)
            if key == SPLIT:
                return decoders.frames.decode(content, self._max_rows)
            if key != RECORDS and bytes(memoryview(content)[:1]) == b"{":
                return model.row_types.from_columns(
                    decoders.columns.decode(content), self._max_rows
                )
            check_list_length(content, self._max_rows)
            try:
                rows = decoders.named.decode(content)
            except msgspec.ValidationError:
                rows = decoders.listed.decode(content)
        except DECODE_ERRORS:
            return None
        return model.row_types.from_rows(rows, self._max_rows)

    def _decode_with_errors(self, signature: Signature, body: bytes, content_type: str) -> Columns:
        """Return the rows, or raise an error that lists every problem."""
        request = parse_json(body, content_type, self._max_rows, ACCEPTED_TYPES)
        if isinstance(request, list):
            if request and len(signature.features) > 1 and not any(map(_is_row, request)):
                return columns_from_values(signature, [request], _in_one_row(""))
            return self._from_rows(signature, request, "")
        if not isinstance(request, dict):
            raise InvalidRequest(
                f'expected an object such as {{"instances": [...]}}, got {describe(request)}'
            )
        if "data" in request and not any(key in request for key in KEYS):
            return columns_from_frame(signature, request, "", self._max_rows)
        key = _only_key(request)
        value, pointer = request[key], f"/{key}"
        if key == SPLIT:
            return columns_from_frame(signature, value, pointer, self._max_rows)
        if key != RECORDS and isinstance(value, dict):
            return self._from_columns(signature, value, pointer)
        return self._from_rows(signature, value, pointer)

    def _from_rows(self, signature: Signature, rows: Any, pointer: str) -> Columns:
        if not isinstance(rows, list):
            raise InvalidRequest(f"expected a list of rows, got {describe(rows)}", pointer)
        check_row_count(len(rows), self._max_rows)
        return columns_from_values(signature, nat_to_none(signature, rows), locate_by_row(pointer))

    def _from_columns(self, signature: Signature, columns: dict[str, Any], pointer: str) -> Columns:
        lists = [values for values in columns.values() if isinstance(values, list)]
        if not lists:  # MLflow accepts a single row as an object of values
            return columns_from_values(signature, [columns], _in_one_row(pointer))
        check_row_count(max(map(len, lists)), self._max_rows)
        rows = rows_from_columns(signature, columns, pointer)
        return columns_from_values(signature, rows, locate_by_column(pointer))


def _make_decoders(model: Model) -> _RequestDecoders:
    return _RequestDecoders(
        msgspec.json.Decoder(list[model.row_types.object_row]),  # type: ignore[name-defined]
        msgspec.json.Decoder(list[model.row_types.array_row]),  # type: ignore[name-defined]
        msgspec.json.Decoder(model.row_types.columns),
        FrameDecoder(model),
    )


_decoders_of = PerModel(_make_decoders)


def _find_content(body: bytes) -> tuple[str, Encoded]:
    """Return the key of a request and the JSON under it.

    A bare list counts as records, and a bare object as a frame.

    Raises:
        msgspec.ValidationError: for a request with several keys.
    """
    if body.lstrip()[:1] == b"[":
        return RECORDS, body
    request = _REQUEST.decode(body)
    contents = [(key, content) for key in KEYS if (content := getattr(request, key))]
    if len(contents) > 1:
        raise msgspec.ValidationError
    return contents[0] if contents else (SPLIT, body)


def _only_key(request: dict[str, Any]) -> str:
    """Return the key of a request.

    Raises:
        InvalidRequest: for a request with no key or several keys.
    """
    keys = [key for key in KEYS if key in request]
    if len(keys) != 1:
        expected = ", ".join(f'"{key}"' for key in KEYS)
        got = " and ".join(f'"{key}"' for key in keys) or "none"
        raise InvalidRequest(f"expected one of {expected} in the body, got {got}")
    return keys[0]


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _in_one_row(pointer: str) -> Locate:
    """Return a function that locates the values of a body with a single row."""
    return lambda _row, name: pointer if name is None else f"{pointer}/{pointer_token(name)}"


def _is_csv_without_header(signature: Signature, body: bytes, content_type: str) -> bool:
    """Return whether a body is CSV without a header line.

    SageMaker's clients send no header, and their Content-Type does not say so.
    """
    if "csv" not in media_type(content_type):
        return False
    if "header=" in (lower := content_type.lower()):
        return "header=absent" in lower
    start = body[:MAX_FIRST_LINE_BYTES].removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace")
    return lacks_header(start, signature)
