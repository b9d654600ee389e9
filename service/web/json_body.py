"""JSON bodies within bounds: counted before they become objects, and every error located.

Shared by all protocols that read JSON.
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

FEW_CONTAINERS = 100_000
"""Lists and objects in a body that are not worth counting."""

LONGEST_INTEGER = 300
"""Digits: a longer whole number is read as a double, which may be infinite and is refused then."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
"""A string, or what begins as one and never ends: so that no byte is looked at twice."""

_STRINGS = re.compile(_STRING, re.DOTALL)

_STRING_OR_NAN = re.compile(_STRING + rb"|\bNaN\b", re.DOTALL)

REFUSED = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What decoders raise of a body that is not as they want it."""

_LISTED = msgspec.json.Decoder(list[msgspec.Raw])


def checked_count(rows: bytes | msgspec.Raw, max_rows: int) -> None:
    """The same of rows that are a list by themselves.

    Raises:
        TooManyRows: when there are more.
        msgspec.MsgspecError: for what is no list, if that is looked at.
    """
    content = bytes(rows)
    if len(content) >= 2 * max_rows and may_be_a_crowd(content, max_rows):
        check_row_count(len(_LISTED.decode(content)), max_rows)


def may_be_a_crowd(body: bytes, max_rows: int) -> bool:
    """Return whether a body may hold more rows than are taken."""
    return body.count(b"{") > max_rows or body.count(b"[") > max_rows


def _check_container_count(body: bytes, max_rows: int) -> None:
    """Refuse a body of more lists and objects than rows and columns can be.

    Each may be three bytes, and becomes an object of sixty.
    """
    most = FEW_CONTAINERS + 2 * max_rows
    if _containers(body) > most and _containers(_STRINGS.sub(b"", body)) > most:
        raise InvalidRequest(f"the body holds more than {most} lists and objects")


def _containers(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def without_nan(body: bytes) -> bytes:
    """JSON with null for each NaN, which it has not and pandas and TensorFlow write."""
    if b"NaN" not in body:
        return body
    return _STRING_OR_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body)


@lru_cache(64)
def media_type(content_type: str) -> str:
    """A Content-Type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def as_text(body: bytes) -> str:
    """A body as text.

    Raises:
        UnreadableBody: when it is not UTF-8.
    """
    try:
        return body.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"the body is not UTF-8: byte {error.start} is wrong") from None


def parsed(body: bytes, content_type: str, max_rows: int, taken: Sequence[str] = (JSON,)) -> Any:
    """Any JSON as plain values; the standard library says where it breaks off.

    Args:
        body: the JSON.
        content_type: what its sender called it.
        max_rows: a body of many more lists and objects is refused before it is parsed.
        taken: media types that may be sent, for who sends another.

    Raises:
        InvalidRequest: for that.
        UnreadableBody: for what is no JSON.
        UnsupportedMediaType: for what is none and was not called so either.
    """
    problem: RequestError
    try:
        text = as_text(body)
        _check_container_count(body, max_rows)
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number)
    except RecursionError:
        raise UnreadableBody("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        problem = UnreadableBody(
            f"the body is not JSON: {error.msg}, {where}" if body else "the body is empty"
        )
    except _Constant as error:
        problem = UnreadableBody(
            f"the body is not JSON: {error} is no JSON number; send null for a missing value"
        )
    except UnreadableBody as error:
        problem = UnreadableBody(str(error))  # without its traceback
    called = media_type(content_type)
    # curl -d says x-www-form-urlencoded of everything, so what looks like JSON counts as JSON.
    start = body.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    looks_like_json = start in (b"{", b"[", b"")
    if called and "json" not in called and not looks_like_json:
        raise UnsupportedMediaType(
            f"Content-Type {called[:40]!r} is not taken, and {problem}; send {_any_of(taken)}"
        )
    try:
        raise problem
    finally:
        del problem  # its traceback holds this frame, and this frame the body


def _any_of(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


class _Constant(Exception):
    """NaN, Infinity or -Infinity, which Python's parser takes and JSON has not."""


def _refuse_constant(name: str) -> None:
    raise _Constant(name)


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)
