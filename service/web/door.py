"""What passes between a connection and what answers it: requests and answers, whole and as bytes."""

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


class Answer(msgspec.Struct, gc=False):
    """An answer as bytes.

    Attributes:
        head: status line and headers, each with its line end; without Date and Connection.
        body: the bytes; not sent in answer to HEAD.
    """

    head: bytes
    body: bytes


Respond = Callable[[Answer], None]
"""Takes the answer to one request, once, on the loop's thread."""

Cancel = Callable[[], bool]
"""Called when the client has gone before its answer was there; whether there will be none."""


class Door(Protocol):
    """What answers requests."""

    def __call__(self, request: Request, respond: Respond) -> Cancel | None:
        """Answer a request now or later, without ever blocking."""

    def refuse(self, error: HTTPException) -> Answer:
        """The answer to what never became a request."""
