"""Our HTTP server with a constant response: ``python -m benchmarks.serving.constant PORT``.

It is the ceiling of the service: connections, parsing and writing cost the same, and predictions cost
nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from werkzeug.exceptions import HTTPException

from benchmarks.peers.constant_response import RESPONSE
from pigeonhole.service.gunicorn_server import GunicornServer
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.auth import Authenticator
from pigeonhole.service.web.errors import JSON
from pigeonhole.service.web.http.messages import Request as HttpRequest
from pigeonhole.service.web.http.messages import Send, WireResponse
from pigeonhole.service.web.request_id import request_id
from pigeonhole.service.web.response import Response

BODY = RESPONSE.encode()

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"


class ConstantHandler:
    """Sends the same response to every request."""

    def __init__(self) -> None:
        # The same headers as a prediction.
        self._response = Response(HTTPStatus.OK, BODY, JSON).to_wire(request_id(None))

    def __call__(self, _request: HttpRequest, respond: Send) -> None:
        """Respond at once."""
        respond(self._response)

    def refuse(self, _error: HTTPException) -> WireResponse:
        """Return the response to bytes that were not a valid request."""
        return WireResponse(BAD_REQUEST, b"")


@dataclass(frozen=True)
class ConstantService:
    """Takes the place of the service in a worker.

    Attributes:
        handler: sends the constant response.
        authenticator: allows anonymous clients.
    """

    handler: ConstantHandler
    authenticator: Authenticator

    def drain(self) -> None:
        """Do nothing, because there are no health checks."""

    def close(self) -> None:
        """Do nothing, because there are no threads."""


class ConstantServer(GunicornServer):
    """Our server with `ConstantService` in its workers."""

    def load(self) -> Any:
        """Return the service of a worker."""
        return ConstantService(ConstantHandler(), Authenticator(None))


if __name__ == "__main__":
    # Without the check for stuck model runs, because there are no models.
    ConstantServer(Settings(port=int(sys.argv[1]), workers=2, stuck_seconds=0)).run()
