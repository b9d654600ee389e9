"""Content coding: inflate request bodies, compress responses (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Protocol

import msgspec
from werkzeug.http import parse_accept_header

from ..errors import BodyTooLarge, UnsupportedEncoding
from ..response import BodyChunks, Response

WINDOW_BITS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}
"""zlib's ``wbits`` argument for each content coding (RFC 9110, section 8.4.1)."""

CODINGS = ("gzip", "deflate")
"""Codings of responses, in the service's order of preference."""

MIN_COMPRESS_BYTES = 4 * 1024
"""Shorter responses are not compressed: they fit into three packets anyway."""

OFF_LOOP_BYTES = 32 * 1024
"""Longer responses are compressed off the event loop, because this many bytes take 0.3 ms."""

LEVEL = 1
"""The fastest level. Higher levels take far longer and hardly shrink JSON numbers further."""

MAX_HEADER_CHARACTERS = 1000
"""A longer ``Accept-Encoding`` is ignored, which bounds parsing time and the size of the cache."""


def decompress_body(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the body as it was before the client compressed it.

    Args:
        body: the received bytes.
        encoding: the Content-Encoding header; empty if the request has none.
        max_bytes: limit of the result. Decompression stops there, so memory stays bounded.

    Raises:
        UnsupportedEncoding: for an unknown encoding, or a body that is not in this encoding.
        BodyTooLarge: if the result is longer than ``max_bytes``.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOW_BITS:
        raise UnsupportedEncoding(
            f"Content-Encoding {name[:40]!r} is not supported; send gzip, deflate or none"
        )
    stream = zlib.decompressobj(WINDOW_BITS[name])
    try:
        plain = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        raise UnsupportedEncoding(f"the body is not {name}, as Content-Encoding says") from None
    if len(plain) > max_bytes:
        raise BodyTooLarge(max_bytes)
    if not stream.eof or stream.unused_data:
        raise UnsupportedEncoding(f"the {name} body is cut short or has extra bytes at its end")
    return plain


def compress_response(response: Response, accept: str | None) -> Response:
    """Return the response in the coding that the client prefers, or unchanged if it is short.

    Args:
        response: a response without content coding. ``chunks`` are compressed one by one.
        accept: the request's ``Accept-Encoding``.
    """
    if len(response.body) < MIN_COMPRESS_BYTES and response.chunks is None:
        return response
    headers = (*response.headers, ("Vary", "Accept-Encoding"))
    coding = choose_coding(accept)
    if coding is None:
        return msgspec.structs.replace(response, headers=headers)
    headers += (("Content-Encoding", coding),)
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS[coding])
    if response.chunks is None:
        body, chunks = stream.compress(response.body) + stream.flush(), None
    else:
        body, chunks = (
            _compress_chunk(stream, response.body),
            _CompressedChunks(stream, response.chunks),
        )
    return msgspec.structs.replace(response, body=body, headers=headers, chunks=chunks)


def choose_coding(accept: str | None) -> str | None:
    """Return the coding for an ``Accept-Encoding`` header, or None for an uncompressed response."""
    if accept is None or len(accept) > MAX_HEADER_CHARACTERS:
        return None
    return _choose(accept)


@lru_cache(64)
def _choose(accept: str) -> str | None:
    """Return the coding of the highest weight; identity wins over a coding of a lower weight."""
    weights = {
        item.partition(";")[0].lower().removeprefix("x-"): weight
        for item, weight in parse_accept_header(accept)
    }
    default = weights.get("*", 0)
    coding = max(CODINGS, key=lambda name: weights.get(name, default))
    weight = weights.get(coding, default)
    return coding if weight > 0 and weight >= weights.get("identity", 0) else None


class _Compressor(Protocol):
    """The type of ``zlib.compressobj``, which zlib does not export."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress more data."""

    def flush(self, mode: int = ..., /) -> bytes:
        """Return the buffered output."""


def _compress_chunk(stream: _Compressor, chunk: bytes) -> bytes:
    """Compress a chunk and flush, so that the client can decompress all of it at once."""
    return stream.compress(chunk) + stream.flush(zlib.Z_SYNC_FLUSH)


class _CompressedChunks:
    """Compresses the chunks of a response one by one."""

    def __init__(self, stream: _Compressor, chunks: BodyChunks) -> None:
        self._stream, self._chunks = stream, chunks
        self._is_finished = False

    def __iter__(self) -> _CompressedChunks:
        return self

    def __next__(self) -> bytes:
        if self._is_finished:
            raise StopIteration
        for chunk in self._chunks:
            return _compress_chunk(self._stream, chunk) if chunk else b""
        self._is_finished = True
        return self._stream.flush()

    def close(self) -> None:
        self._chunks.close()
