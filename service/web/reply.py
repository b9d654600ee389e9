"""What a route answers, before any server or framework has a say in it."""

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
    # Answers are data; the one page that is none sets a policy of its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every answer that does not set its own; a ``Response`` never does."""


class BodyChunks(Protocol):
    """Bytes that are made one piece after the other, as a generator makes them."""

    def __iter__(self) -> BodyChunks:
        """Itself."""

    def __next__(self) -> bytes:
        """The next piece, which may be empty."""

    def close(self) -> None:
        """No more are wanted; may be called twice, and after the last one."""


class Response(msgspec.Struct, frozen=True):
    """An HTTP answer.

    Attributes:
        status: the status code.
        body: the bytes.
        content_type: of the body.
        headers: further headers, as (name, value).
        rest: what follows the body, if the answer is too long to be made at once.
    """

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    rest: BodyChunks | None = None

    def answer(self, identity: str) -> WireResponse:
        """The same as bytes but for its rest, with the id of the request that it answers."""
        head = _start(self.status, self.content_type)
        if self.headers:
            head += "".join(f"{name}: {value}\r\n" for name, value in self.headers).encode(
                "latin-1"
            )
        if self.rest is not None:
            return WireResponse(b"%b%b%b\r\n" % (head, _ID, identity.encode("ascii")), self.body)
        return WireResponse(
            b"%bContent-Length: %d\r\n%b%b\r\n"
            % (head, len(self.body), _ID, identity.encode("ascii")),
            self.body,
        )


def model_headers(model: Model) -> tuple[tuple[str, str], ...]:
    """Which model answered, for answers that have no place to say so."""
    return (("X-Model-Name", model.name), ("X-Model-Version", str(model.version)))


_ID = f"{HEADER}: ".encode("ascii")


def status_line(status: int) -> str:
    """The first line of an answer, with its line end."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"


@lru_cache(256)
def _start(status: int, content_type: str) -> bytes:
    """What the heads of all answers of one kind have in common."""
    always = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items())
    return f"{status_line(status)}Content-Type: {content_type}\r\n{always}".encode("latin-1")
