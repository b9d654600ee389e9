"""A constant answer from the server that our service runs in: ``python -m ... PORT``.

What this answers is the ceiling of the service: connections, parsing and writing cost the same, and
nothing is done in between. Nothing else here knows the service from within.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from werkzeug.exceptions import HTTPException

from benchmarks.peers.constant_answer import ANSWER
from pigeonhole.service.gunicorn_server import GunicornServer
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.auth import Authenticator
from pigeonhole.service.web.errors import JSON
from pigeonhole.service.web.http.messages import Request as HttpRequest
from pigeonhole.service.web.http.messages import Send, WireResponse
from pigeonhole.service.web.reply import Response
from pigeonhole.service.web.request_id import request_id

BODY = ANSWER.encode()

REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"


class ConstantDoor:
    """Answers the same to any request."""

    def __init__(self) -> None:
        # The very bytes of an answer of the service, its headers included.
        self._answer = Response(HTTPStatus.OK, BODY, JSON).answer(request_id(None))

    def __call__(self, _request: HttpRequest, respond: Send) -> None:
        """Answer at once."""
        respond(self._answer)

    def refuse(self, _error: HTTPException) -> WireResponse:
        """The answer to what is no HTTP."""
        return WireResponse(REFUSAL, b"")


@dataclass(frozen=True)
class Constant:
    """In the place of one worker's service.

    Attributes:
        door: what answers.
        guard: asks for no key.
    """

    handler: ConstantDoor
    authenticator: Authenticator

    def drain(self) -> None:
        """There is no readiness to fail."""

    def close(self) -> None:
        """There are no threads to stop."""


class ConstantServer(GunicornServer):
    """Our server with a constant answer in its workers."""

    def load(self) -> Any:
        """What a worker answers with."""
        return Constant(ConstantDoor(), Authenticator(None))


if __name__ == "__main__":
    ConstantServer(Settings(port=int(sys.argv[1]), workers=2)).run()
