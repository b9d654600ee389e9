"""The WSGI handler: runs the complete Flask app, each request in a thread (PEP 3333)."""

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
from ..monitoring.finished_request import UNREAD, FinishedRequest
from ..monitoring.health import PROBES
from ..monitoring.request_log import RequestLog
from ..request_id import HEADER, request_id
from ..response import status_line
from .threads import ResponseThreads

log = logging.getLogger(__name__)

WITHHELD_HEADERS = frozenset({"content-length", "transfer-encoding", "upgrade", "host"})
"""Headers that Flask does not get as they were sent. The body has been read already, and Flask would
silently cut a chunked body at its limit. Upgrade would make Flask search for websocket routes. For
Host see `_valid_host`."""

DEFAULT_HOST = "localhost"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class HandlerThreads:
    """Threads for each kind of request.

    Attributes:
        work: for POST requests.
        probes: for health probes.
        pages: for all other requests.
    """

    work: ResponseThreads
    probes: ResponseThreads
    pages: ResponseThreads

    def close(self) -> None:
        """Stop all threads after their current work."""
        for threads in (self.work, self.probes, self.pages):
            threads.close()


class WsgiHandler:
    """Runs a WSGI application.

    Args:
        app: the application.
        metrics: count requests that do not reach the application.
        threads: separate for each kind of request: a page never waits for a prediction, and a
            health probe waits for neither.
        request_log: records requests that do not reach the application; None for no record.
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
        """Respond to a request from a thread."""
        if request.method == "POST":
            threads = self._threads.work
        elif request.path.rstrip("/") in PROBES:
            threads = self._threads.probes
        else:
            threads = self._threads.pages
        try:
            cancel = threads(partial(self._compute, request, threads), respond)
        except Overloaded as error:
            # Responding now would let the connection dispatch its next request at once: a client
            # with many requests would block the loop.
            asyncio.get_running_loop().call_soon(respond, self._error_response(error, request))
            return None
        return partial(self._cancel, request, cancel)

    def refuse(self, error: HTTPException) -> WireResponse:
        """Return the response to bytes that were not a valid request."""
        return self._error_response(error, None)

    def _error_response(self, error: Exception, request: Request | None) -> WireResponse:
        """Return the response to a request that does not reach the application, and record it."""
        response = error_response(error)
        identity = _identity(request)
        self._record(response.status, identity, request)
        return response.to_wire(identity)

    def _cancel(self, request: Request, cancel: Cancel) -> bool:
        """Cancel the request of a disconnected client; return False if it has already begun."""
        if not cancel():
            return False
        self._record(CLIENT_GONE, _identity(request), request)
        return True

    def _record(self, status: int, identity: str, request: Request | None) -> None:
        """Record a request that does not reach the application in metrics and request log."""
        self._metrics.request_ended(UNKNOWN_ROUTE, None, status, 0.0)
        self._metrics.flush()
        if self._request_log is None:
            return
        finished = FinishedRequest(identity, UNREAD, UNREAD, status, 0.0)
        if request is not None:
            finished.method, finished.path = request.method, request.path
            finished.client, finished.header = request.client, request.headers.get
        self._request_log.note(finished)

    def _compute(self, request: Request, threads: ResponseThreads) -> WireResponse:
        try:
            return _run_app(self._app, environ(request), threads)
        except Exception as error:
            log.exception("request failed")
            return self._error_response(error, request)


def _identity(request: Request | None) -> str:
    return request_id(None if request is None else request.headers.get(HEADER.lower()))


def environ(request: Request) -> dict[str, Any]:
    """Return the WSGI environ of a request (PEP 3333)."""
    host = _valid_host(request.headers.get("host"))
    result: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # PEP 3333: the bytes of the decoded path as latin-1 text.
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
        if "_" in name or name in WITHHELD_HEADERS:
            continue  # X_Request_Id would overwrite X-Request-Id
        key = name.upper().replace("-", "_")
        result[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return result


@lru_cache(256)
def _valid_host(host: str | None) -> str:
    """Return the request's host, or a default for a missing or invalid one.

    Flask fails on invalid host names, such as names with empty labels. Only one line of a page
    depends on the host, so an invalid name is ignored, as on the fast path.
    """
    try:
        (host or "").partition(":")[0].encode("idna").decode("idna")
    except UnicodeError:
        return DEFAULT_HOST
    return host or DEFAULT_HOST


def _run_app(app: WsgiApp, environment: dict[str, Any], threads: ResponseThreads) -> WireResponse:
    """Run the app in this thread; a streamed body continues in the given threads."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> None:
        started[:] = [int(status.split(" ", 1)[0]), headers]

    chunks = _closing(app(environment, start_response))
    body = next(chunks, b"")  # an app may call start_response as late as with its first chunk
    status, headers = started
    # Files have a Date header, and the connection adds one to every response.
    headers = [pair for pair in headers if pair[0].lower() != "date"]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    stream = None
    if status == HTTPStatus.NOT_MODIFIED or any(n.lower() == "content-length" for n, _ in headers):
        body += b"".join(chunks)
    elif (second := next(chunks, None)) is None:
        lines += f"Content-Length: {len(body)}\r\n"
    else:
        body, stream = body + second, threads.stream(chunks)
    return WireResponse(f"{status_line(status)}{lines}".encode("latin-1"), body, stream)


def _closing(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield an app's chunks, then call its ``close``, as PEP 3333 requires."""
    try:
        for chunk in chunks:  # noqa: UP028 - ``yield from`` would close an iterator twice
            yield chunk
    finally:
        if (close := getattr(chunks, "close", None)) is not None:
            close()
