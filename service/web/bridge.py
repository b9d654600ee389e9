"""The Flask app behind an ASGI server: the WSGI-to-ASGI bridge.

The whole body is read on the event loop before a thread is taken, so a client that dribbles its
body holds a connection and not a thread, and that not for ever. Of a body that is too large no more
than the limit is kept. A body that was not read whole is refused by the app, in the service's own
shape: it is told why when it asks for the body.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any, NoReturn

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, RequestTimeout

log = logging.getLogger(__name__)

BODY_S = 30.0
"""Seconds that a body may take to arrive; gunicorn's own patience ends in a 500."""

DISCARD_S = 5.0
"""Seconds that the rest of a refused body is taken and thrown away. Closing the connection on a
client that still sends resets it, and the reset may overtake the answer."""

LONGEST_LENGTH = 18
"""Digits of a Content-Length; Python refuses to read numbers of some thousand digits."""

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that say how the body was sent. It has been read: Flask must not think it in chunks, for
it cuts those off at its limit without a word."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Bridge:
    """An ASGI application that answers with a WSGI one.

    Args:
        app: the WSGI application.
        threads: how many requests it answers at once.
        max_body_bytes: how much of a body is read.
        draining: while set, every answer closes its connection.
        on_shutdown: called when the server has answered its last request.
        body_s: seconds that a body may take to arrive.

    Attributes:
        running: how many requests are being read or answered now.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        threads: int,
        max_body_bytes: int,
        draining: Event,
        on_shutdown: Callable[[], None],
        body_s: float = BODY_S,
    ) -> None:
        self._app, self._max_body_bytes = app, max_body_bytes
        self._draining, self._on_shutdown = draining, on_shutdown
        self._body_s = body_s
        self.running = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    def drain(self) -> None:
        """Fail readiness and close connections from now on; requests are answered as before."""
        self._draining.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or see to the server's start and end (ASGI 3)."""
        if scope["type"] == "http":
            self.running += 1
            try:
                await self._answer(scope, receive, send)
            finally:
                self.running -= 1
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:  # a websocket: there are none
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = await self._body(scope, receive)
        if received is None:
            return  # the client is gone
        body, ended = received
        loop = asyncio.get_running_loop()
        status, headers, answer = await loop.run_in_executor(
            self._threads, _call, self._app, environ(scope, body)
        )
        refused = isinstance(body, HTTPException)
        if refused or self._draining.is_set():
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        if not ended:
            await _discard(receive)

    async def _body(
        self, scope: Scope, receive: Receive
    ) -> tuple[bytes | HTTPException, bool] | None:
        """The whole body or why it is refused, and whether it came to its end.

        None when the client is gone.
        """
        if self._is_too_long(dict(scope["headers"]).get(b"content-length", b"")):
            return RequestEntityTooLarge(), False
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    ended = not message.get("more_body", False)
                    if len(body) > self._max_body_bytes:
                        return RequestEntityTooLarge(), ended
                    if ended:
                        return bytes(body), True
        except TimeoutError:
            return RequestTimeout(), False

    def _is_too_long(self, declared: bytes) -> bool:
        return declared.isdigit() and (
            len(declared) > LONGEST_LENGTH or int(declared) > self._max_body_bytes
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._on_shutdown()
        self._threads.shutdown(wait=False)
        await send({"type": "lifespan.shutdown.complete"})


async def _discard(receive: Receive) -> None:
    """Take what is still sent of a refused body, for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while (await receive()).get("more_body", False):
                pass


class _Unread:
    """Stands for a body that was not read whole: whoever asks for it is told why."""

    def __init__(self, why: HTTPException) -> None:
        self._why = why

    def read(self, _size: int = -1) -> NoReturn:
        raise self._why


def environ(scope: Scope, body: bytes | HTTPException) -> dict[str, Any]:
    """A WSGI environ for an ASGI scope (PEP 3333).

    Args:
        scope: the request.
        body: as it was read, or what is raised when the app asks for it.
    """
    server = scope.get("server") or ("localhost", None)
    result: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        # PEP 3333: the decoded path, its bytes as latin-1 text.
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else _Unread(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name or raw_name in FRAMING:
            continue  # X_Request_Id would pass for X-Request-Id
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        result[key] = f"{result[key]},{value}" if key in result else value
    if isinstance(body, bytes):
        result["CONTENT_LENGTH"] = str(len(body))
    return result


def _call(
    app: WsgiApp, environment: dict[str, Any]
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Run the app in this thread; status, headers and the whole body."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> None:
        started[:] = [int(status.split(" ", 1)[0]), headers]

    chunks = app(environment, start_response)
    try:
        answer = b"".join(chunks)
    finally:
        if (close := getattr(chunks, "close", None)) is not None:
            close()
    status, headers = started
    return (
        status,
        [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers],
        answer,
    )
