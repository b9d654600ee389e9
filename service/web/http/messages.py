"""What passes between a connection and what answers it: requests and answers as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from werkzeug.exceptions import HTTPException


class Request(msgspec.Struct, gc=False):
    """A request, whole.

    Attributes:
        method: as sent.
        path: decoded; what is no UTF-8 in it has become U+FFFD, as Flask has it.
        query: what stands behind the question mark, as sent.
        headers: by name in lower case; several of one name are joined by commas.
        body: after chunks were put together.
        version: of HTTP, such as ``1.1``.
        client: the other end's address.
    """

    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes
    version: str
    client: str


class BodyStream(Protocol):
    """What is left of a long answer: pieces, each made when there is room for it."""

    def ask(self, take: Callable[[bytes | None], None], fail: Callable[[], None]) -> None:
        """Have the next piece made, elsewhere; nobody asks for another before it is there.

        Args:
            take: called with it on the loop's thread, later; with None when there was none left.
            fail: called instead where it can't be made.
        """

    def close(self) -> None:
        """Nobody asks any more: what has not been made never is."""


class WireResponse(msgspec.Struct, gc=False):
    """An answer as bytes.

    Attributes:
        head: status line and headers, each with its line end; without Date and Connection, and
            without a length where there is a rest.
        body: the bytes; not sent in answer to HEAD.
        rest: what follows them, if the answer is too long to be made at once.
    """

    head: bytes
    body: bytes
    rest: BodyStream | None = None


Send = Callable[[WireResponse], None]
"""Takes the answer to one request, once, on the loop's thread."""

Cancel = Callable[[], bool]
"""Called when the client has gone before its answer was there; whether there will be none."""


class Handler(Protocol):
    """What answers requests."""

    def __call__(self, request: Request, respond: Send) -> Cancel | None:
        """Answer a request now or later, without ever blocking."""

    def refuse(self, error: HTTPException) -> WireResponse:
        """The answer to what never became a request."""
