"""Responses to bytes: framing, back-pressure, and the last response of a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
import termios
from collections.abc import Callable
from fcntl import ioctl
from typing import Protocol

from .limits import Limits
from .messages import BodyStream, WireResponse

PROGRESS_BYTES = 256 * 1024
"""Bytes of a response that a client must receive within ``Limits.write_s``."""

CHUNKED = b"transfer-encoding: chunked\r\n"

LAST_CHUNK = b"0\r\n\r\n"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ResponseDefaults(Protocol):
    """The part of `HttpServer` that writers use."""

    limits: Limits
    keep_alive_headers: bytes
    close_headers: bytes
    now: Callable[[], float]


class ResponseWriter:
    """Writes the responses of one connection.

    Args:
        server: limits, the clock, and the last headers of each response.

    Attributes:
        head_only: whether the request in flight is a HEAD request.
        is_chunked: whether its client understands chunks, which HTTP/1.0 does not.
        client_done: whether the client has closed its sending side.
        stalled_since: time since which the client has not received all bytes; None if it has.
        is_lingering: whether the last response was written.
    """

    __slots__ = (
        *("_on_stream_end", "_server", "_stream", "_stream_keep_alive", "_transport"),
        *("_unsent_bytes", "client_done", "head_only", "is_chunked", "is_lingering"),
        "stalled_since",
    )

    def __init__(self, server: ResponseDefaults) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._stream: BodyStream | None = None
        self._on_stream_end: Callable[[], None] | None = None
        self._stream_keep_alive = False
        self._unsent_bytes = 0
        self.head_only = self.client_done = self.is_lingering = False
        self.is_chunked = True
        self.stalled_since: float | None = None

    def open(self, transport: asyncio.Transport) -> None:
        """Use a connection's transport."""
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # call pause_writing for every unsent byte

    def close(self) -> None:
        """Close the stream, and release the closed transport."""
        self._transport = self._on_stream_end = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # Complete responses.

    def write(self, response: WireResponse, *, keep_alive: bool) -> None:
        """Write the response to the request in flight; without ``keep_alive`` it is the last."""
        if self.head_only:
            response.body = b""
        if not keep_alive:
            self.write_last(response)
        elif self._transport is not None:
            last_headers = self._server.keep_alive_headers
            self._transport.write(b"".join((response.head, last_headers, response.body)))

    def write_last(self, response: WireResponse) -> None:
        """Write the last response with its body."""
        self._write_last(b"".join((response.head, self._server.close_headers, response.body)))

    def write_continue(self) -> None:
        """Ask the client for the request's body."""
        if self._transport is not None:
            self._transport.write(CONTINUE)

    def _write_last(self, data: bytes) -> None:
        """Write the last bytes, and wait until the client closes the connection."""
        self.is_lingering = True
        transport = self._transport
        if transport is None:
            return
        transport.write(data)
        if self.client_done:
            transport.close()
        elif not transport.is_closing():
            transport.write_eof()

    # Streams.

    @property
    def framing(self) -> bytes:
        """The header of a streamed response; in HTTP/1.0 the end of the connection ends it."""
        return CHUNKED if self.is_chunked else b""

    def start_stream(
        self,
        response: WireResponse,
        stream: BodyStream,
        keep_alive: bool,
        on_end: Callable[[], None],
    ) -> None:
        """Write head and first chunk; the others follow as fast as the client receives them.

        Args:
            response: head and first chunk.
            stream: the other chunks.
            keep_alive: whether another response may follow.
            on_end: called after the last chunk was written.
        """
        transport, server = self._transport, self._server
        if transport is None:
            stream.close()
            return
        self._stream, self._on_stream_end, self._stream_keep_alive = stream, on_end, keep_alive
        last_headers = server.keep_alive_headers if keep_alive else server.close_headers
        first = self._frame(response.body)
        transport.write(b"".join((response.head, self.framing, last_headers, first)))
        self._request_chunk(stream)

    def _request_chunk(self, stream: BodyStream) -> None:
        """Request the next chunk, once the client has received the one before."""
        if self.stalled_since is None:
            stream.request_chunk(self._write_chunk, self.abort)

    def _write_chunk(self, chunk: bytes | None) -> None:
        """Write a chunk, or the end of the stream."""
        transport, stream = self._transport, self._stream
        if transport is None or stream is None or transport.is_closing():
            return  # `close` closes the stream
        if chunk is not None:
            transport.write(self._frame(chunk))
            self._request_chunk(stream)
            return
        on_end = self._on_stream_end
        self._stream = self._on_stream_end = None
        end = LAST_CHUNK if self.is_chunked else b""
        if self._stream_keep_alive and not self.client_done:
            transport.write(end)
        else:
            self._write_last(end)
        if on_end is not None:
            on_end()

    def _frame(self, chunk: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self.is_chunked and chunk else chunk

    # Back-pressure.

    def pause(self) -> None:
        """Note that the client has not received all bytes yet."""
        if self._transport is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
        self.stalled_since = self._server.now()

    def resume(self) -> None:
        """Continue a stream when the client has received all bytes."""
        self.stalled_since = None
        if self._stream is not None:
            self._request_chunk(self._stream)

    def is_too_slow(self, now: float) -> bool:
        """Return whether the client has received too few bytes within ``Limits.write_s``."""
        if self._transport is None or self.stalled_since is None:
            return False
        unsent = self._transport.get_write_buffer_size()
        if unsent <= self._unsent_bytes - PROGRESS_BYTES:
            self._unsent_bytes, self.stalled_since = unsent, now
        return now - self.stalled_since > self._server.limits.write_s

    @property
    def is_delivered(self) -> bool:
        """Whether the client's system has acknowledged every byte (SIOCOUTQ, tcp(7))."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return True
        return ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4)) == bytes(4)

    def abort(self) -> None:
        """Close the transport at once; an incomplete stream is recognizable as such."""
        if self._transport is not None:
            if self._stream is not None and not self.is_chunked:
                _reset_at_close(self._transport)
            self._transport.abort()


def _reset_at_close(transport: asyncio.Transport) -> None:
    """Let closing reset the connection: in HTTP/1.0 a normal close would end the body."""
    sock = transport.get_extra_info("socket")
    with socket.fromfd(sock.fileno(), sock.family, sock.type) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
