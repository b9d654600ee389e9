"""One client's connection: HTTP/1.1 in, answers out, in order, within limits and deadlines.

Bytes are parsed by llhttp (through httptools), which refuses most of what request smuggling lives
on: two lengths, a length beside chunks, blanks in names, folded lines, bare line ends. A request is
handed on when its body is whole, so a client that dribbles holds a connection and nothing else, and
that not for ever. Each answer goes out in one write, but for those that are made piece by piece: of
them the next piece is asked for when the client has taken the one before.

Why no ASGI server stands here: see ``http_server``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
import termios
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fcntl import ioctl
from functools import lru_cache
from typing import Protocol, cast
from urllib.parse import unquote_to_bytes

import httptools
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    InternalServerError,
    RequestEntityTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestTimeout,
    RequestURITooLarge,
    ServiceUnavailable,
    Unauthorized,
)

from .messages import BodyStream, Cancel, Handler, Request, WireResponse

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together, those of one name joined, without blanks around values. Of
what is thrown away (blanks, extensions of chunks, trailers) twice as much may come in a row."""

MAX_TARGET_BYTES = 8 * 1024
"""Path and query; RFC 9110, section 4.1, asks for 8,000 at least."""

PIECE_BYTES = 16 * 1024
"""Bytes that are parsed at once. Behind a request that is still being answered no further piece is,
so that a client can make us keep only as many requests as fit into one."""

COUNTED_BYTES = 64 * 1024
"""A body of more bytes counts towards the bound on those of all connections together."""

TAKEN_BYTES = 256 * 1024
"""Of an answer, by a client that is not too slow, in the time that is set for it."""

CACHED_TARGET_BYTES = 256
"""Longer targets are read anew each time, so that the cache stays small."""

LENGTH_DIGITS = 18
"""Of a Content-Length; Python refuses to read numbers of some thousand digits."""

IN_CHUNKS = b"transfer-encoding: chunked\r\n"

LAST_CHUNK = b"0\r\n\r\n"

KEY_NEEDED = "a body of this size needs a key that is known"

GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

RETRY_AFTER_S = 1
"""When to send a body again for which there is no room now."""


@dataclass(frozen=True)
class Limits:
    """What clients may take.

    Attributes:
        body_bytes: of one request.
        connections: open at one time; beyond them the longest silent one is closed, and while all
            are busy, new ones wait in the system's queue.
        head_s: seconds from a request's first byte (or a connection's start) to the end of its
            headers.
        body_s: seconds from there to the end of its body.
        idle_s: seconds that a connection stays open between two requests.
        write_s: seconds in which a client takes 256 KiB of an answer, or all that is left of it.
        linger_s: seconds that a client gets to close after the last answer, while what it still
            sends is thrown away. Closing on a client that still sends resets it, and the reset may
            overtake the answer.
        buffered_bytes: of all large bodies together that are being received or answered; one alone
            is always taken.
    """

    body_bytes: int
    connections: int
    head_s: float
    body_s: float
    idle_s: float
    write_s: float = 30.0
    linger_s: float = 5.0
    buffered_bytes: int = 256 * 2**20


class Server(Protocol):
    """What a connection knows of the server that it belongs to; as in `HttpServer`."""

    handler: Handler
    limits: Limits
    connections: set[Connection]
    buffered_bytes: int
    draining: bool
    head_end: bytes
    last_head_end: bytes
    now: Callable[[], float]
    is_authenticated: Callable[[str | None], bool]


_NOTHING, _HEAD, _BODY = range(3)
"""What is being read."""

_NO_BYTES = memoryview(b"")

_STUMBLES = httptools.HttpParserError, httptools.HttpParserUpgrade
"""What the parser raises."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        server: whose it is.

    Attributes:
        since: the loop's time when what it is doing now began.
        has_asked: whether there was ever a whole request.
    """

    __slots__ = (
        *("_ahead", "_answering", "_bare_bytes", "_bodiless", "_body", "_body_bytes", "_cancel"),
        *("_client", "_counted_bytes", "_eof", "_handing_on", "_headers", "_in_chunks"),
        *("_keep_alive", "_lingering", "_parser", "_reading", "_reading_paused", "_refused"),
        *("_rest", "_server", "_stalled_since", "_transport", "_unsent_bytes", "_url"),
        *("_version", "_waiting", "has_asked", "since"),
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._reading = _NOTHING
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._version = ""
        # Bytes since the last one that was kept: of a head that is not whole, or around chunks.
        self._bare_bytes = 0
        # Behind the request that is being answered: further ones, or why nothing more is read, and
        # bytes that are not parsed yet. Unparsed bytes are there only while something waits.
        self._waiting: deque[tuple[Request | HTTPException, bool]] = deque()
        self._ahead = _NO_BYTES
        self._answering = self._handing_on = self._reading_paused = self._bodiless = False
        self._keep_alive = self._in_chunks = True
        self._cancel: Cancel | None = None
        self._rest: BodyStream | None = None
        # Large bodies here, all and the one that is being answered.
        self._counted_bytes = self._body_bytes = 0
        self._refused = self._lingering = self._eof = False
        self._stalled_since: float | None = None
        self._unsent_bytes = 0
        self.has_asked = False
        self.since = server.now()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        if self._refused:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=0)  # to be told of every byte not taken
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is closed, by whoever."""
        self._server.connections.discard(self)
        self._transport = None
        self._refused = True
        self._forget_waiting()
        del self._parser  # it holds this connection: nobody else would ever part the two
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if self._rest is not None:
            self._rest.close()
            self._rest = None

    def eof_received(self) -> bool:
        """The client sends no more; whether it still gets an answer.

        Nearly always it has closed, and gave up waiting. So what has not begun for it never does,
        as behind nginx; a client that closed its sending half alone gets what has.
        """
        self._eof = True
        if self._cancel is not None and not self._waiting and self._cancel():
            self._answering, self._cancel = False, None
            return False
        return self._answering or bool(self._waiting)

    def pause_writing(self) -> None:
        """The client has not taken all of its answer yet."""
        if self._transport is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
        self._stalled_since = self._server.now()

    def resume_writing(self) -> None:
        """Now it has."""
        self._stalled_since = None
        self.since = self._server.now()
        if not self._answering:
            self._hand_on_waiting()
        elif self._rest is not None:
            self._go_on(self._rest)

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes of a request, or of several."""
        if len(data) > PIECE_BYTES:
            self._ahead = memoryview(data)
            self._take_ahead()
            return
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except _STUMBLES as error:
            self._stumbled(error, data)
        if self._reading:
            self._bare_bytes += len(data)
            if self._bare_bytes > MAX_HEAD_BYTES + PIECE_BYTES:  # the first piece may count twice
                self._refuse_long_head()

    def _take_ahead(self) -> None:
        while self._ahead and not self._waiting:
            piece, self._ahead = self._ahead[:PIECE_BYTES], self._ahead[PIECE_BYTES:]
            self.data_received(piece)

    def _stumbled(self, error: Exception, data: bytes | memoryview) -> None:
        """Go on behind an offer to upgrade, or refuse what is no HTTP."""
        while isinstance(error, httptools.HttpParserUpgrade):
            if self._refused:
                return
            data = self._without_upgrade(data[error.args[0] :])
            try:
                self._parser.feed_data(data)
            except _STUMBLES as another:
                error = another
            else:
                return
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error  # a fault of ours: the loop logs it and closes the connection
        if "overflow" in str(error):  # of a Content-Length or a chunk's
            self._refuse(RequestEntityTooLarge())
        else:
            self._refuse(BadRequest(f"this is not HTTP as it is taken here: {error}"))

    def _without_upgrade(self, rest: bytes | memoryview) -> bytes:
        """A request as if it had not offered another protocol: we speak none.

        llhttp thinks that such a request has no body, while clients that would rather speak HTTP/2
        send one with it. So its head is parsed once more without the offer.

        Args:
            rest: what stands behind the head.
        """
        method, version = self._parser.get_method(), self._version.encode()
        kept = {name: value for name, value in self._headers.items() if name != "upgrade"}
        lines = "".join([f"{name}: {value}\r\n" for name, value in kept.items()]).encode("latin-1")
        self._parser = httptools.HttpRequestParser(self)
        return b"%s %s HTTP/%s\r\n%s\r\n%s" % (method, self._url, version, lines, rest)

    # The parser's side.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._url, self._headers, self._body = b"", {}, b""
        self._bare_bytes = 0
        self._reading = _HEAD
        self.since = self._server.now()

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, whole, or a trailer."""
        if self._reading == _BODY:
            return  # nothing here asks for trailers
        key, text, headers = name.lower().decode("latin-1"), value.decode("latin-1"), self._headers
        headers[key] = f"{headers[key]},{text.rstrip()}" if key in headers else text.rstrip()

    def on_headers_complete(self) -> None:
        """The body comes next, if there is one and it may."""
        if self._refused:
            return
        parser, headers = self._parser, self._headers
        # A head that came in one piece can't be too long.
        if len(self._url) > MAX_TARGET_BYTES or (self._bare_bytes and self._head_is_too_long()):
            self._refuse_long_head()
            return
        version = self._version = parser.get_http_version()
        if parser.should_upgrade():
            if "upgrade" not in headers:
                self._refuse(BadRequest("no connections are made from here"))
            return  # it comes once more
        self._reading = _BODY
        self._bare_bytes = 0
        self.since = self._server.now()
        host = headers.get("host")
        if version not in ("1.1", "1.0"):
            self._refuse(BadRequest("only HTTP/1.1 and 1.0 are taken here"))
        elif (host is None and version == "1.1") or (host is not None and "," in host):
            self._refuse(BadRequest("a request names its host once"))  # RFC 9112, section 3.2
        elif "transfer-encoding" in headers and (
            version == "1.0" or headers["transfer-encoding"].lower() != "chunked"
        ):
            self._refuse(BadRequest("the only Transfer-Encoding that is taken is chunked"))
        elif "content-length" in headers and self._is_refused(headers["content-length"]):
            return
        elif "expect" in headers and version == "1.1":
            self._tell_to_go_on(headers["expect"])

    def on_body(self, piece: bytes) -> None:
        """Bytes of the body."""
        if self._refused:
            return
        self._bare_bytes = 0
        if not self._body:
            self._body = piece
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += piece
        size = len(self._body)
        if size > self._server.limits.body_bytes:
            self._refuse(RequestEntityTooLarge())
        elif size > COUNTED_BYTES:
            is_large_by_now = size - len(piece) <= COUNTED_BYTES
            self._count(size if is_large_by_now else len(piece))
            if is_large_by_now and self._is_anonymous():
                self._refuse(Unauthorized(KEY_NEEDED))

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._refused or self._reading == _HEAD:
            return
        self._reading = _NOTHING
        parser, body = self._parser, self._body
        try:
            path, query = _target(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(BadRequest("the request's target is no path"))
            return
        request = Request(
            parser.get_method().decode("ascii"),
            path,
            query,
            self._headers,
            body if type(body) is bytes else bytes(body),
            self._version,
            self._client,
        )
        keep_alive = self._version == "1.1" and parser.should_keep_alive()
        self.has_asked = True
        self._body = b""
        if self._answering or self._waiting or self._stalled_since is not None:
            self._queue(request, keep_alive)
        else:
            self._hand_on(request, keep_alive)

    def _head_is_too_long(self) -> bool:
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        first = len(self._parser.get_method()) + len(self._url) + len("  HTTP/1.1\r\n")
        return first + lines + len("\r\n") > MAX_HEAD_BYTES

    def _refuse_long_head(self) -> None:
        too_long = len(self._url) > MAX_TARGET_BYTES
        self._refuse(RequestURITooLarge() if too_long else RequestHeaderFieldsTooLarge())

    def _is_refused(self, declared: str) -> bool:
        """Whether a body of the declared length is not taken, which is then said."""
        size = int(declared) if len(declared) <= LENGTH_DIGITS else sys.maxsize
        if size > self._server.limits.body_bytes:
            self._refuse(RequestEntityTooLarge())
        elif size > COUNTED_BYTES and self._is_anonymous():
            self._refuse(Unauthorized(KEY_NEEDED))
        else:
            return False
        return True

    def _is_anonymous(self) -> bool:
        return not self._server.is_authenticated(self._headers.get("authorization"))

    def _tell_to_go_on(self, expected: str) -> None:
        # Behind an answer that is still to come it would be taken for that answer.
        silent = self._answering or self._waiting or self._transport is None
        if expected.lower() == "100-continue" and not silent:
            cast("asyncio.Transport", self._transport).write(GO_ON)

    def _count(self, size: int) -> None:
        """Count bytes of large bodies that came, or are no longer needed (less than none)."""
        server, limits = self._server, self._server.limits
        self._counted_bytes += size
        server.buffered_bytes += size
        if size > 0 and server.buffered_bytes > max(limits.buffered_bytes, limits.body_bytes):
            self._refuse(
                ServiceUnavailable(
                    "too many large bodies are being received", retry_after=RETRY_AFTER_S
                )
            )

    # Requests and answers.

    def _hand_on(self, request: Request, keep_alive: bool) -> None:
        self._answering, self._keep_alive = True, keep_alive
        self._body_bytes = len(request.body)
        self._bodiless, self._in_chunks = request.method == "HEAD", request.version == "1.1"
        self._handing_on = True
        try:
            cancel = self._server.handler(request, self._respond)
        except Exception:
            log.exception("request failed")
            cancel = None
            self._respond(self._server.handler.refuse(InternalServerError()))
        self._handing_on = False
        if self._answering:
            self._cancel = cancel

    def _respond(self, answer: WireResponse) -> None:
        transport = self._transport
        if answer.rest is not None:
            self._begin(answer, answer.rest)
            return
        if transport is None or not self._answering:
            return  # the client is gone
        self._answering, self._cancel = False, None
        self._forget_body()
        if self._bodiless:
            answer.body = b""
        server = self._server
        if self._keep_alive and not server.draining and not self._eof:
            transport.write(b"".join((answer.head, server.head_end, answer.body)))
            self.since = server.now()
            if self._waiting and not self._handing_on:
                self._hand_on_waiting()
        else:
            self._say_last(answer)

    def _forget_body(self) -> None:
        """Count the body that is being answered no longer."""
        if self._body_bytes > COUNTED_BYTES:
            self._count(-self._body_bytes)
        self._body_bytes = 0

    def _begin(self, answer: WireResponse, rest: BodyStream) -> None:
        """Give the first piece of an answer that is made as it is taken."""
        transport, server = self._transport, self._server
        framing = IN_CHUNKS if self._in_chunks else b""  # in HTTP/1.0 the closing ends it
        if transport is None or not self._answering or self._bodiless:
            rest.close()
            self._respond(WireResponse(answer.head + framing, b""))
            return
        self._rest, self._cancel = rest, None
        self._forget_body()  # whoever makes the rest counts what he keeps of it
        self._keep_alive = self._keep_alive and not server.draining and not self._eof
        head_end = server.head_end if self._keep_alive else server.last_head_end
        transport.write(b"".join((answer.head, framing, head_end, self._framed(answer.body))))
        self._go_on(rest)

    def _go_on(self, rest: BodyStream) -> None:
        if self._stalled_since is None:
            rest.ask(self._take, self.abort)

    def _take(self, piece: bytes | None) -> None:
        """A piece of the rest, or its end."""
        transport, rest = self._transport, self._rest
        if transport is None or rest is None or transport.is_closing():
            return  # what closes the connection closes the rest
        if piece is not None:
            transport.write(self._framed(piece))
            self._go_on(rest)
            return
        self._rest, self._answering = None, False
        end = LAST_CHUNK if self._in_chunks else b""
        if self._keep_alive and not self._eof:
            transport.write(end)
            self.since = self._server.now()
            self._hand_on_waiting()
        else:
            self._end_with(end)

    def _framed(self, piece: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self._in_chunks and piece else piece

    def _queue(self, entry: Request | HTTPException, keep_alive: bool = False) -> None:
        self._waiting.append((entry, keep_alive))
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _hand_on_waiting(self) -> None:
        """Hand on what waits, as far as it is answered at once."""
        while self._waiting and not self._answering and self._stalled_since is None:
            entry, keep_alive = self._waiting.popleft()
            if isinstance(entry, HTTPException):
                self._say_last(self._server.handler.refuse(entry))
            else:
                self._hand_on(entry, keep_alive)
        self._take_ahead()
        if self._reading_paused and not self._waiting and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _refuse(self, error: HTTPException) -> None:
        """Read no more, and say why when it is this request's turn."""
        if self._refused:
            return
        self._refused = True
        self._reading = _NOTHING
        if len(self._body) > COUNTED_BYTES:
            self._count(-len(self._body))
        self._body = b""
        if self._answering or self._waiting:
            self._queue(error)
        else:
            self._say_last(self._server.handler.refuse(error))

    def _say_last(self, answer: WireResponse) -> None:
        """Give the last answer."""
        self._end_with(b"".join((answer.head, self._server.last_head_end, answer.body)))

    def _end_with(self, last: bytes) -> None:
        """Send the last bytes, and wait until the client has closed too."""
        self._refused = self._lingering = True
        self._forget_waiting()
        self.since = self._server.now()
        transport = self._transport
        if transport is None:
            return
        transport.write(last)
        if self._eof:
            transport.close()
        elif not transport.is_closing():
            transport.write_eof()
            if self._reading_paused:
                self._reading_paused = False
                transport.resume_reading()

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._ahead = _NO_BYTES
        self._count(-self._counted_bytes)

    # The server's side.

    @property
    def is_busy(self) -> bool:
        """Whether a request of it is being answered, or its answer on the way."""
        return self._answering or self._stalled_since is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being read or answered, or it has had its last answer."""
        return not self.is_busy and (self._lingering or self._reading == _NOTHING)

    @property
    def is_delivered(self) -> bool:
        """Whether the client's system has acknowledged all that was written (SIOCOUTQ, tcp(7))."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return True
        return ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4)) == bytes(4)

    def look(self, now: float) -> None:
        """Close it if it is late, saying so where it had begun to ask."""
        limits, age = self._server.limits, now - self.since
        if self._stalled_since is not None:
            self._look_at_unsent(now)
        elif self._lingering:
            if age > limits.linger_s:
                self.abort()
        elif self._answering:
            pass  # what takes its time is the answer
        elif self._reading == _NOTHING:
            if age > (limits.idle_s if self.has_asked else limits.head_s):
                self.close()
        elif age > (limits.head_s if self._reading == _HEAD else limits.body_s):
            part = "headers" if self._reading == _HEAD else "body"
            self._refuse(RequestTimeout(f"the {part} took too long to arrive"))

    def _look_at_unsent(self, now: float) -> None:
        if self._transport is None or self._stalled_since is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent <= self._unsent_bytes - TAKEN_BYTES:
            self._unsent_bytes, self._stalled_since = unsent, now
        elif now - self._stalled_since > self._server.limits.write_s:
            self.abort()

    def close(self) -> None:
        """Close it after what was written to it."""
        self._refused = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        self._refused = True
        self._server.connections.discard(self)
        if self._transport is not None:
            if self._rest is not None and not self._in_chunks:
                _reset_at_close(self._transport)
            self._transport.abort()


def _reset_at_close(transport: asyncio.Transport) -> None:
    """Have the connection reset: in HTTP/1.0 a plain end would say that the answer is whole."""
    ours = transport.get_extra_info("socket")
    with socket.fromfd(ours.fileno(), ours.family, ours.type) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _target(url: bytes) -> tuple[str, bytes]:
    """Decoded path and raw query of a request's target."""
    return _read_target(url) if len(url) > CACHED_TARGET_BYTES else _cached_target(url)


def _read_target(url: bytes) -> tuple[str, bytes]:
    parsed = httptools.parse_url(url)
    path = parsed.path or b"/"
    return unquote_to_bytes(path).decode("utf-8", "replace"), parsed.query or b""


_cached_target = lru_cache(1024)(_read_target)
