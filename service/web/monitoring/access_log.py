"""The access log: one JSON line per request, written by a thread of its own.

Python's logging takes about 40 us per line on the thread that responds, and it waits for a slow reader
of its stream. This log takes about 1 us of that thread. If the reader is too slow, lines are dropped
and counted.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from datetime import UTC, datetime

import msgspec

from .finished_request import FinishedRequest

log = logging.getLogger(__name__)

LOGGER = "service.access"
"""The logger's name in the lines."""

MAX_WAITING = 20_000
"""Lines in the queue; further ones are dropped."""

ATOMIC_BYTES = 4096
"""Size of an atomic write to a pipe (POSIX: at least 512, Linux: 4096); all workers share the pipe."""


_Queued = tuple[float, str, str, str, int, float, str, str]
"""Time, request id, method, path, status, seconds, key and trace id of a request."""


class _Line(msgspec.Struct, gc=False, omit_defaults=True):
    level: str
    logger: str
    message: str
    process: int
    request_id: str
    method: str
    path: str
    status: int
    milliseconds: float
    timestamp: str
    key: str = ""
    trace_id: str = ""


class AccessLog:
    """Writes the access log of one worker; created after the fork.

    Args:
        descriptor: file descriptor of the stream.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor, self._process = descriptor, os.getpid()
        self._lines: deque[_Queued] = deque()
        self._dropped = 0
        self._has_lines, self._is_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def note(self, finished: FinishedRequest, trace_id: str = "") -> None:
        """Queue the line of a finished request.

        Args:
            finished: the request. The queue keeps only the values of its line.
            trace_id: of its trace, if any.
        """
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
            return
        self._lines.append(
            (
                time.time(),
                finished.identity,
                finished.method,
                finished.path,
                finished.status,
                finished.seconds,
                finished.key,
                trace_id,
            )
        )
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self, wait_s: float = 1.0) -> None:
        """Write the queued lines, for up to ``wait_s`` seconds."""
        self._is_closed.set()
        self._has_lines.set()
        self._thread.join(wait_s)

    def _write(self) -> None:
        while not self._is_closed.is_set():
            self._has_lines.wait()
            self._has_lines.clear()
            self._write_lines()
        self._write_lines()

    def _write_lines(self) -> None:
        while self._lines:
            chunk = b""
            while self._lines:
                line = self._encode(self._lines[0])
                if chunk and len(chunk) + len(line) > ATOMIC_BYTES:
                    break
                chunk += line
                self._lines.popleft()
            try:
                self._put(chunk)
            except OSError:  # the reader has closed the stream for good
                self._lines.clear()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.warning(
                "access log lines were dropped because their reader is too slow",
                extra={"lines": dropped},
            )

    def _put(self, chunk: bytes) -> None:
        while chunk:
            try:
                chunk = chunk[os.write(self._descriptor, chunk) :]
            except BlockingIOError:  # the stream is non-blocking
                select.select([], [self._descriptor], [])

    def _encode(self, queued: _Queued) -> bytes:
        at, request_id, method, path, status, seconds, key, trace_id = queued
        line = _Line(
            "INFO",
            LOGGER,
            "request",
            self._process,
            request_id,
            method,
            path,
            status,
            round(1000 * seconds, 3),
            datetime.fromtimestamp(at, UTC).isoformat(),
            key,
            trace_id,
        )
        return msgspec.json.encode(line) + b"\n"
