"""Requests and responses as they pass between a connection and a handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from werkzeug.exceptions import HTTPException


class Request(msgspec.Struct, gc=False):
    """A request with its whole body.

    Attributes:
        method: such as ``POST``, as sent.
        path: percent-decoded; invalid UTF-8 is replaced by U+FFFD, as in Flask.
        query: the text behind the question mark, as sent.
        headers: values by lower-case name; values of a repeated name are joined by commas.
        body: without chunked framing.
        version: of HTTP, such as ``1.1``.
        client: the client's address.
    """

    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes
    version: str
    client: str


class BodyStream(Protocol):
    """The chunks of a streamed response body, computed when the connection requests them."""

    def request_chunk(
        self, on_chunk: Callable[[bytes | None], None], on_error: Callable[[], None]
    ) -> None:
        """Compute the next chunk in another thread; at most one request is open at a time.

        Args:
            on_chunk: called on the loop's thread, never before this method returns, with the
                chunk, or with None after the last chunk.
            on_error: called instead if the chunk failed.
        """

    def close(self) -> None:
        """Compute no more chunks."""


class WireResponse(msgspec.Struct, gc=False):
    """A response as bytes.

    Attributes:
        head: status line and headers, each with its line end; without Date and Connection, and
            without Content-Length if there is a stream.
        body: the body, or its start if there is a stream; not sent in response to HEAD.
        stream: the chunks that follow the body; None for a complete body.
    """

    head: bytes
    body: bytes
    stream: BodyStream | None = None


Send = Callable[[WireResponse], None]
"""Sends the response to one request; called once, on the loop's thread."""

Cancel = Callable[[], bool]
"""Called when the client disconnects before its response; returns whether the work was canceled."""


class Handler(Protocol):
    """Responds to requests."""

    def __call__(self, request: Request, respond: Send) -> Cancel | None:
        """Respond to a request now or later, without blocking the loop."""

    def refuse(self, error: HTTPException) -> WireResponse:
        """Return the response to bytes that were not a valid request."""
