"""One client's connection: parse requests, write responses in order, enforce limits and deadlines.

llhttp (through httptools) parses the bytes. It rejects most of what request smuggling needs: two
lengths, a length together with chunks, spaces in names, folded lines, bare line ends. A handler gets
a request when its body is complete, so a slow client occupies a connection and nothing else.

``server.py`` says why the HTTP server is our own.
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
"""Limit of request line and headers together, without optional whitespace. Bytes that are parsed and
dropped (whitespace, chunk extensions, trailers) have twice this limit."""

MAX_TARGET_BYTES = 8 * 1024
"""Limit of path and query; RFC 9110, section 4.1, recommends at least 8,000."""

PARSE_BYTES = 16 * 1024
"""Bytes parsed at once. While a request is in flight, the next bytes stay unparsed, so a client can
queue only as many pipelined requests as fit into this size."""

LARGE_BODY_BYTES = 64 * 1024
"""Larger bodies count towards ``Limits.buffered_bytes`` and need a valid API key."""

PROGRESS_BYTES = 256 * 1024
"""Bytes of a response that a client must receive within ``Limits.write_s``."""

CACHED_TARGET_BYTES = 256
"""Longer targets are not cached, so that the cache stays small."""

MAX_LENGTH_DIGITS = 18
"""Of a Content-Length; `int` fails on thousands of digits."""

CHUNKED = b"transfer-encoding: chunked\r\n"

LAST_CHUNK = b"0\r\n\r\n"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

KEY_REQUIRED = f"a body of more than {LARGE_BODY_BYTES} bytes needs a valid API key"

RETRY_AFTER_S = 1
"""Seconds after which a client may resend a body that was rejected for lack of memory."""


@dataclass(frozen=True)
class Limits:
    """Limits for clients.

    Attributes:
        body_bytes: bytes of one request body.
        connections: open connections. At the limit the longest silent one is closed; while all are
            busy, new ones wait in the kernel's queue.
        head_s: seconds from a request's first byte, or from the connection, to the end of the
            headers.
        body_s: seconds from there to the end of the body.
        idle_s: seconds that a connection stays open between two requests.
        write_s: seconds in which a client must receive 256 KiB of a response, or the rest of it.
        linger_s: seconds that a client gets to close after the last response, while its bytes are
            dropped. Closing while the client sends would reset the connection, and the reset can
            arrive before the response.
        buffered_bytes: bytes of all large bodies in memory; a single body is always accepted.
    """

    body_bytes: int
    connections: int
    head_s: float
    body_s: float
    idle_s: float
    write_s: float = 30.0
    linger_s: float = 5.0
    buffered_bytes: int = 256 * 2**20


class ServerState(Protocol):
    """The part of `HttpServer` that its connections use."""

    handler: Handler
    limits: Limits
    connections: set[Connection]
    buffered_bytes: int
    draining: bool
    keep_alive_headers: bytes
    close_headers: bytes
    now: Callable[[], float]
    is_authenticated: Callable[[str | None], bool]


_IDLE, _HEAD, _BODY = range(3)
"""Parser states: between requests, in a request's head, in its body."""

_NO_BYTES = memoryview(b"")

_PARSER_ERRORS = httptools.HttpParserError, httptools.HttpParserUpgrade


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        server: the server that accepted it.

    Attributes:
        since: when the connection's current state began, in the loop's time.
        has_requested: whether the client has sent a complete request.
    """

    __slots__ = (
        *("_body", "_body_bytes", "_cancel", "_chunked", "_client", "_counted_bytes"),
        *("_dispatching", "_eof", "_head_only", "_headers", "_keep_alive", "_lingering"),
        *("_overhead_bytes", "_parser", "_pipeline", "_reading_paused", "_rejected", "_responding"),
        *("_server", "_stalled_since", "_state", "_stream", "_transport", "_unparsed"),
        *("_unsent_bytes", "_url", "_version", "has_requested", "since"),
    )

    def __init__(self, server: ServerState) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._state = _IDLE
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._version = ""
        # Bytes since the last one that was stored: of an incomplete head, or around chunks.
        self._overhead_bytes = 0
        # Requests behind the one in flight, or the error that ends reading; and unparsed bytes,
        # which exist only while the pipeline has an entry.
        self._pipeline: deque[tuple[Request | HTTPException, bool]] = deque()
        self._unparsed = _NO_BYTES
        self._responding = self._dispatching = self._reading_paused = self._head_only = False
        self._keep_alive = self._chunked = True
        self._cancel: Cancel | None = None
        self._stream: BodyStream | None = None
        # Bytes of large bodies: of all requests here, and of the request in flight.
        self._counted_bytes = self._body_bytes = 0
        self._rejected = self._lingering = self._eof = False
        self._stalled_since: float | None = None
        self._unsent_bytes = 0
        self.has_requested = False
        self.since = server.now()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with the transport of an accepted connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        if self._rejected:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=0)  # call pause_writing for every unsent byte
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""

    def connection_lost(self, _error: Exception | None) -> None:
        """Clean up after the connection was closed by either side."""
        self._server.connections.discard(self)
        self._transport = None
        self._rejected = True
        self._clear_pipeline()
        del self._parser  # the parser refers to this connection: break the cycle
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def eof_received(self) -> bool:
        """Return whether a client that has stopped sending still gets a response.

        Most such clients have disconnected. So work that has not begun is canceled, as behind nginx.
        A client that only closed its sending side still gets the responses that have begun.
        """
        self._eof = True
        if self._cancel is not None and not self._pipeline and self._cancel():
            self._responding, self._cancel = False, None
            return False
        return self._responding or bool(self._pipeline)

    def pause_writing(self) -> None:
        """Note that the client has not received all bytes yet."""
        if self._transport is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
        self._stalled_since = self._server.now()

    def resume_writing(self) -> None:
        """Continue when the client has received all bytes."""
        self._stalled_since = None
        self.since = self._server.now()
        if not self._responding:
            self._dispatch_pipeline()
        elif self._stream is not None:
            self._request_chunk(self._stream)

    def data_received(self, data: bytes | memoryview) -> None:
        """Parse bytes from the client."""
        if len(data) > PARSE_BYTES:
            self._unparsed = memoryview(data)
            self._parse_unparsed()
            return
        if self._rejected:
            return
        try:
            self._parser.feed_data(data)
        except _PARSER_ERRORS as error:
            self._on_parser_error(error, data)
        if self._state:
            self._overhead_bytes += len(data)
            if self._overhead_bytes > MAX_HEAD_BYTES + PARSE_BYTES:  # data may count twice
                self._reject_long_head()

    def _parse_unparsed(self) -> None:
        while self._unparsed and not self._pipeline:
            data, self._unparsed = self._unparsed[:PARSE_BYTES], self._unparsed[PARSE_BYTES:]
            self.data_received(data)

    def _on_parser_error(self, error: Exception, data: bytes | memoryview) -> None:
        """Continue after an Upgrade header, or reject invalid HTTP."""
        while isinstance(error, httptools.HttpParserUpgrade):
            if self._rejected:
                return
            data = self._without_upgrade(data[error.args[0] :])
            try:
                self._parser.feed_data(data)
            except _PARSER_ERRORS as next_error:
                error = next_error
            else:
                return
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error  # a bug in a callback: the loop logs it and closes the connection
        if "overflow" in str(error):  # of a Content-Length or a chunk size
            self._reject(RequestEntityTooLarge())
        else:
            self._reject(BadRequest(f"invalid HTTP: {error}"))

    def _without_upgrade(self, after_head: bytes | memoryview) -> bytes:
        """Return the current request without its Upgrade header, to be parsed again.

        The server supports no other protocol. llhttp assumes that a request with Upgrade has no
        body, but clients that prefer HTTP/2 send one.

        Args:
            after_head: the bytes behind the head.
        """
        method, version = self._parser.get_method(), self._version.encode()
        headers = {name: value for name, value in self._headers.items() if name != "upgrade"}
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode(
            "latin-1"
        )
        self._parser = httptools.HttpRequestParser(self)
        return b"%s %s HTTP/%s\r\n%s\r\n%s" % (method, self._url, version, lines, after_head)

    # Called by llhttp.

    def on_message_begin(self) -> None:
        """Start a request at its first byte."""
        self._url, self._headers, self._body = b"", {}, b""
        self._overhead_bytes = 0
        self._state = _HEAD
        self.since = self._server.now()

    def on_url(self, url: bytes) -> None:
        """Add a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; drop a trailer."""
        if self._state == _BODY:
            return
        key, text, headers = name.lower().decode("latin-1"), value.decode("latin-1"), self._headers
        headers[key] = f"{headers[key]},{text.rstrip()}" if key in headers else text.rstrip()

    def on_headers_complete(self) -> None:
        """Check the head, and the declared length of the body."""
        if self._rejected:
            return
        parser, headers = self._parser, self._headers
        # A head that arrived in one call is short enough.
        if len(self._url) > MAX_TARGET_BYTES or (self._overhead_bytes and self._head_is_too_long()):
            self._reject_long_head()
            return
        version = self._version = parser.get_http_version()
        if parser.should_upgrade():
            if "upgrade" not in headers:
                self._reject(BadRequest("the method CONNECT is not supported"))
            return  # the head is parsed again without Upgrade
        self._state = _BODY
        self._overhead_bytes = 0
        self.since = self._server.now()
        if error := self._check_head(version, headers):
            self._reject(error)
        elif "expect" in headers and version == "1.1":
            self._send_continue(headers["expect"])

    def _check_head(self, version: str, headers: dict[str, str]) -> HTTPException | None:
        """Return the first error in a head, or None."""
        host = headers.get("host")
        if version not in ("1.1", "1.0"):
            return BadRequest(f"HTTP/{version} is not supported: send HTTP/1.1 or HTTP/1.0")
        if (host is None and version == "1.1") or (host is not None and "," in host):
            return BadRequest("expected exactly one Host header")  # RFC 9112, section 3.2
        if "transfer-encoding" in headers and (
            version == "1.0" or headers["transfer-encoding"].lower() != "chunked"
        ):
            return BadRequest("Transfer-Encoding must be chunked, in HTTP/1.1")
        if "content-length" in headers:
            return self._check_length(headers["content-length"])
        return None

    def _check_length(self, declared: str) -> HTTPException | None:
        size = int(declared) if len(declared) <= MAX_LENGTH_DIGITS else sys.maxsize
        if size > self._server.limits.body_bytes:
            return RequestEntityTooLarge()
        if size > LARGE_BODY_BYTES and self._is_anonymous():
            return Unauthorized(KEY_REQUIRED)
        return None

    def on_body(self, data: bytes) -> None:
        """Add bytes of the body."""
        if self._rejected:
            return
        self._overhead_bytes = 0
        if not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data
        size = len(self._body)
        if size > self._server.limits.body_bytes:
            self._reject(RequestEntityTooLarge())
        elif size > LARGE_BODY_BYTES:
            became_large = size - len(data) <= LARGE_BODY_BYTES
            self._count(size if became_large else len(data))
            if became_large and self._is_anonymous():
                self._reject(Unauthorized(KEY_REQUIRED))

    def on_message_complete(self) -> None:
        """Dispatch or queue the complete request."""
        if self._rejected or self._state == _HEAD:
            return
        self._state = _IDLE
        parser, body = self._parser, self._body
        try:
            path, query = _split_target(self._url)
        except httptools.HttpParserInvalidURLError:
            self._reject(BadRequest("the request target is not a valid path"))
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
        self.has_requested = True
        self._body = b""
        if self._responding or self._pipeline or self._stalled_since is not None:
            self._queue(request, keep_alive)
        else:
            self._dispatch(request, keep_alive)

    def _head_is_too_long(self) -> bool:
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        first = len(self._parser.get_method()) + len(self._url) + len("  HTTP/1.1\r\n")
        return first + lines + len("\r\n") > MAX_HEAD_BYTES

    def _reject_long_head(self) -> None:
        is_target = len(self._url) > MAX_TARGET_BYTES
        self._reject(RequestURITooLarge() if is_target else RequestHeaderFieldsTooLarge())

    def _is_anonymous(self) -> bool:
        return not self._server.is_authenticated(self._headers.get("authorization"))

    def _send_continue(self, expected: str) -> None:
        # Before an earlier response, the client would take it for that response.
        is_early = self._responding or self._pipeline or self._transport is None
        if expected.lower() == "100-continue" and not is_early:
            cast("asyncio.Transport", self._transport).write(CONTINUE)

    def _count(self, size: int) -> None:
        """Count bytes of large bodies that were received, or released (a negative size)."""
        server, limits = self._server, self._server.limits
        self._counted_bytes += size
        server.buffered_bytes += size
        if size > 0 and server.buffered_bytes > max(limits.buffered_bytes, limits.body_bytes):
            self._reject(
                ServiceUnavailable(
                    "too many large request bodies are in memory: retry later",
                    retry_after=RETRY_AFTER_S,
                )
            )

    # Requests and responses.

    def _dispatch(self, request: Request, keep_alive: bool) -> None:
        """Give a request to the handler."""
        self._responding, self._keep_alive = True, keep_alive
        self._body_bytes = len(request.body)
        self._head_only, self._chunked = request.method == "HEAD", request.version == "1.1"
        self._dispatching = True
        try:
            cancel = self._server.handler(request, self._respond)
        except Exception:
            log.exception("request failed")
            cancel = None
            self._respond(self._server.handler.refuse(InternalServerError()))
        self._dispatching = False
        if self._responding:
            self._cancel = cancel

    def _respond(self, response: WireResponse) -> None:
        """Send the response to the request in flight."""
        transport = self._transport
        if response.stream is not None:
            self._start_stream(response, response.stream)
            return
        if transport is None or not self._responding:
            return  # the client has disconnected
        self._responding, self._cancel = False, None
        self._release_body()
        if self._head_only:
            response.body = b""
        server = self._server
        if self._keep_alive and not server.draining and not self._eof:
            transport.write(b"".join((response.head, server.keep_alive_headers, response.body)))
            self.since = server.now()
            if self._pipeline and not self._dispatching:
                self._dispatch_pipeline()
        else:
            self._send_last_response(response)

    def _release_body(self) -> None:
        """Stop counting the body of the request in flight."""
        if self._body_bytes > LARGE_BODY_BYTES:
            self._count(-self._body_bytes)
        self._body_bytes = 0

    def _start_stream(self, response: WireResponse, stream: BodyStream) -> None:
        """Send the head and the first chunk of a streamed response."""
        transport, server = self._transport, self._server
        framing = CHUNKED if self._chunked else b""  # in HTTP/1.0 the end of the connection ends it
        if transport is None or not self._responding or self._head_only:
            stream.close()
            self._respond(WireResponse(response.head + framing, b""))
            return
        self._stream, self._cancel = stream, None
        self._release_body()  # the stream counts the bytes that it holds
        self._keep_alive = self._keep_alive and not server.draining and not self._eof
        last_headers = server.keep_alive_headers if self._keep_alive else server.close_headers
        transport.write(
            b"".join((response.head, framing, last_headers, self._frame(response.body)))
        )
        self._request_chunk(stream)

    def _request_chunk(self, stream: BodyStream) -> None:
        """Request the next chunk, once the client has received the one before."""
        if self._stalled_since is None:
            stream.request_chunk(self._send_chunk, self.abort)

    def _send_chunk(self, chunk: bytes | None) -> None:
        """Send a chunk, or the end of the stream."""
        transport, stream = self._transport, self._stream
        if transport is None or stream is None or transport.is_closing():
            return  # connection_lost closes the stream
        if chunk is not None:
            transport.write(self._frame(chunk))
            self._request_chunk(stream)
            return
        self._stream, self._responding = None, False
        end = LAST_CHUNK if self._chunked else b""
        if self._keep_alive and not self._eof:
            transport.write(end)
            self.since = self._server.now()
            self._dispatch_pipeline()
        else:
            self._send_last(end)

    def _frame(self, chunk: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked and chunk else chunk

    def _queue(self, entry: Request | HTTPException, keep_alive: bool = False) -> None:
        self._pipeline.append((entry, keep_alive))
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _dispatch_pipeline(self) -> None:
        """Dispatch queued requests until a response is pending, then parse what follows them."""
        while self._pipeline and not self._responding and self._stalled_since is None:
            entry, keep_alive = self._pipeline.popleft()
            if isinstance(entry, HTTPException):
                self._send_last_response(self._server.handler.refuse(entry))
            else:
                self._dispatch(entry, keep_alive)
        self._parse_unparsed()
        if self._reading_paused and not self._pipeline and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _reject(self, error: HTTPException) -> None:
        """Stop parsing, and send the error after the pending responses."""
        if self._rejected:
            return
        self._rejected = True
        self._state = _IDLE
        if len(self._body) > LARGE_BODY_BYTES:
            self._count(-len(self._body))
        self._body = b""
        if self._responding or self._pipeline:
            self._queue(error)
        else:
            self._send_last_response(self._server.handler.refuse(error))

    def _send_last_response(self, response: WireResponse) -> None:
        self._send_last(b"".join((response.head, self._server.close_headers, response.body)))

    def _send_last(self, data: bytes) -> None:
        """Send the last bytes, and wait until the client closes the connection."""
        self._rejected = self._lingering = True
        self._clear_pipeline()
        self.since = self._server.now()
        transport = self._transport
        if transport is None:
            return
        transport.write(data)
        if self._eof:
            transport.close()
        elif not transport.is_closing():
            transport.write_eof()
            if self._reading_paused:
                self._reading_paused = False
                transport.resume_reading()

    def _clear_pipeline(self) -> None:
        self._pipeline.clear()
        self._unparsed = _NO_BYTES
        self._count(-self._counted_bytes)

    # Called by the server.

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight or a response is being sent."""
        return self._responding or self._stalled_since is not None

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, or the last response has been sent."""
        return not self.is_busy and (self._lingering or self._state == _IDLE)

    @property
    def is_delivered(self) -> bool:
        """Whether the client's system has acknowledged every byte (SIOCOUTQ, tcp(7))."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return True
        return ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4)) == bytes(4)

    def check_deadlines(self, now: float) -> None:
        """Close the connection if it has missed a deadline; send 408 in the middle of a request."""
        limits, age = self._server.limits, now - self.since
        if self._stalled_since is not None:
            self._check_progress(now)
        elif self._lingering:
            if age > limits.linger_s:
                self.abort()
        elif self._responding:
            pass  # the call has a deadline of its own
        elif self._state == _IDLE:
            if age > (limits.idle_s if self.has_requested else limits.head_s):
                self.close()
        elif age > (limits.head_s if self._state == _HEAD else limits.body_s):
            part = "headers" if self._state == _HEAD else "body"
            self._reject(RequestTimeout(f"the {part} took too long to arrive"))

    def _check_progress(self, now: float) -> None:
        """Abort if the client receives the response too slowly."""
        if self._transport is None or self._stalled_since is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent <= self._unsent_bytes - PROGRESS_BYTES:
            self._unsent_bytes, self._stalled_since = unsent, now
        elif now - self._stalled_since > self._server.limits.write_s:
            self.abort()

    def close(self) -> None:
        """Close the connection after the bytes already written."""
        self._rejected = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._rejected = True
        self._server.connections.discard(self)
        if self._transport is not None:
            if self._stream is not None and not self._chunked:
                _reset_at_close(self._transport)
            self._transport.abort()


def _reset_at_close(transport: asyncio.Transport) -> None:
    """Let closing reset the connection: in HTTP/1.0 a normal close would end the body."""
    sock = transport.get_extra_info("socket")
    with socket.fromfd(sock.fileno(), sock.family, sock.type) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _split_target(url: bytes) -> tuple[str, bytes]:
    """Return the decoded path and the raw query of a request target."""
    return _parse_target(url) if len(url) > CACHED_TARGET_BYTES else _cached_target(url)


def _parse_target(url: bytes) -> tuple[str, bytes]:
    parsed = httptools.parse_url(url)
    path = parsed.path or b"/"
    return unquote_to_bytes(path).decode("utf-8", "replace"), parsed.query or b""


_cached_target = lru_cache(1024)(_parse_target)
