"""The HTTP server of one worker: its connections, their deadlines, and a stop that loses nothing.

Why not gunicorn's ASGI worker, or uvicorn in a gunicorn worker? They were measured: a constant
answer over 64 connections, two workers, two cores shared with the load generator.

    gunicorn's ASGI worker, its parser in Python   35,600 a second    44 us of processor time each
    uvicorn, uvloop and httptools                  49,900             27 us
    this, on uvloop and httptools                  87,000             12 us

(gunicorn's fast parser asks for a newer release than there is.) Neither of the two ever cuts off a
client that dribbles its headers or its body, and uvicorn takes headers of any size; a deadline, a
bound on connections, an even share of them for each worker, answers of our own shape and a drain
that resets nobody would all have had to be built around their insides. See docs/benchmarks.md.
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

from .connection import Connection, Limits
from .messages import Handler

log = logging.getLogger(__name__)

SWEEP_S = 0.25
"""How often deadlines are looked at: that much later than stated a client may be cut off."""

GIVE_WAY_S = 0.002
"""How long a worker with more connections than another leaves a new one to that."""

FULL_S = 0.05
"""How long a worker that can't take a connection leaves it in the system's queue."""

SILENT_S = 0.25
"""How long a connection is left alone at least before it may give way to a new one: whoever has
just connected is about to say something."""

FINISH_S = 0.02
"""How often a server that ends looks for connections to close."""

CLOCK_S = 0.001
"""How exact a loop's timers are."""

LAST_ACCEPTS_S = 0.1
"""How long connections that are half open get to become whole before the socket is closed."""

_SO_ATTACH_FILTER = getattr(socket, "SO_ATTACH_FILTER", 26)


class Share(Protocol):
    """How many connections this worker has, beside the others."""

    def report(self, connections: int | None) -> None:
        """Report this worker's open connections; None when it accepts no more."""

    def minimum(self) -> int:
        """Return the fewest connections that any accepting worker has."""


class HttpServer:
    """Answers HTTP/1.1 on sockets that listen already.

    Args:
        door: what answers.
        limits: for clients.
        share: by which workers share connections evenly; None for a worker alone.
        knows: whether large bodies are taken from whoever sends this Authorization.

    Attributes:
        connections: those open now.
        buffered_bytes: of all large bodies that are being received or answered now.
        draining: while set, every answer closes its connection.
        head_end: what ends the head of an answer: the date, and the empty line.
        last_head_end: the same where the connection is closed after it.
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
        self.buffered_bytes = 0
        self.draining = False
        self.head_end = self.last_head_end = b""
        self._listeners: list[socket.socket] = []
        self._opening: set[asyncio.Task[object]] = set()  # the loop alone would forget them
        self._full = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._tick()

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from these sockets from now on."""
        for listener in sockets:
            listener.setblocking(False)
            self._listeners.append(listener)
            self._loop.add_reader(listener, self._on_connection_waiting, listener)
        self._tell()

    async def stop_listening(self, *, last: bool) -> None:
        """Take no more connections, and close the sockets.

        Args:
            last: whether nobody else listens on these sockets: then those that are waiting in
                the system's queue are taken first, and nobody can enter it any more.
        """
        listeners, self._listeners = self._listeners, []
        if self._share is not None:
            self._share.report(None)
        if last:
            for listener in listeners:
                turn_away(listener)
            await asyncio.sleep(LAST_ACCEPTS_S)  # taken as before, meanwhile
        for listener in listeners:
            self._loop.remove_reader(listener)
            while last and self._accept(listener):
                pass
            listener.close()

    async def finish(self, seconds: float, idle_s: float) -> None:
        """Wait until all connections are gone.

        Args:
            seconds: how long at most.
            idle_s: one that has been silent for so long is closed: who asks often has learnt from
                an answer to close, who asks seldom is hardly about to. What it was sent has to have
                arrived by then: a container's network ends with its last process, and with it
                what the system has not delivered yet.
        """
        self.draining = True
        deadline = self.now() + seconds
        while self.connections and self.now() < deadline:
            for connection in list(self.connections):
                is_silent = connection.is_idle and self.now() - connection.since >= idle_s
                if is_silent and connection.is_delivered:
                    connection.close()
            await asyncio.sleep(FINISH_S)

    def close(self) -> None:
        """Close what is still open."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self.connections):
            connection.abort()

    def _on_connection_waiting(self, listener: socket.socket) -> None:
        """Somebody wants to connect: to any of the workers."""
        if self._share is not None and len(self.connections) > self._share.minimum():
            self._pause(listener, GIVE_WAY_S)
        else:
            self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        full = len(self.connections) >= self.limits.connections and not self._make_room()
        if full or (not self._accept(listener) and self._full):
            self._pause(listener, FULL_S)

    def _accept(self, listener: socket.socket) -> bool:
        """Take a connection; whether there was one that could be taken."""
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return False  # another worker was quicker
        except ConnectionAbortedError:
            return True  # the client has gone; there may be more
        except OSError:
            if not self._full:
                log.exception("no connection can be taken")
            self._full = True
            return False
        self._full = False
        client.setblocking(False)
        connection = Connection(self)
        self.connections.add(connection)
        self._tell()
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: connection, client)
        )
        self._opening.add(task)
        task.add_done_callback(partial(self._opened, connection))
        return True

    def _opened(self, connection: Connection, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        failed = task.cancelled() or task.exception() is not None  # the client has gone already
        if failed and connection in self.connections:
            connection.connection_lost(None)  # nobody else has told it

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        """Leave whoever wants to connect alone for a while, then take one, whatever others do."""
        self._loop.remove_reader(listener)
        self._loop.call_later(seconds, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._on_connection_waiting, listener)
            self._take(listener)

    def _make_room(self) -> bool:
        """Close the connection that has been silent longest.

        Rather one from which nothing is being read, and rather one that never asked anything.
        """
        latest = self.now() - SILENT_S
        silent = [c for c in self.connections if not c.is_busy and c.since <= latest]
        if not silent:
            return False
        min(silent, key=lambda c: (not c.is_idle, c.has_asked, c.since)).abort()
        return True

    def _tell(self) -> None:
        if self._share is not None and self._listeners:
            self._share.report(len(self.connections))

    def _tick(self) -> None:
        # On the quarters of a second, so that the date is right at once when a new one begins.
        now = time.time()
        self._sweeping = self._loop.call_later(SWEEP_S - now % SWEEP_S + CLOCK_S, self._tick)
        date = b"date: " + formatdate(now, usegmt=True).encode("ascii") + b"\r\n"
        self.head_end = date + b"\r\n"
        self.last_head_end = date + b"connection: close\r\n\r\n"
        for connection in list(self.connections):
            connection.look(self.now())
        self._tell()


def turn_away(listener: socket.socket) -> None:
    """Let nobody start a connection to a socket any more, without losing those who have.

    Closing a socket that listens resets whoever waits in its queue, and there is no call that
    closes only the queue's entrance. A filter (classic BPF, as in Linux's socket(7)) that drops the
    first packet of a connection does: who comes later tries again, and by then is refused.
    Where there is no such filter this does nothing.
    """
    flags_at, ack, syn = 13, 0x10, 0x02  # in a TCP header (RFC 9293, section 3.1)
    load_byte, jump_if_set, give_back = 0x30, 0x45, 0x06
    program = [
        (load_byte, 0, 0, flags_at),
        (jump_if_set, 2, 0, ack),
        (jump_if_set, 0, 1, syn),
        (give_back, 0, 0, 0),
        (give_back, 0, 0, 0xFFFFFFFF),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HL", len(program), ctypes.addressof(code)),
        )
