"""The complete Flask app as a door: every request in a thread, through WSGI (PEP 3333)."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from werkzeug.exceptions import HTTPException

from ...errors import Overloaded
from ...serving.metrics import UNKNOWN_ROUTE, Metrics
from ..errors import CLIENT_GONE, error_response
from ..http.messages import Cancel, Request, Send, WireResponse
from ..monitoring.health import PROBES
from ..monitoring.request_log import UNREAD, FinishedRequest, RequestLog
from ..reply import status_line
from ..request_id import HEADER, request_id
from .threads import ResponseThreads

log = logging.getLogger(__name__)

KEPT_BACK = frozenset({"content-length", "transfer-encoding", "upgrade", "host"})
"""Headers that Flask is not given as they are. The first two say how the body was sent, but it has
been read: Flask must not think it in chunks, for it cuts those off at its limit without a word. It
would look for routes that are websockets, of which there are none. For the last, see `_host`."""

NO_HOST = "localhost"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class HandlerThreads:
    """The threads behind a door.

    Attributes:
        work: of POST requests.
        probes: of health.
        pages: of all others.
    """

    work: ResponseThreads
    probes: ResponseThreads
    pages: ResponseThreads

    def close(self) -> None:
        """Let all of them end."""
        for threads in (self.work, self.probes, self.pages):
            threads.close()


class WsgiHandler:
    """Answers requests with a WSGI application.

    Args:
        app: the application.
        metrics: told of what never reaches it.
        threads: for each kind of request, so that metrics wait behind no prediction, and health
            behind nothing.
        journal: where what never reaches the application is noted, if anywhere.
    """

    def __init__(
        self,
        app: WsgiApp,
        metrics: Metrics,
        threads: HandlerThreads,
        *,
        request_log: RequestLog | None = None,
    ) -> None:
        self._app, self._metrics = app, metrics
        self._threads, self._request_log = threads, request_log

    def __call__(self, request: Request, respond: Send) -> Cancel | None:
        """Answer a request in a thread."""
        if request.method == "POST":
            threads = self._threads.work
        elif request.path.rstrip("/") in PROBES:
            threads = self._threads.probes
        else:
            threads = self._threads.pages
        try:
            cancel = threads(partial(self._answered, request, threads), respond)
        except Overloaded as error:
            # Later, as all answers: whoever sends many requests waits for each of them in turn.
            asyncio.get_running_loop().call_soon(respond, self._failed(error, request))
            return None
        return partial(self._give_up, request, cancel)

    def refuse(self, error: HTTPException) -> WireResponse:
        """The answer to what never became a request."""
        return self._failed(error, None)

    def _failed(self, error: Exception, request: Request | None) -> WireResponse:
        """The answer to what the application never sees."""
        reply = error_response(error)
        identity = request_id(request.headers.get(HEADER.lower()) if request else None)
        self._count(reply.status, identity, request)
        return reply.answer(identity)

    def _give_up(self, request: Request, cancel: Cancel) -> bool:
        """Nobody waits for the answer any more: if the work has not begun, it never does."""
        if not cancel():
            return False
        self._count(CLIENT_GONE, request_id(request.headers.get(HEADER.lower())), request)
        return True

    def _count(self, status: int, identity: str, request: Request | None) -> None:
        """Count and note what the application never sees, as of no route."""
        self._metrics.request_ended(UNKNOWN_ROUTE, None, status, 0.0)
        self._metrics.flush()
        if self._request_log is None:
            return
        ended = FinishedRequest(identity, UNREAD, UNREAD, status, 0.0)
        if request is not None:
            ended.method, ended.path, ended.client = request.method, request.path, request.client
            ended.header = request.headers.get
        self._request_log.note(ended)

    def _answered(self, request: Request, threads: ResponseThreads) -> WireResponse:
        try:
            return _call(self._app, environ(request), threads)
        except Exception as error:
            log.exception("request failed")
            return self._failed(error, request)


def environ(request: Request) -> dict[str, Any]:
    """A WSGI environ for a request (PEP 3333)."""
    host = _host(request.headers.get("host"))
    result: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # PEP 3333: the decoded path, its bytes as latin-1 text.
        "PATH_INFO": request.path.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "SERVER_NAME": host,
        "SERVER_PORT": "80",
        "HTTP_HOST": host,
        "REMOTE_ADDR": request.client,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if "_" in name or name in KEPT_BACK:
            continue  # X_Request_Id would pass for X-Request-Id
        key = name.upper().replace("-", "_")
        result[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return result


@lru_cache(256)
def _host(given: str | None) -> str:
    """The host that a request names, or a stand-in.

    Flask fails on names that can be none, such as with labels of nothing. It matters to one line of
    a page alone, so such a name is passed over, as the express door does.
    """
    try:
        (given or "").partition(":")[0].encode("idna").decode("idna")
    except UnicodeError:
        return NO_HOST
    return given or NO_HOST


def _call(app: WsgiApp, environment: dict[str, Any], threads: ResponseThreads) -> WireResponse:
    """Run the app in this thread, and what it makes piece by piece in these."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> None:
        started[:] = [int(status.split(" ", 1)[0]), headers]

    pieces = _pieces(app(environment, start_response))
    body = next(pieces, b"")  # an app may say nothing of an answer before
    status, headers = started
    # Files come with a date, and every answer gets one on its way out.
    headers = [pair for pair in headers if pair[0].lower() != "date"]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    rest = None
    if status == HTTPStatus.NOT_MODIFIED or any(n.lower() == "content-length" for n, _ in headers):
        body += b"".join(pieces)
    elif (second := next(pieces, None)) is None:
        lines += f"Content-Length: {len(body)}\r\n"
    else:
        body, rest = body + second, threads.rest(pieces)
    return WireResponse(f"{status_line(status)}{lines}".encode("latin-1"), body, rest)


def _pieces(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """What an app makes, and the end of it that PEP 3333 asks for."""
    try:
        for chunk in chunks:  # noqa: UP028 - ``yield from`` would end them too, and they end once
            yield chunk
    finally:
        if (close := getattr(chunks, "close", None)) is not None:
            close()
