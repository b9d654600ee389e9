"""An HTTP server with a small handler, on a loop in a thread, reached through real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import uvloop
from werkzeug.exceptions import HTTPException

from pigeonhole.service.web.errors import error_response
from pigeonhole.service.web.handlers.threads import ResponseThreads
from pigeonhole.service.web.http.limits import Limits
from pigeonhole.service.web.http.messages import Cancel, Request, Send, WireResponse
from pigeonhole.service.web.http.server import HttpServer
from pigeonhole.service.web.response import Response

SHORT = {
    "body_bytes": 1_000_000,
    "connections": 1000,
    "head_s": 5.0,
    "body_s": 5.0,
    "idle_s": 5.0,
    "write_s": 5.0,
    "linger_s": 1.0,
}


@dataclass
class TinyHandler:
    """Responds by path.

    | path | response |
    |---|---|
    | /later=0.5 | after half a second; its work is not canceled |
    | /never | none; its work is canceled |
    | /large=100 | 100 bytes |
    | /fail | an exception |
    | /twice | the same response twice |
    | /chunks=9x100 | nine chunks of 100 bytes |
    | /slow=9x100 | the same, with a pause after each |
    | /broken=9x100 | the same without pauses, then an exception |
    | other | the request as JSON |
    """

    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    canceled: int = 0
    chunks_computed: int = 0
    streams_ended: int = 0
    threads: ResponseThreads = field(default_factory=lambda: ResponseThreads(2, 2, "tiny"))

    def __call__(self, request: Request, respond: Send) -> Cancel | None:
        self.paths.append(request.path)
        loop = asyncio.get_running_loop()
        path, _, argument = request.path.partition("=")
        if path == "/never":
            return partial(self._cancel, True)
        if path == "/fail":
            raise RuntimeError("the handler failed")
        if path in ("/chunks", "/slow", "/broken"):
            chunks = self._chunks(path, *map(int, argument.split("x")))
            response = Response(200, next(chunks), "text/plain", chunks=chunks).to_wire("id")
            response.stream = self.threads.stream(chunks)
            loop.call_soon(respond, response)
            return None
        if path == "/large":
            body = b"x" * int(argument)
        else:
            self.bodies.append(request.body)
            body = describe(request)
        response = Response(200, body, "application/json").to_wire("id")
        if path == "/later":
            loop.call_later(float(argument), respond, response)
            return partial(self._cancel, False)
        respond(response)
        if path == "/twice":
            respond(response)
        return None

    def refuse(self, error: HTTPException) -> WireResponse:
        return error_response(error).to_wire("id")

    def _chunks(self, path: str, count: int, size: int) -> Generator[bytes, None, None]:
        try:
            for number in range(count):
                self.chunks_computed += 1
                yield chunk(number, size)
                if path == "/slow":
                    time.sleep(0.05)
            if path == "/broken":
                raise RuntimeError("the handler failed")
        finally:
            self.streams_ended += 1

    def _cancel(self, is_waiting: bool) -> bool:
        self.canceled += 1
        return is_waiting


def chunk(number: int, size: int) -> bytes:
    """Return one chunk of a streamed response."""
    return b"%c" % (97 + number % 26) * size


def describe(request: Request) -> bytes:
    """Return a request as JSON, with the length of its body."""
    return json.dumps(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query.decode("latin-1"),
            "headers": request.headers,
            "bytes": len(request.body),
            "version": request.version,
            "client": request.client,
        }
    ).encode()


class TinyServer:
    """A server on its own loop, in its own thread.

    Args:
        listener: the listening socket; None for a new one.
        share: balances connections with other servers; None for a single server.
        limits: replace those of `SHORT`.
    """

    def __init__(
        self, listener: socket.socket | None = None, share: Any = None, **limits: Any
    ) -> None:
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self.listener.getsockname()[1]
        self.handler = TinyHandler()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.server = self.do(lambda: HttpServer(self.handler, Limits(**SHORT | limits), share))
        self.do(lambda: self.server.listen([self.listener]))

    def do(self, function: Callable[[], Any]) -> Any:
        """Call a function on the loop, await its coroutine if it returns one, and return the result."""

        async def call() -> Any:
            result = function()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(20)

    def connect(self, seconds: float = 10) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, *parts: bytes, half_close: bool = False, pause: float = 0.002) -> bytes:
        """Send parts with pauses; return the bytes received until the server closes."""
        with self.connect() as connection:
            for index, part in enumerate(parts):
                if index:
                    time.sleep(pause)
                connection.sendall(part)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return receive_all(connection)

    def until(self, condition: Callable[[], Any], seconds: float = 5) -> float:
        """Wait for a condition; return the seconds that it took."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() < started + seconds
            time.sleep(0.005)
        return time.monotonic() - started

    def close(self) -> None:
        """Stop the server; check that it holds no connection and no large body."""
        if self.listener.fileno() >= 0:  # so that no queued connection is accepted
            self.do(lambda: self.server.stop_listening(last=False))
        try:
            self.until(lambda: not self.server.connections)
            assert self.server.body_memory.used == 0
        finally:
            self.do(self.server.close)
            self.do(lambda: asyncio.sleep(0.01))
            self.handler.threads.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def receive_all(connection: socket.socket) -> bytes:
    """Return the bytes received until the other side closes."""
    received = []
    while part := connection.recv(1 << 20):
        received.append(part)
    return b"".join(received)


@dataclass(frozen=True)
class ClientResponse:
    """A parsed response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


def parse_responses(raw: bytes, *, head: bool = False) -> list[ClientResponse]:
    """Return the responses in received bytes; raise AssertionError unless all are complete."""
    found = []
    while raw:
        top, end, raw = raw.partition(b"\r\n\r\n")
        assert end
        first, *lines = top.decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        assert version == "HTTP/1.1"
        headers = {name.lower(): value for name, value in (li.split(": ", 1) for li in lines)}
        if "transfer-encoding" in headers and not head:
            assert headers["transfer-encoding"] == "chunked"
            assert "content-length" not in headers
            body, raw = read_chunks(raw)
        else:
            size = 0 if head or status == "100" else int(headers["content-length"])
            assert len(raw) >= size
            body, raw = raw[:size], raw[size:]
        found.append(ClientResponse(int(status), headers, body))
    return found


def read_chunks(raw: bytes) -> tuple[bytes, bytes]:
    """Return a body without chunk framing, and the bytes behind it."""
    body = b""
    while True:
        size, end, raw = raw.partition(b"\r\n")
        assert end
        length = int(size, 16)
        assert raw[length : length + 2] == b"\r\n"
        body, raw = body + raw[:length], raw[length + 2 :]
        if not length:
            return body, raw


@pytest.fixture(scope="session")
def responses() -> Callable[..., list[ClientResponse]]:
    """Return `parse_responses`."""
    return parse_responses


@pytest.fixture
def start_tiny(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., TinyServer]]:
    """Start servers; at the end check that nothing of theirs is open or was logged."""
    caplog.set_level(logging.WARNING)
    servers: list[TinyServer] = []

    def start(*args: Any, **limits: Any) -> TinyServer:
        servers.append(TinyServer(*args, **limits))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    assert [record.getMessage() for record in caplog.records] == []


@pytest.fixture
def tiny(start_tiny) -> TinyServer:
    """Start a server with the limits of `SHORT`."""
    return start_tiny()


@pytest.fixture
def reset() -> Callable[[socket.socket], None]:
    """Close a connection by a reset."""

    def close(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return close


@pytest.fixture
def connected() -> Iterator[Callable[[TinyServer, int], Sequence[socket.socket]]]:
    """Open connections, and close them after the test."""
    opened: list[socket.socket] = []

    def connect(server: TinyServer, number: int) -> Sequence[socket.socket]:
        new = [server.connect() for _ in range(number)]
        opened.extend(new)
        return new

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def own_loggers() -> Iterator[None]:
    """Restore OpenTelemetry's loggers after the test."""
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "opentelemetry.trace")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
