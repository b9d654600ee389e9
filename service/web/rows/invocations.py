r"""MLflow's and SageMaker's ``/invocations``: frames and rows in, the answer of the rows protocol out.

{"dataframe_split": {"columns": ["weight_kg", "height_cm"], "data": [[95, 172]]}}
{"dataframe_records": [{"height_cm": 172, "weight_kg": 95}]}
{"instances": [[172, 95]]}                                 also a list of objects
{"inputs": {"height_cm": [172], "weight_kg": [95]}}        also rows; answered as rows
[[172, 95]]                                                SageMaker's, and pandas' records
[172, 95]                                                  SageMaker's of one row
{"columns": [...], "data": [...]}                          MLflow 1's, pandas' split
172,95                                                     text/csv, with a header or without

What else the rows protocol takes, it takes here too. A missing number may be NaN, as pandas writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
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
    by_column,
    by_row,
    check_names,
    columns_from_values,
    describe,
    escaped,
    invalid_rows,
    rows_from_columns,
    truncate,
    values_of,
)
from ..inference.protocol import Decoded, Header, InferenceResult
from ..json_body import BYTE_ORDER_MARK, REFUSED, checked_count, media_type, parsed, without_nan
from ..reply import Response
from .csv_format import lacks_header
from .protocol import CSV, TAKEN, RowsProtocol, reader_of
from .table_answers import csv_answer

SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"

FORMS = (SPLIT, RECORDS, INSTANCES, INPUTS)
"""The keys of which a request has one."""

MISSING_COST = 16
"""How much longer than other JSON of as many bytes one with NaN or NaT takes to read, about."""

FRAME_ORDERS = 64
"""Orders of columns whose decoders are kept; callers may invent any number of them."""

FIRST_LINE_BYTES = 64 * 1024
"""A first line of CSV that is longer is not looked at."""

NAT = "NaT"

Given = bytes | msgspec.Raw
"""JSON that is still to be read."""

_ABSENT = msgspec.Raw()


class _Request(msgspec.Struct):
    """A request before its rows are read. Other keys, such as ``params``, are passed over."""

    dataframe_split: msgspec.Raw = _ABSENT
    dataframe_records: msgspec.Raw = _ABSENT
    instances: msgspec.Raw = _ABSENT
    inputs: msgspec.Raw = _ABSENT


class _Frame(msgspec.Struct):
    """A frame before its values are read; its ``index`` says nothing to a model."""

    data: msgspec.Raw
    columns: list[str | int] | None = None


_REQUEST, _FRAME = msgspec.json.Decoder(_Request), msgspec.json.Decoder(_Frame)


@dataclass(frozen=True)
class _FrameForm:
    """How frames of some columns are read: each row a tuple, of values for these fields.

    Attributes:
        rows: decodes all rows.
        fields: of ``RowTypes.columns``, in the order of the columns.
    """

    rows: msgspec.json.Decoder[Any]
    fields: list[str]


@dataclass(frozen=True)
class _Forms:
    """The quick decoders of one model: of rows, of columns, and of frames by their columns."""

    named: msgspec.json.Decoder[Any]
    listed: msgspec.json.Decoder[Any]
    columns: msgspec.json.Decoder[Any]
    frames: dict[tuple[str, ...], _FrameForm] = field(default_factory=dict)


class InvocationsProtocol:
    """Decodes frames and rows, and answers as the rows protocol does; see the module's docstring.

    MLflow's own servers answer whatever their model returns as ``predictions``, which its client
    makes a frame of. Ours are rows of label, probability and probabilities: three columns there.

    Args:
        max_rows: rows in one request at most.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows = RowsProtocol(max_rows)

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows in a body: by its Content-Type, or else JSON."""
        content_type = header("content-type") or ""
        if reader_of(content_type, body) is not None:
            return self._table(model, body, header)
        body = without_nan(body)
        forms = _forms_of(model)
        columns = self._quick(model, forms, body)
        if columns is None:
            columns = self._thorough(model.signature, body, content_type)
        return Decoded(columns, self._rows.writer(model, header))

    def _table(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows of a form that is no JSON."""
        if not _lacks_header(model.signature, body, header("content-type") or ""):
            return self._rows.decode(model, body, header)

        def headerless(name: str) -> str | None:
            return f"{CSV}; header=absent" if name == "content-type" else header(name)

        decoded = self._rows.decode(model, body, headerless)
        if decoded.form is not csv_answer:
            return decoded
        # Who sends no header expects none: SageMaker joins its lines with those of the answer.
        return Decoded(decoded.columns, partial(csv_answer, has_header=False))

    def encode(self, answered: InferenceResult) -> Response:
        """As rows are answered."""
        return self._rows.encode(answered)

    def reading_cost(self, header: Header, body: bytes) -> int:
        """As of rows; more where missing values are spelled as pandas spells them."""
        cost = self._rows.reading_cost(header, body)
        return MISSING_COST * cost if b"NaN" in body or b"NaT" in body else cost

    def _quick(self, model: Model, forms: _Forms, body: bytes) -> Columns | None:
        """The rows, if they fit; else None, and nothing said of why."""
        try:
            key, given = _given(body)
            if key == SPLIT:
                return self._quick_frame(model, forms, given)
            if key != RECORDS and bytes(memoryview(given)[:1]) == b"{":
                return model.forms.from_columns(forms.columns.decode(given), self._max_rows)
            checked_count(given, self._max_rows)
            try:
                rows = forms.named.decode(given)
            except msgspec.ValidationError:
                rows = forms.listed.decode(given)
        except REFUSED:
            return None
        return model.forms.from_rows(rows, self._max_rows)

    def _quick_frame(self, model: Model, forms: _Forms, given: Given) -> Columns | None:
        frame = _FRAME.decode(given)
        names = tuple(model.signature.by_name)
        if frame.columns is not None and frame.columns != list(range(len(names))):
            if len(frame.columns) > len(names):
                return None
            names = tuple(frame.columns)  # type: ignore[arg-type]  # numbers are no names of any
        form = forms.frames.get(names) or _frame_form(model, names)
        if form is None:
            return None
        if len(forms.frames) < FRAME_ORDERS:
            forms.frames[names] = form
        checked_count(frame.data, self._max_rows)
        rows = form.rows.decode(frame.data)
        check_row_count(len(rows), self._max_rows)
        values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(names)
        columns = model.forms.columns(**dict(zip(form.fields, values, strict=True)))
        return model.forms.from_columns(columns, self._max_rows)

    def _thorough(self, signature: Signature, body: bytes, content_type: str) -> Columns:
        """The rows, or an error that names everything wrong with them."""
        request = parsed(body, content_type, self._max_rows, TAKEN)
        if isinstance(request, list):
            if request and len(signature.features) > 1 and not any(map(_is_row, request)):
                return columns_from_values(signature, [request], lambda _, name: _at("", name))
            return self._from_rows(signature, request, "")
        if not isinstance(request, dict):
            raise InvalidRequest(
                f'expected an object such as {{"instances": [...]}}, got {describe(request)}'
            )
        given = [key for key in FORMS if key in request]
        if not given and "data" in request:
            return self._from_frame(signature, request, "")
        if len(given) != 1:
            one_of = ", ".join(f'"{key}"' for key in FORMS)
            got = " and ".join(f'"{key}"' for key in given) or "none"
            raise InvalidRequest(f"expected one of {one_of} in the body, got {got}")
        (key,) = given
        value, pointer = request[key], f"/{key}"
        if key == SPLIT:
            return self._from_frame(signature, value, pointer)
        if key != RECORDS and isinstance(value, dict):
            return self._from_columns(signature, value, pointer)
        return self._from_rows(signature, value, pointer)

    def _from_rows(self, signature: Signature, rows: Any, pointer: str) -> Columns:
        if not isinstance(rows, list):
            raise InvalidRequest(f"expected a list of rows, got {describe(rows)}", pointer)
        check_row_count(len(rows), self._max_rows)
        return columns_from_values(signature, _without_nat(signature, rows), by_row(pointer))

    def _from_columns(self, signature: Signature, columns: dict[str, Any], pointer: str) -> Columns:
        lists = [values for values in columns.values() if isinstance(values, list)]
        if not lists:  # a row by itself, as MLflow takes it
            return columns_from_values(signature, [columns], lambda _, name: _at(pointer, name))
        check_row_count(max(map(len, lists)), self._max_rows)
        rows = rows_from_columns(signature, columns, pointer)
        return columns_from_values(signature, rows, by_column(pointer))

    def _from_frame(self, signature: Signature, frame: Any, pointer: str) -> Columns:
        if not isinstance(frame, dict):
            raise InvalidRequest(f"expected columns and data, got {describe(frame)}", pointer)
        data = frame.get("data")
        if not isinstance(data, list):
            raise InvalidRequest(
                f"expected a list of rows, got {describe(data)}", f"{pointer}/data"
            )
        check_row_count(len(data), self._max_rows)
        names = _column_names(signature, frame.get("columns"), f"{pointer}/columns")
        base = f"{pointer}/data"
        _check_lengths(names, data, base)
        places = {name: place for place, name in enumerate(names)}

        def locate(row: int, name: str | None) -> str:
            return f"{base}/{row}/{places[name]}" if name in places else f"{base}/{row}"

        rows = [dict(zip(names, row, strict=True)) for row in data]
        return columns_from_values(signature, _without_nat(signature, rows), locate)


def _forms_of(model: Model) -> _Forms:
    forms: _Forms | None = model.memo.get(_Forms)
    if forms is None:
        forms = model.memo[_Forms] = _Forms(
            msgspec.json.Decoder(list[model.forms.named]),  # type: ignore[name-defined]
            msgspec.json.Decoder(list[model.forms.listed]),  # type: ignore[name-defined]
            msgspec.json.Decoder(model.forms.columns),
        )
    return forms


def _given(body: bytes) -> tuple[str, Given]:
    """The key of what a request gives, with that.

    Raises:
        msgspec.ValidationError: where it gives nothing, or several things.
    """
    if body.lstrip()[:1] == b"[":
        return RECORDS, body
    request = _REQUEST.decode(body)
    given = [(key, value) for key in FORMS if (value := getattr(request, key))]
    if len(given) > 1:
        raise msgspec.ValidationError
    return given[0] if given else (SPLIT, body)


def _frame_form(model: Model, names: tuple[str, ...]) -> _FrameForm | None:
    """How frames of these columns are read; None where they are not the features asked for."""
    signature, there = model.signature, set(names)
    required = {feature.name for feature in signature.features if feature.required}
    if not names or len(there) != len(names) or not required <= there <= signature.by_name.keys():
        return None
    fields = dict(zip(signature.by_name, model.forms.columns.__struct_fields__, strict=True))
    values = []
    for name in names:
        feature = signature.by_name[name]
        value = VALUE_TYPES[feature.kind]
        values.append(value if feature.required else value | None)
    rows = msgspec.json.Decoder(list[tuple[tuple(values)]])  # type: ignore[misc]
    return _FrameForm(rows, [fields[name] for name in names])


def _column_names(signature: Signature, columns: Any, pointer: str) -> list[str]:
    """The columns of a frame, held against the signature; without names they are in its order."""
    features = list(signature.by_name)
    if columns is None or columns == list(range(len(features))):
        return features
    if not isinstance(columns, list):
        raise InvalidRequest(f"expected a list of names, got {describe(columns)}", pointer)
    # More of them are unknown ones, or come twice, and these are enough to say so.
    columns = columns[: len(features) + PROBLEM_LIMIT + 1]
    places: dict[str, int] = {}
    for place, name in enumerate(columns):
        if not isinstance(name, str):
            raise InvalidRequest(f"expected a name, got {describe(name)}", f"{pointer}/{place}")
        if name in places:
            raise InvalidRequest(f"a column '{truncate(name)}' came before", f"{pointer}/{place}")
        places[name] = place

    def locate(_row: int, name: str | None) -> str:
        return f"{pointer}/{places[name]}" if name in places else pointer

    check_names(signature, columns, locate)
    return list(places)


def _check_lengths(names: Sequence[str], data: Sequence[Any], pointer: str) -> None:
    """Refuse rows of a frame that are no lists of as many values as there are columns."""
    expected = f"{len(names)} values: {truncate(', '.join(names), 200)}"
    wrong = (
        Problem(row, None, f"{pointer}/{row}", expected, _told(values))
        for row, values in enumerate(data)
        if not isinstance(values, list) or len(values) != len(names)
    )
    if found := list(islice(wrong, PROBLEM_LIMIT + 1)):
        raise invalid_rows(found)


def _told(values: Any) -> str:
    return values_of(len(values)) if isinstance(values, list) else describe(values)


def _without_nat(signature: Signature, rows: list[Any]) -> list[Any]:
    """Rows with None for each missing datetime of pandas, which its clients write as a text."""
    dated = {feature.name for feature in signature.features if feature.kind is Kind.DATETIME}
    if not dated:
        return rows
    return [
        {name: None if name in dated and value == NAT else value for name, value in row.items()}
        if isinstance(row, dict)
        else row
        for row in rows
    ]


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _at(pointer: str, name: str | None) -> str:
    return pointer if name is None else f"{pointer}/{escaped(name)}"


def _lacks_header(signature: Signature, body: bytes, content_type: str) -> bool:
    """Whether a body is CSV without a header line.

    SageMaker's clients send none, and don't say it.
    """
    if "csv" not in media_type(content_type):
        return False
    if "header=" in (said := content_type.lower()):
        return "header=absent" in said
    start = body[:FIRST_LINE_BYTES].removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace")
    return lacks_header(start, signature)
