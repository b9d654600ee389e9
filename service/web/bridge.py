"""The Flask app behind an ASGI server: the WSGI-to-ASGI bridge.

The whole body is read on the event loop before a thread is taken, so a client that dribbles its
body holds a connection and not a thread. At most one byte more than the limit is kept; Flask sees
from the length that it is too much and says so in the service's own shape.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

log = logging.getLogger(__name__)

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
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        threads: int,
        max_body_bytes: int,
        draining: Event,
        on_shutdown: Callable[[], None],
    ) -> None:
        self._app, self._max_body_bytes = app, max_body_bytes
        self._draining, self._on_shutdown = draining, on_shutdown
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    def drain(self) -> None:
        """Fail readiness and close connections from now on; requests are answered as before."""
        self._draining.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or see to the server's start and end (ASGI 3)."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:  # a websocket: there are none
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._body(scope, receive)
        if body is None:
            return  # the client is gone
        loop = asyncio.get_running_loop()
        status, headers, answer = await loop.run_in_executor(
            self._threads, _call, self._app, environ(scope, body)
        )
        if self._draining.is_set():
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            # Refused for its length alone: nothing of it is read.
            return bytes(0)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(body)
            if len(body) > self._max_body_bytes:
                return bytes(body[: self._max_body_bytes + 1])

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._on_shutdown()
        self._threads.shutdown(wait=False)
        await send({"type": "lifespan.shutdown.complete"})


def environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """A WSGI environ for an ASGI scope whose body was read (PEP 3333)."""
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
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue  # X_Request_Id would pass for X-Request-Id
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        result[key] = f"{result[key]},{value}" if key in result else value
    declared = result.pop("HTTP_CONTENT_LENGTH", "")
    # What was declared tells of a body that was not read, what was read of one in chunks.
    too_long = declared.isdigit() and int(declared) > len(body)
    result["CONTENT_LENGTH"] = declared if too_long else str(len(body))
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
