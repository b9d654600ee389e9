"""Content coding: inflate request bodies, compress responses (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Protocol

import msgspec

from ..errors import BodyTooLarge, UnsupportedEncoding
from ..reply import BodyChunks, Response

WINDOW_BITS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}
"""What zlib wants to hear for each Content-Encoding (RFC 9110, section 8.4.1)."""

LEAST_BYTES = 4 * 1024
"""Shorter answers are sent as they are: they fit into a packet or three either way."""

OFF_LOOP_BYTES = 32 * 1024
"""Compressing so much takes some 0.3 ms: longer answers are not compressed on an event loop."""

LEVEL = 1
"""The quickest: JSON of numbers gets hardly smaller at the higher ones, which take far longer."""

CODINGS = ("gzip", "deflate")
"""Those that are spoken, the likeliest to be understood first."""

CACHED_CHARACTERS = 256
"""Longer headers are read anew each time, so that the cache stays small."""


def inflated(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body as it was before its sender compressed it.

    Args:
        body: as received.
        encoding: the Content-Encoding header, empty where there was none.
        max_bytes: what comes out is cut off beyond this, before it takes memory.

    Raises:
        UnsupportedEncoding: for an unknown encoding, or a body that is not in it.
        BodyTooLarge: when more than ``max_bytes`` would come out.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOW_BITS:
        raise UnsupportedEncoding(
            f"Content-Encoding {name[:40]!r} is not known; send gzip, deflate or none"
        )
    stream = zlib.decompressobj(WINDOW_BITS[name])
    try:
        plain = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        raise UnsupportedEncoding(f"the body is not {name}, as Content-Encoding says") from None
    if len(plain) > max_bytes:
        raise BodyTooLarge(max_bytes)
    if not stream.eof or stream.unused_data:
        raise UnsupportedEncoding(f"the {name} body ends too early or has bytes left over")
    return plain


def compressed(reply: Response, accept: str | None) -> Response:
    """The answer in the coding that its reader likes best, or as it is.

    Args:
        reply: any answer that is not compressed yet; its rest, if any, is compressed as it is made.
        accept: the request's ``Accept-Encoding``.
    """
    if len(reply.body) < LEAST_BYTES and reply.rest is None:
        return reply
    headers = (*reply.headers, ("Vary", "Accept-Encoding"))
    coding = chosen_coding(accept)
    if coding is None:
        return msgspec.structs.replace(reply, headers=headers)
    headers += (("Content-Encoding", coding),)
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS[coding])
    if reply.rest is None:
        body, rest = stream.compress(reply.body) + stream.flush(), None
    else:
        body, rest = _whole_so_far(stream, reply.body), _Compressed(stream, reply.rest)
    return msgspec.structs.replace(reply, body=body, headers=headers, rest=rest)


def chosen_coding(accept: str | None) -> str | None:
    """``gzip`` or ``deflate``, by what ``Accept-Encoding`` says; None for an answer as it is."""
    if accept is None:
        return None
    return _chosen(accept) if len(accept) > CACHED_CHARACTERS else _cached_chosen(accept)


def _chosen(accept: str) -> str | None:
    weights = {}
    for part in accept.lower().split(","):
        coding, *parameters = (text.strip() for text in part.split(";"))
        weights[coding.removeprefix("x-")] = _weight(parameters)
    others = weights.get("*", 0.0)
    weight, coding = max(
        ((weights.get(coding, others), coding) for coding in CODINGS), key=lambda pair: pair[0]
    )
    return coding if weight > 0 and weight >= weights.get("identity", 0.0) else None


_cached_chosen = lru_cache(64)(_chosen)


def _weight(parameters: list[str]) -> float:
    """How much a coding is liked, from 0 to 1; one whose weight can't be read is not wanted."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0


class _Stream(Protocol):
    """What zlib makes."""

    def compress(self, data: bytes, /) -> bytes:
        """Take more in."""

    def flush(self, mode: int = ..., /) -> bytes:
        """Give what was taken in."""


def _whole_so_far(stream: _Stream, piece: bytes) -> bytes:
    """A piece compressed so that its reader has all of it at once."""
    return stream.compress(piece) + stream.flush(zlib.Z_SYNC_FLUSH)


class _Compressed:
    """The rest of an answer, compressed piece by piece."""

    def __init__(self, stream: _Stream, pieces: BodyChunks) -> None:
        self._stream, self._pieces = stream, pieces
        self._ended = False

    def __iter__(self) -> _Compressed:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        for piece in self._pieces:
            return _whole_so_far(self._stream, piece) if piece else b""
        self._ended = True
        return self._stream.flush()

    def close(self) -> None:
        self._pieces.close()
