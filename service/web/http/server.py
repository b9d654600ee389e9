"""The HTTP server of one worker: connections, deadlines, and a graceful stop.

The server is our own because the alternatives are slower and lack features. Measured with a constant
response, 64 connections, two workers, and two cores shared with the load generator:

    server                                          requests/s    processor time per request
    gunicorn's ASGI worker (parser in Python)           35,600    44 us
    uvicorn, uvloop and httptools                       49,900    27 us
    this server, on uvloop and httptools                87,000    12 us

gunicorn's fast parser needs a release that does not exist yet. Neither server cuts off a client that
sends its headers or its body slowly, and uvicorn accepts headers of any size. We would have to build
these around the internals of either server: deadlines, a limit of connections, an even share of
connections per worker, error responses in JSON, and a drain that resets no connection.
See docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Protocol

from .connection import Connection
from .limits import BodyMemory, Limits
from .messages import Handler

log = logging.getLogger(__name__)

TICK_S = 0.25
"""Seconds between two checks of the deadlines: a client may be cut off that much late."""

YIELD_S = 0.002
"""Seconds that a worker with more connections than another leaves a new connection to it."""

FULL_RETRY_S = 0.05
"""Seconds until a worker that can't accept a connection tries again."""

MIN_SILENT_S = 0.25
"""Seconds of silence after which a connection may be closed for a new one. A client that has just
connected is about to send a request."""

FINISH_POLL_S = 0.02
"""Seconds between two searches for connections to close, while the server stops."""

TIMER_RESOLUTION_S = 0.001
"""Resolution of the event loop's timers."""

HANDSHAKE_S = 0.1
"""Seconds that half-open connections get to complete before the listening socket is closed."""

_SO_ATTACH_FILTER = getattr(socket, "SO_ATTACH_FILTER", 26)


class Share(Protocol):
    """The numbers of connections of all workers."""

    def report(self, connections: int | None) -> None:
        """Report this worker's open connections; None when it accepts no more."""

    def minimum(self) -> int:
        """Return the fewest connections that any accepting worker has."""


class HttpServer:
    """An HTTP/1.1 server on listening sockets.

    Args:
        handler: responds to requests.
        limits: limits for clients.
        share: balances connections between workers; None for a single worker.
        is_authenticated: returns whether an Authorization header permits large bodies.

    Attributes:
        connections: the open connections.
        body_memory: counts the large request bodies of all connections.
        draining: while true, every response closes its connection.
        keep_alive_headers: the last lines of a response's head: Date and the empty line.
        close_headers: the same with ``Connection: close``.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        share: Share | None = None,
        is_authenticated: Callable[[str | None], bool] = lambda _: True,
    ) -> None:
        self.handler, self.limits, self._share = handler, limits, share
        self.is_authenticated = is_authenticated
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.connections: set[Connection] = set()
        self.body_memory = BodyMemory(limits)
        self.draining = False
        self.keep_alive_headers = self.close_headers = b""
        self._listeners: list[socket.socket] = []
        self._opening: set[asyncio.Task[object]] = set()  # the loop holds only weak references
        self._accept_failed = False
        self._ticker: asyncio.TimerHandle | None = None
        self._tick()

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections from these sockets from now on."""
        for listener in sockets:
            listener.setblocking(False)
            self._listeners.append(listener)
            self._loop.add_reader(listener, self._on_connection_waiting, listener)
        self._report()

    async def stop_listening(self, *, last: bool) -> None:
        """Accept no more connections, and close the sockets.

        Args:
            last: whether no other process listens on these sockets. Then the connections in the
                kernel's queue are accepted first, and new ones are refused.
        """
        listeners, self._listeners = self._listeners, []
        if self._share is not None:
            self._share.report(None)
        if last:
            for listener in listeners:
                refuse_new_connections(listener)
            await asyncio.sleep(HANDSHAKE_S)  # connections are accepted meanwhile
        for listener in listeners:
            self._loop.remove_reader(listener)
            while last and self._accept(listener):
                pass
            listener.close()

    async def finish(self, seconds: float, idle_s: float) -> None:
        """Wait until all connections are closed.

        Args:
            seconds: the longest wait.
            idle_s: seconds of silence after which a connection is closed. A client that sends
                requests more often gets a response that closes the connection. The last response
                must have arrived before: a container's network ends with its last process, and
                with it every byte that the kernel has not delivered.
        """
        self.draining = True
        deadline = self.now() + seconds
        while self.connections and self.now() < deadline:
            for connection in list(self.connections):
                is_silent = connection.is_idle and self.now() - connection.since >= idle_s
                if is_silent and connection.is_delivered:
                    connection.close()
            await asyncio.sleep(FINISH_POLL_S)

    def close(self) -> None:
        """Close all connections at once."""
        if self._ticker is not None:
            self._ticker.cancel()
        for connection in list(self.connections):
            connection.abort()

    def _on_connection_waiting(self, listener: socket.socket) -> None:
        """Accept a connection, or leave it to a worker with fewer connections."""
        if self._share is not None and len(self.connections) > self._share.minimum():
            self._pause(listener, YIELD_S)
        else:
            self._accept_or_pause(listener)

    def _accept_or_pause(self, listener: socket.socket) -> None:
        is_full = len(self.connections) >= self.limits.connections and not self._close_idlest()
        if is_full or (not self._accept(listener) and self._accept_failed):
            self._pause(listener, FULL_RETRY_S)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept a connection; return whether there may be more."""
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return False  # another worker has accepted it
        except ConnectionAbortedError:
            return True  # the client has disconnected
        except OSError:
            if not self._accept_failed:
                log.exception("accepting a connection failed")
            self._accept_failed = True
            return False
        self._accept_failed = False
        client.setblocking(False)
        connection = Connection(self)
        self.connections.add(connection)
        self._report()
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: connection, client)
        )
        self._opening.add(task)
        task.add_done_callback(partial(self._on_opened, connection))
        return True

    def _on_opened(self, connection: Connection, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        failed = task.cancelled() or task.exception() is not None  # the client has disconnected
        if failed and connection in self.connections:
            connection.connection_lost(None)  # the loop does not call it

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        """Stop accepting for a while, then accept one connection whatever other workers do."""
        self._loop.remove_reader(listener)
        self._loop.call_later(seconds, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._on_connection_waiting, listener)
            self._accept_or_pause(listener)

    def _close_idlest(self) -> bool:
        """Close the connection that has been silent longest; return whether there was one.

        A connection between requests is closed before one in the middle of a request. Among those,
        a connection that never sent a request is closed first.
        """
        latest = self.now() - MIN_SILENT_S
        silent = [c for c in self.connections if not c.is_busy and c.since <= latest]
        if not silent:
            return False
        min(silent, key=lambda c: (not c.is_idle, c.has_requested, c.since)).abort()
        return True

    def _report(self) -> None:
        if self._share is not None and self._listeners:
            self._share.report(len(self.connections))

    def _tick(self) -> None:
        # On full quarters of a second, so that the Date header changes when the second does.
        now = time.time()
        delay_s = TICK_S - now % TICK_S + TIMER_RESOLUTION_S
        self._ticker = self._loop.call_later(delay_s, self._tick)
        date = b"date: " + formatdate(now, usegmt=True).encode("ascii") + b"\r\n"
        self.keep_alive_headers = date + b"\r\n"
        self.close_headers = date + b"connection: close\r\n\r\n"
        for connection in list(self.connections):
            connection.check_deadlines(self.now())
        self._report()


def refuse_new_connections(listener: socket.socket) -> None:
    """Let no new connection enter a listening socket's queue; keep those in it.

    Closing the socket would reset the connections in its queue, and no system call closes only the
    entrance. A packet filter (classic BPF, as in Linux's socket(7)) does: it drops the first packet
    of a connection. The client sends it again, and is refused once the socket is closed.
    On systems without such filters this function does nothing.
    """
    flags_at, ack, syn = 13, 0x10, 0x02  # in a TCP header (RFC 9293, section 3.1)
    load_byte, jump_if_set, return_size = 0x30, 0x45, 0x06
    program = [
        (load_byte, 0, 0, flags_at),
        (jump_if_set, 2, 0, ack),
        (jump_if_set, 0, 1, syn),
        (return_size, 0, 0, 0),
        (return_size, 0, 0, 0xFFFFFFFF),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HL", len(program), ctypes.addressof(code)),
        )
