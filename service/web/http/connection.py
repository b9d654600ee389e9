"""One client's connection: its pipeline of requests, and its deadlines.

A handler gets a request when its body is complete, so a slow client occupies a connection and
nothing else. ``parser.py`` reads requests, ``writer.py`` writes responses, and ``server.py`` says why
the HTTP server is our own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from werkzeug.exceptions import HTTPException, InternalServerError, RequestTimeout

from .limits import LARGE_BODY_BYTES, BodyMemory
from .messages import BodyStream, Cancel, Handler, Request, WireResponse
from .parser import HEAD, IDLE, MAX_FEED_BYTES, RequestParser
from .writer import ResponseDefaults, ResponseWriter

log = logging.getLogger(__name__)

_NO_BYTES = memoryview(b"")


class ServerState(ResponseDefaults, Protocol):
    """The part of `HttpServer` that its connections use."""

    handler: Handler
    connections: set[Connection]
    body_memory: BodyMemory
    draining: bool
    is_authenticated: Callable[[str | None], bool]


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        server: the server that accepted it.

    Attributes:
        since: when the connection's current state began, in the loop's time.
        has_requested: whether the client has sent a complete request.
    """

    __slots__ = (
        *("_cancel", "_dispatching", "_keep_alive", "_large_body_bytes", "_parser", "_pipeline"),
        *("_reading_paused", "_responding", "_server", "_transport", "_unparsed", "_writer"),
        *("has_requested", "since"),
    )

    def __init__(self, server: ServerState) -> None:
        self._server = server
        self._parser = RequestParser(
            self, server.limits.body_bytes, server.body_memory, server.is_authenticated
        )
        self._writer = ResponseWriter(server)
        self._transport: asyncio.Transport | None = None
        # Requests behind the one in flight, or the error that ends reading; and unparsed bytes,
        # which exist only while the pipeline has an entry.
        self._pipeline: deque[tuple[Request | HTTPException, bool]] = deque()
        self._unparsed = _NO_BYTES
        self._reading_paused = False
        # The request in flight.
        self._responding = self._dispatching = self._keep_alive = False
        self._cancel: Cancel | None = None
        self._large_body_bytes = 0
        self.has_requested = False
        self.since = server.now()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with the transport of an accepted connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        if self._parser.is_stopped:
            self._transport.abort()
            return
        self._writer.open(self._transport)
        peer = transport.get_extra_info("peername")
        self._parser.client = peer[0] if peer else ""

    def connection_lost(self, _error: Exception | None) -> None:
        """Clean up after the connection was closed by either side."""
        self._server.connections.discard(self)
        self._transport = None
        self._responding = False
        self._release_body()
        self._clear_pipeline()
        self._parser.close()
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._writer.close()

    def eof_received(self) -> bool:
        """Return whether a client that has stopped sending still gets a response.

        Most such clients have disconnected. So work that has not begun is canceled, as behind nginx.
        A client that only closed its sending side still gets the responses that have begun.
        """
        self._writer.client_done = True
        if self._cancel is not None and not self._pipeline and self._cancel():
            self._responding, self._cancel = False, None
            return False
        return self._responding or bool(self._pipeline)

    def pause_writing(self) -> None:
        """Note that the client has not received all bytes yet."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """Continue when the client has received all bytes."""
        self.since = self._server.now()
        self._writer.resume()
        if not self._responding:
            self._dispatch_pipeline()

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client.

        While a request is in flight, the next bytes stay unparsed. So a client can queue only as many
        pipelined requests as fit into `MAX_FEED_BYTES`.
        """
        if len(data) <= MAX_FEED_BYTES:
            self._parser.feed(data)
        else:
            self._unparsed = memoryview(data)
            self._parse_unparsed()

    def _parse_unparsed(self) -> None:
        while self._unparsed and not self._pipeline:
            data, self._unparsed = self._unparsed[:MAX_FEED_BYTES], self._unparsed[MAX_FEED_BYTES:]
            self._parser.feed(data)

    # Called by the parser.

    def on_part(self) -> None:
        """Restart the clock for a head or a body."""
        self.since = self._server.now()

    def on_expect_continue(self) -> None:
        """Ask for the body; before an earlier response, the client would take it for that response."""
        if not self._responding and not self._pipeline:
            self._writer.write_continue()

    def on_request(self, request: Request, keep_alive: bool) -> None:
        """Dispatch or queue a complete request."""
        self.has_requested = True
        if self._responding or self._pipeline or self._writer.stalled_since is not None:
            self._queue(request, keep_alive)
        else:
            self._dispatch(request, keep_alive)

    def on_error(self, error: HTTPException) -> None:
        """Send an error after the pending responses."""
        if self._responding or self._pipeline:
            self._queue(error)
        else:
            self._send_error(error)

    # Requests and responses.

    def _queue(self, entry: Request | HTTPException, keep_alive: bool = False) -> None:
        self._pipeline.append((entry, keep_alive))
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _dispatch_pipeline(self) -> None:
        """Dispatch queued requests until a response is pending, then parse what follows them."""
        while self._pipeline and not self._responding and self._writer.stalled_since is None:
            entry, keep_alive = self._pipeline.popleft()
            if isinstance(entry, HTTPException):
                self._send_error(entry)
            else:
                self._dispatch(entry, keep_alive)
        self._parse_unparsed()
        if not self._pipeline:
            self._resume_reading()

    def _dispatch(self, request: Request, keep_alive: bool) -> None:
        """Give a request to the handler."""
        self._responding, self._keep_alive = True, keep_alive
        self._large_body_bytes = size if (size := len(request.body)) > LARGE_BODY_BYTES else 0
        writer = self._writer
        writer.head_only, writer.is_chunked = request.method == "HEAD", request.version == "1.1"
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
        if response.stream is not None:
            self._start_stream(response, response.stream)
            return
        if not self._responding:
            return  # the client has disconnected
        self._responding, self._cancel = False, None
        if self._large_body_bytes:
            self._release_body()
        keep_alive = self._can_keep_alive()
        self._writer.write(response, keep_alive=keep_alive)
        if keep_alive:
            self.since = self._server.now()
            if self._pipeline and not self._dispatching:
                self._dispatch_pipeline()
        else:
            self._stop_reading()

    def _start_stream(self, response: WireResponse, stream: BodyStream) -> None:
        """Send the start of a streamed response; the writer sends the rest."""
        writer = self._writer
        if not self._responding or writer.head_only:
            stream.close()
            self._respond(WireResponse(response.head + writer.framing, b""))
            return
        self._cancel = None
        self._release_body()  # the stream counts the bytes that it holds
        writer.start_stream(response, stream, self._can_keep_alive(), self._on_stream_end)

    def _on_stream_end(self) -> None:
        self._responding = False
        if self._writer.is_lingering:
            self._stop_reading()
        else:
            self.since = self._server.now()
            self._dispatch_pipeline()

    def _can_keep_alive(self) -> bool:
        return self._keep_alive and not self._server.draining and not self._writer.client_done

    def _release_body(self) -> None:
        """Stop counting the body of the request in flight."""
        self._server.body_memory.release(self._large_body_bytes)
        self._large_body_bytes = 0

    def _send_error(self, error: HTTPException) -> None:
        self._writer.write_last(self._server.handler.refuse(error))
        self._stop_reading()

    def _stop_reading(self) -> None:
        """Drop all further bytes after the last response."""
        self._parser.stop()
        self._clear_pipeline()
        self.since = self._server.now()
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _clear_pipeline(self) -> None:
        for entry, _ in self._pipeline:
            if isinstance(entry, Request):
                self._server.body_memory.release(len(entry.body))
        self._pipeline.clear()
        self._unparsed = _NO_BYTES

    # Called by the server.

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight or a response is being sent."""
        return self._responding or self._writer.stalled_since is not None

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, or the last response has been sent."""
        return not self.is_busy and (self._writer.is_lingering or self._parser.state == IDLE)

    @property
    def is_delivered(self) -> bool:
        """Whether the client's system has acknowledged every byte."""
        return self._writer.is_delivered

    def check_deadlines(self, now: float) -> None:
        """Close the connection if it has missed a deadline; send 408 in the middle of a request."""
        limits, age, state = self._server.limits, now - self.since, self._parser.state
        if self._writer.stalled_since is not None:
            if self._writer.is_too_slow(now):
                self.abort()
        elif self._writer.is_lingering:
            if age > limits.linger_s:
                self.abort()
        elif self._responding:
            pass  # the call has a deadline of its own
        elif state == IDLE:
            if age > (limits.idle_s if self.has_requested else limits.head_s):
                self.close()
        elif age > (limits.head_s if state == HEAD else limits.body_s):
            part = "headers" if state == HEAD else "body"
            self._parser.reject(RequestTimeout(f"the {part} took too long to arrive"))

    def close(self) -> None:
        """Close the connection after the bytes already written."""
        self._parser.stop()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._parser.stop()
        self._server.connections.discard(self)
        self._writer.abort()
