"""Responses of routes, before a handler turns them into bytes."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Protocol

import msgspec

from ..model.artifact import Model
from .http.messages import WireResponse
from .request_id import HEADER

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Most responses are data. The documentation page sets a policy of its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Default headers of every response; a `Response` must not set them itself."""


class BodyChunks(Protocol):
    """Chunks of a response body, computed one by one, as by a generator."""

    def __iter__(self) -> BodyChunks:
        """Return itself."""

    def __next__(self) -> bytes:
        """Return the next chunk, which may be empty."""

    def close(self) -> None:
        """Compute no more chunks; may be called twice, and after the last chunk."""


class Response(msgspec.Struct, frozen=True):
    """An HTTP response.

    Attributes:
        status: the status code.
        body: the body, or its start if there are chunks.
        content_type: of the body.
        headers: further headers, as (name, value).
        chunks: the chunks that follow the body; None for a complete body.
    """

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    chunks: BodyChunks | None = None

    def to_wire(self, request_id: str) -> WireResponse:
        """Return head and body as bytes, with the request id; the caller adds the stream."""
        head = _common_head(self.status, self.content_type)
        if self.headers:
            head += "".join(f"{name}: {value}\r\n" for name, value in self.headers).encode(
                "latin-1"
            )
        if self.chunks is not None:
            return WireResponse(b"%b%b%b\r\n" % (head, _ID, request_id.encode("ascii")), self.body)
        return WireResponse(
            b"%bContent-Length: %d\r\n%b%b\r\n"
            % (head, len(self.body), _ID, request_id.encode("ascii")),
            self.body,
        )


def model_headers(model: Model) -> tuple[tuple[str, str], ...]:
    """Return headers that name the model, for formats without a field for it."""
    return (("X-Model-Name", model.name), ("X-Model-Version", str(model.version)))


_ID = f"{HEADER}: ".encode("ascii")


def status_line(status: int) -> str:
    """Return the first line of a response, with its line end."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"


@lru_cache(256)
def _common_head(status: int, content_type: str) -> bytes:
    """Return the lines that all responses of a status and a content type share."""
    defaults = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items())
    return f"{status_line(status)}Content-Type: {content_type}\r\n{defaults}".encode("latin-1")
