"""JSON bodies within limits: containers are counted before decoding, and errors have a location.

Shared by every protocol that reads JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ..errors import InvalidRequest, RequestError, UnreadableBody
from ..model.row_types import check_row_count
from .errors import JSON, UnsupportedMediaType

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

FREE_CONTAINERS = 100_000
"""Lists and objects that any body may hold, besides two per row."""

MAX_INTEGER_DIGITS = 300
"""A longer integer is read as a double. If it is infinite, validation rejects it."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
"""A string, or an unterminated string up to the end. Possessive, so that each byte is read once."""

_STRINGS = re.compile(_STRING, re.DOTALL)

_STRING_OR_NAN = re.compile(_STRING + rb"|\bNaN\b", re.DOTALL)

DECODE_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""Exceptions of msgspec's decoders for a body that does not fit their type."""

_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def check_list_length(rows: bytes | msgspec.Raw, max_rows: int) -> None:
    """Reject a JSON list of too many rows before any row is decoded.

    Raises:
        TooManyRows: for more than ``max_rows`` rows.
        msgspec.MsgspecError: for long JSON that is not a list.
    """
    content = bytes(rows)
    if len(content) >= 2 * max_rows and may_exceed_rows(content, max_rows):
        check_row_count(len(_LIST.decode(content)), max_rows)


def may_exceed_rows(body: bytes, max_rows: int) -> bool:
    """Return whether a body has enough brackets for more than ``max_rows`` rows."""
    return body.count(b"{") > max_rows or body.count(b"[") > max_rows


def _check_container_count(body: bytes, max_rows: int) -> None:
    """Reject a body with far more lists and objects than the rows can need.

    A container of three bytes becomes an object of sixty.
    """
    limit = FREE_CONTAINERS + 2 * max_rows
    if _count_brackets(body) > limit and _count_brackets(_STRINGS.sub(b"", body)) > limit:
        raise InvalidRequest(
            f"the body holds more than {limit} lists and objects; send the rows in parts"
        )


def _count_brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def nan_to_null(body: bytes) -> bytes:
    """Return JSON with each NaN replaced by null.

    JSON has no NaN, but pandas and TensorFlow write it.
    """
    if b"NaN" not in body:
        return body
    return _STRING_OR_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body)


@lru_cache(64)
def media_type(content_type: str) -> str:
    """Return a Content-Type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def decode_utf8(body: bytes) -> str:
    """Return a body as text, without a byte order mark.

    Raises:
        UnreadableBody: for a body that is not UTF-8.
    """
    try:
        return body.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"the body is not UTF-8: invalid byte {error.start}") from None


def parse_json(
    body: bytes, content_type: str, max_rows: int, accepted_types: Sequence[str] = (JSON,)
) -> Any:
    """Parse any JSON into plain values; an error names the line and the column.

    Args:
        body: the JSON.
        content_type: the client's Content-Type.
        max_rows: limit of rows in one request, which bounds the lists and objects.
        accepted_types: media types that the error for another media type lists.

    Raises:
        InvalidRequest: for far more lists and objects than ``max_rows`` rows need.
        UnreadableBody: for a body that is not JSON.
        UnsupportedMediaType: for a body that neither is JSON nor claims to be.
    """
    problem: RequestError
    try:
        text = decode_utf8(body)
        _check_container_count(body, max_rows)
        return json.loads(text, parse_constant=_reject_constant, parse_int=_parse_integer)
    except RecursionError:
        raise UnreadableBody("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        location = f"line {error.lineno}, column {error.colno}"
        problem = UnreadableBody(
            f"the body is not JSON: {error.msg}, {location}" if body else "the body is empty"
        )
    except _NotAJsonNumber as error:
        problem = UnreadableBody(
            f"the body is not JSON: {error} is not a JSON number; send null for a missing value"
        )
    except UnreadableBody as error:
        problem = UnreadableBody(str(error))  # without the traceback
    if _claims_another_type(body, content_type):
        raise UnsupportedMediaType(
            f"Content-Type {media_type(content_type)[:40]!r} is not supported, and {problem}; "
            f"send {_join_alternatives(accepted_types)}"
        )
    try:
        raise problem
    finally:
        del problem  # its traceback holds this frame, and the frame holds the body


def _claims_another_type(body: bytes, content_type: str) -> bool:
    """Return whether a body neither claims to be JSON nor starts like JSON.

    ``curl -d`` sends x-www-form-urlencoded with any body, so a body that starts like JSON counts
    as JSON.
    """
    claimed = media_type(content_type)
    start = body.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    return bool(claimed) and "json" not in claimed and start not in (b"{", b"[", b"")


def _join_alternatives(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


class _NotAJsonNumber(Exception):
    """NaN, Infinity or -Infinity, which Python's parser accepts and JSON does not have."""


def _reject_constant(name: str) -> None:
    raise _NotAJsonNumber(name)


def _parse_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)
