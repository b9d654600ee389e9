"""One client's connection: HTTP/1.1 in, answers out, in order, within limits and deadlines.

Bytes are parsed by llhttp (through httptools), which refuses what request smuggling lives on: two
lengths, a length beside chunks, an unknown transfer coding, blanks in names. A request is handed on
when its body is whole, so a client that dribbles holds a connection and nothing else, and that not
for ever. Each answer goes out in one write.

Why no ASGI server stands here: see ``http_server``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast
from urllib.parse import unquote_to_bytes

import httptools
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestTimeout,
    RequestURITooLarge,
)

from service.web.door import Answer, Cancel, Door, Request

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together."""

MAX_TARGET_BYTES = 8 * 1024
"""Path and query; RFC 9110, section 4.1, asks for 8,000 at least."""

FRAMING = 8
"""How many times its size a body may take on the wire: in chunks of one byte it is six times."""

LINGER_S = 5.0
"""Seconds that a client gets to close after the last answer, while what it still sends is thrown
away. Closing on a client that still sends resets it, and the reset may overtake the answer."""

GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

LENGTH_DIGITS = 18
"""Of a Content-Length; Python refuses to read numbers of some thousand digits."""


@dataclass(frozen=True)
class Limits:
    """What a client may take.

    Attributes:
        body_bytes: of one request.
        connections: open at one time; beyond them the longest silent one is closed, and while all
            are busy, new ones wait in the system's queue.
        head_s: seconds from a request's first byte (or a connection's start) to the end of its
            headers.
        body_s: seconds from there to the end of its body.
        idle_s: seconds that a connection stays open between two requests.
        write_s: seconds that a client may take nothing of an answer.
    """

    body_bytes: int
    connections: int
    head_s: float
    body_s: float
    idle_s: float
    write_s: float = 30.0


class Server(Protocol):
    """What a connection knows of the server that it belongs to; as in `HttpServer`."""

    door: Door
    limits: Limits
    connections: set[Connection]
    draining: bool
    head_end: bytes
    last_head_end: bytes
    now: Callable[[], float]


_NOTHING, _HEAD, _BODY = range(3)
"""What is being read."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        server: whose it is.

    Attributes:
        since: the loop's time when what it is doing now began.
        is_answering: whether a request of it is being answered.
        has_asked: whether there was ever a whole request.
    """

    __slots__ = (
        *("_body", "_cancel", "_chunk", "_client", "_eof", "_handing_on", "_head_bytes"),
        *("_headers", "_keep_alive", "_lingering", "_parser", "_reading", "_reading_paused"),
        *("_refused", "_server", "_stalled_since", "_transport", "_url", "_version", "_waiting"),
        *("_wire_bytes", "has_asked", "is_answering", "since"),
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._reading = _NOTHING
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._version = ""
        self._head_bytes = self._chunk = self._wire_bytes = 0
        # Behind the request that is being answered: further ones, and why nothing more is read.
        self._waiting: deque[tuple[Request | HTTPException, bool]] = deque()
        self._keep_alive = True
        self._cancel: Cancel | None = None
        self._handing_on = self._reading_paused = False
        self._refused = self._lingering = self._eof = False
        self._stalled_since: float | None = None
        self.is_answering = self.has_asked = False
        self.since = server.now()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        self._server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is closed, by whoever."""
        self._server.connections.discard(self)
        self._transport = None
        self._waiting.clear()
        self._refused = True
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def eof_received(self) -> bool:
        """The client sends no more; whether it still gets an answer."""
        self._eof = True
        return (self.is_answering or bool(self._waiting)) and not self._lingering

    def pause_writing(self) -> None:
        """The client takes its answers too slowly."""
        self._stalled_since = self._server.now()

    def resume_writing(self) -> None:
        """It takes them again."""
        self._stalled_since = None
        if not self.is_answering:
            self._hand_on_waiting()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        if self._refused:
            return
        if self._reading == _NOTHING:
            self.since = self._server.now()
            self._head_bytes = 0
            self._reading = _HEAD
        self._chunk = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refused = True  # what follows is no HTTP; its answer closes the connection
        except httptools.HttpParserCallbackError:
            log.exception("a connection failed")
            self.abort()
        except httptools.HttpParserError as error:
            self._refuse(BadRequest(f"this is not HTTP as it is taken here: {error}"))
        if self._reading == _HEAD:
            self._head_bytes += self._chunk
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_long_head()
        elif self._reading == _BODY:
            self._wire_bytes += self._chunk
            if self._wire_bytes > FRAMING * self._server.limits.body_bytes + MAX_HEAD_BYTES:
                self._refuse(RequestEntityTooLarge())

    # The parser's side.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._url, self._headers, self._body = b"", {}, b""
        self._wire_bytes = 0
        self._reading = _HEAD

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """A header, whole."""
        if self._reading == _BODY:
            return  # a trailer: nothing here asks for one
        name, headers = name.lower(), self._headers
        if name in headers:
            value = headers[name] + b"," + (value or b"")
        headers[name] = value or b""

    def on_headers_complete(self) -> None:
        """The body comes next, if there is one and it may."""
        if self._refused:
            return
        headers = self._headers
        if self._head_bytes + self._chunk > MAX_HEAD_BYTES:  # else it can't be longer
            lines = sum(len(name) + len(value) + 4 for name, value in headers.items())
            if len(self._url) + lines > MAX_HEAD_BYTES:
                self._refuse_long_head()
                return
        if len(self._url) > MAX_TARGET_BYTES:
            self._refuse_long_head()
            return
        self._reading = _BODY
        self.since = self._server.now()
        self._version = self._parser.get_http_version()
        host = headers.get(b"host")
        if (host is None and self._version == "1.1") or (host is not None and b"," in host):
            self._refuse(BadRequest("a request names its host once"))  # RFC 9112, section 3.2
        elif self._is_too_long(headers.get(b"content-length", b"0")):
            self._refuse(RequestEntityTooLarge())
        elif b"expect" in headers and headers[b"expect"].lower() == b"100-continue":
            self._tell_to_go_on()

    def on_body(self, piece: bytes) -> None:
        """Bytes of the body."""
        if not self._body:
            self._body = piece
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += piece
        if len(self._body) > self._server.limits.body_bytes:
            self._body = b""
            self._refuse(RequestEntityTooLarge())

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._reading = _NOTHING
        if self._refused:
            return
        parser = self._parser
        keep_alive = (
            self._version != "1.0" and parser.should_keep_alive() and not parser.should_upgrade()
        )
        try:
            path, query = _target(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(BadRequest("the request's target is no path"))
            return
        method, body = parser.get_method().decode("ascii"), self._body
        request = Request(
            method,
            path,
            query,
            self._headers,
            body if type(body) is bytes else bytes(body),
            self._version,
            self._client,
        )
        self.has_asked = True
        self._body = b""
        if self.is_answering or self._waiting or self._stalled_since is not None:
            self._queue(request, keep_alive)
        else:
            self._hand_on(request, keep_alive)

    # Requests and answers.

    def _hand_on(self, request: Request, keep_alive: bool) -> None:
        self.is_answering, self._keep_alive = True, keep_alive
        self._handing_on = True
        cancel = self._server.door(request, self._respond)
        self._handing_on = False
        if self.is_answering:
            self._cancel = cancel

    def _respond(self, answer: Answer) -> None:
        transport = self._transport
        if transport is None or not self.is_answering:
            return  # the client is gone
        self.is_answering, self._cancel = False, None
        server = self._server
        if self._keep_alive and not server.draining and not self._eof:
            transport.write(b"".join((answer.head, server.head_end, answer.body)))
            self.since = server.now()
            if self._waiting and not self._handing_on:
                self._hand_on_waiting()
        else:
            transport.write(b"".join((answer.head, server.last_head_end, answer.body)))
            self._linger()

    def _queue(self, entry: Request | HTTPException, keep_alive: bool = False) -> None:
        self._waiting.append((entry, keep_alive))
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _hand_on_waiting(self) -> None:
        """Hand on what waits, as far as it is answered at once."""
        while self._waiting and not self.is_answering and self._stalled_since is None:
            entry, keep_alive = self._waiting.popleft()
            if isinstance(entry, HTTPException):
                self._answer_refusal(entry)
            else:
                self._hand_on(entry, keep_alive)
        if self._reading_paused and not self._waiting and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _refuse(self, error: HTTPException) -> None:
        """Read no more, and say why when it is this request's turn."""
        if self._refused:
            return
        self._refused = True
        self._reading = _NOTHING
        if self.is_answering or self._waiting:
            self._queue(error)
        else:
            self._answer_refusal(error)

    def _answer_refusal(self, error: HTTPException) -> None:
        if self._transport is not None:
            answer = self._server.door.refuse(error)
            self._transport.write(b"".join((answer.head, self._server.last_head_end, answer.body)))
            self._linger()

    def _refuse_long_head(self) -> None:
        too_long = len(self._url) > MAX_TARGET_BYTES
        self._refuse(RequestURITooLarge() if too_long else RequestHeaderFieldsTooLarge())

    def _tell_to_go_on(self) -> None:
        # Behind an answer that is still to come it would be taken for that answer.
        if self._transport is not None and not self.is_answering and not self._waiting:
            self._transport.write(GO_ON)

    def _is_too_long(self, declared: bytes) -> bool:
        return len(declared) > LENGTH_DIGITS or (
            declared.isdigit() and int(declared) > self._server.limits.body_bytes
        )

    def _linger(self) -> None:
        """Say that nothing follows, and wait until the client has closed too."""
        self._refused = self._lingering = True
        self._waiting.clear()
        self.since = self._server.now()
        transport = self._transport
        if transport is None:
            return
        if self._reading_paused:
            self._reading_paused = False
            transport.resume_reading()
        if self._eof:
            transport.close()
        elif not transport.is_closing():
            transport.write_eof()

    # The server's side.

    @property
    def is_idle(self) -> bool:
        """Whether no request of it is being read or answered."""
        return self._reading == _NOTHING and not self.is_answering and not self._waiting

    @property
    def is_lingering(self) -> bool:
        """Whether it has had its last answer."""
        return self._lingering

    def look(self, now: float) -> None:
        """Close it if it is late, saying so where it had begun to ask."""
        limits, age = self._server.limits, now - self.since
        if self._stalled_since is not None:
            if now - self._stalled_since > limits.write_s:
                self.abort()
        elif self._lingering:
            if age > LINGER_S:
                self.abort()
        elif self.is_answering or self._waiting:
            pass  # what takes its time is the answer
        elif self._reading == _NOTHING:
            if age > (limits.idle_s if self.has_asked else limits.head_s):
                self.close()
        elif age > (limits.head_s if self._reading == _HEAD else limits.body_s):
            part = "headers" if self._reading == _HEAD else "body"
            self._refuse(RequestTimeout(f"the {part} took too long to arrive"))

    def close(self) -> None:
        """Close it after what was written to it."""
        self._refused = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        self._refused = True
        if self._transport is not None:
            self._transport.abort()


@lru_cache(1024)
def _target(url: bytes) -> tuple[str, bytes]:
    """Decoded path and raw query of a request's target."""
    if url == b"*":
        return "*", b""
    parsed = httptools.parse_url(url)
    path = parsed.path or b"/"
    return unquote_to_bytes(path).decode("utf-8", "replace"), parsed.query or b""
