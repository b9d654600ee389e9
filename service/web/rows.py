r"""The rows protocol: ``/predict``, and the same body under TensorFlow Serving's and KServe's paths.

{"instances": [{"height_cm": 172, "weight_kg": 95}]}      rows as objects
{"instances": [[172, 95]]}                                rows as lists, in signature order
{"inputs": {"height_cm": [172], "weight_kg": [95]}}       columns; answered as columns
height_cm,weight_kg\n172,95                               text/csv
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from service.errors import InvalidRequest, RequestError, UnreadableBody
from service.model.artifact import Model
from service.model.problems import (
    by_column,
    by_row,
    columns_from_values,
    described,
    rows_from_columns,
)
from service.model.row_forms import check_row_count
from service.web.csv_rows import read_csv
from service.web.errors import JSON, UnsupportedMediaType
from service.web.inference import Answered, Decoded, Header
from service.web.reply import Reply
from service.web.row_answers import RowAnswers

CSV = "text/csv"

CSV_COST = 16
"""How much longer than JSON of as many bytes CSV takes to read, about."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

FEW_CONTAINERS = 100_000
"""Lists and objects in a body that are not worth counting."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

LONGEST_INTEGER = 300
"""Digits: a longer whole number is read as a double, which may be infinite and is refused then."""


@dataclass(frozen=True)
class _Forms:
    """What is generated for one model: quick decoders, in the order in which they are tried.

    Attributes:
        named: of rows as objects.
        listed: of rows as lists.
        columns: of columns.
        answers: writes answers.
    """

    named: msgspec.json.Decoder[Any]
    listed: msgspec.json.Decoder[Any]
    columns: msgspec.json.Decoder[Any]
    answers: RowAnswers


class _Counting(msgspec.Struct):
    instances: list[msgspec.Raw]


_COUNTING = msgspec.json.Decoder(_Counting)


class RowsProtocol:
    """Decodes rows and encodes labels with named probabilities; see the module's docstring.

    Args:
        max_rows: rows in one request at most.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows in a body: CSV where the Content-Type says so, else JSON."""
        forms = model.memo.get(_Forms)
        if forms is None:
            forms = model.memo[_Forms] = _made_forms(model)
        content_type = header("content-type") or ""
        if _media_type(content_type) == CSV:
            rows = read_csv(_text(body), model.signature, self._max_rows)
            return Decoded(columns_from_values(model.signature, rows), forms.answers.rows)
        self._refuse_crowds(body)
        return self._quick(model, forms, body) or self._thorough(model, forms, body, content_type)

    def encode(self, answered: Answered) -> Reply:
        """Labels and probabilities by class name, and what was unusual in the rows."""
        reply: Reply = answered.form(answered)
        return reply

    def reading_cost(self, header: Header, body: bytes) -> int:
        """Its bytes; CSV is read cell by cell, in Python."""
        is_csv = _media_type(header("content-type") or "") == CSV
        return CSV_COST * len(body) if is_csv else len(body)

    def _refuse_crowds(self, body: bytes) -> None:
        """Count the rows of a body that may have too many before any becomes an object.

        Two bytes, ``{}``, may be a row of a hundred optional features: decoding first and counting
        then would let a small body take a lot of memory.
        """
        if len(body) < 2 * self._max_rows:
            return
        if body.count(b"{") <= self._max_rows and body.count(b"[") <= self._max_rows:
            return
        try:
            rows = _COUNTING.decode(body).instances
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return
        check_row_count(len(rows), self._max_rows)

    def _quick(self, model: Model, forms: _Forms, body: bytes) -> Decoded | None:
        """The rows, if they fit; else None, and nothing said of why."""
        try:
            instances = forms.named.decode(body).instances
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            try:
                instances = forms.listed.decode(body).instances
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                return self._quick_columns(model, forms, body)
        columns = model.forms.from_rows(instances, self._max_rows)
        return None if columns is None else Decoded(columns, forms.answers.rows)

    def _quick_columns(self, model: Model, forms: _Forms, body: bytes) -> Decoded | None:
        try:
            inputs = forms.columns.decode(body).inputs
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        columns = model.forms.from_columns(inputs, self._max_rows)
        return None if columns is None else Decoded(columns, forms.answers.columns)

    def _refuse_swarms(self, body: bytes) -> None:
        """Refuse a body of more lists and objects than rows and columns can be.

        Each may be three bytes, and becomes an object of sixty.
        """
        most = FEW_CONTAINERS + 2 * self._max_rows
        if _containers(body) > most and _containers(_STRING.sub(b"", body)) > most:
            raise InvalidRequest(f"the body holds more than {most} lists and objects")

    def _thorough(self, model: Model, forms: _Forms, body: bytes, content_type: str) -> Decoded:
        """The rows, or an error that names everything wrong with them."""
        self._refuse_swarms(body)
        request = _parsed(body, content_type)
        if not isinstance(request, dict):
            raise InvalidRequest(
                f'expected an object such as {{"instances": [...]}}, got {described(request)}'
            )
        if "instances" in request:
            pointer = "/instances"
            rows, write, locate = request["instances"], forms.answers.rows, by_row(pointer)
            if not isinstance(rows, list):
                raise InvalidRequest(f"expected a list of rows, got {described(rows)}", pointer)
        elif "inputs" in request:
            pointer = "/inputs"
            write, locate = forms.answers.columns, by_column(pointer)
            if not isinstance(request["inputs"], dict):
                raise InvalidRequest(
                    f"expected an object of columns, got {described(request['inputs'])}", pointer
                )
            # Before they are turned into rows, which take far more room.
            columns = [values for values in request["inputs"].values() if isinstance(values, list)]
            check_row_count(max(map(len, columns), default=0), self._max_rows)
            rows = rows_from_columns(model.signature, request["inputs"], pointer)
        else:
            example = ", ".join(f'"{name}": ...' for name in list(model.signature.by_name)[:3])
            raise InvalidRequest(
                f'expected "instances" or "inputs" in the body: {{"instances": [{{{example}}}]}}'
            )
        check_row_count(len(rows), self._max_rows)
        return Decoded(columns_from_values(model.signature, rows, locate), write)


def _made_forms(model: Model) -> _Forms:
    forms = model.forms

    def decoder(key: str, kind: Any) -> msgspec.json.Decoder[Any]:
        # Unknown keys beside the rows (signature_name, parameters) are other protocols' business.
        return msgspec.json.Decoder(msgspec.defstruct("Body", [(key, kind)]))

    return _Forms(
        named=decoder("instances", list[forms.named]),  # type: ignore[name-defined]
        listed=decoder("instances", list[forms.listed]),  # type: ignore[name-defined]
        columns=decoder("inputs", forms.columns),
        answers=RowAnswers(model),
    )


def _containers(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


@lru_cache(64)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _text(body: bytes) -> str:
    try:
        return body.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"the body is not UTF-8: byte {error.start} is wrong") from None


def _parsed(body: bytes, content_type: str) -> Any:
    """Any JSON as plain values; the standard library says where it breaks off."""
    text = _text(body)
    problem: RequestError
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number)
    except RecursionError:
        raise UnreadableBody("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        problem = UnreadableBody(
            f"the body is not JSON: {error.msg}, {where}" if body else "the body is empty"
        )
    except _Constant as error:
        problem = UnreadableBody(f"the body is not JSON: {error} is no JSON number")
    media_type = _media_type(content_type)
    # curl -d says x-www-form-urlencoded of everything, so what looks like JSON counts as JSON.
    looks_like_json = text.lstrip()[:1] in ("{", "[", "")
    if media_type and "json" not in media_type and not looks_like_json:
        raise UnsupportedMediaType(
            f"Content-Type {media_type[:40]!r} is not taken, and {problem}; send {JSON} or text/csv"
        )
    try:
        raise problem
    finally:
        del problem  # its traceback holds this frame, and this frame the body


class _Constant(Exception):
    """NaN, Infinity or -Infinity, which Python's parser takes and JSON has not."""


def _refuse_constant(name: str) -> None:
    raise _Constant(name)


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)
