"""JSON requests of the protocol: decoded into structs, with each error at its JSON pointer."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from ...errors import InvalidRequest, UnreadableBody

T = TypeVar("T")

_LOCATED = re.compile(r"(?P<reason>.*) - at `\$(?P<path>.*)`", re.DOTALL)
"""A message of msgspec: ``... - at `$.inputs[0].name```."""

_STEP = re.compile(r"[.\[]([^.\[\]]+)\]?")


def decode_request(decoder: msgspec.json.Decoder[T], text: bytes, kind: str) -> T:
    """Return a request of the protocol.

    Args:
        decoder: of the request's struct.
        text: the JSON.
        kind: name of the request, for the message.

    Raises:
        InvalidRequest: if the JSON is not such a request.
        UnreadableBody: if the text is not JSON.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        reason, pointer = locate_error(error)
        raise InvalidRequest(f"this is not an {kind}: {reason}", pointer) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise unreadable_body(error) from None


def locate_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return msgspec's reason for the first wrong value, and the value's JSON pointer."""
    found = _LOCATED.fullmatch(str(error))
    reason, path = (found["reason"], found["path"]) if found else (str(error), "")
    return reason[:1].lower() + reason[1:], "".join(f"/{step}" for step in _STEP.findall(path))


def unreadable_body(error: Exception) -> UnreadableBody:
    """Return the error for a body that is not JSON."""
    if isinstance(error, RecursionError):
        return UnreadableBody("the JSON is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return UnreadableBody("the body is not UTF-8")
    return UnreadableBody(f"the body is not JSON: {error}")
