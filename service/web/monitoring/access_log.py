"""The access log: a JSON line for each request, written by a thread of its own.

Python's logging takes some 40 us a line, on the thread that answers, and waits for whoever reads
its stream. Here a line costs the answering thread about one, nobody waits, and what no one reads is
dropped and counted.
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

log = logging.getLogger(__name__)

LOGGER = "service.access"
"""What the lines give as their logger."""

MAX_WAITING = 20_000
"""Lines that wait to be written; further ones are dropped."""

ATOMIC_BYTES = 4096
"""What a pipe takes whole (POSIX: at least 512, Linux: 4096): all workers write to the same one."""


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
    """Writes what is noted; one for each worker, made after the fork.

    Args:
        descriptor: of the stream that is written to.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor, self._process = descriptor, os.getpid()
        self._lines: deque[tuple[float, str, str, str, int, float, str, str]] = deque()
        self._dropped = 0
        self._noted, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def note(
        self,
        request_id: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        key: str = "",
        trace_id: str = "",
    ) -> None:
        """Note an answered request.

        Args:
            request_id: as in the answer.
            method: as sent.
            path: decoded.
            status: of the answer.
            seconds: that it took.
            key: name of the key that it came with, if any.
            trace_id: of the trace that it is in, if any.
        """
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
            return
        line = (time.time(), request_id, method, path, status, seconds, key, trace_id)
        self._lines.append(line)
        if not self._noted.is_set():
            self._noted.set()

    def close(self, wait_s: float = 1.0) -> None:
        """Write what is left, for a while."""
        self._ended.set()
        self._noted.set()
        self._thread.join(wait_s)

    def _write(self) -> None:
        while not self._ended.is_set():
            self._noted.wait()
            self._noted.clear()
            self._write_noted()
        self._write_noted()

    def _write_noted(self) -> None:
        while self._lines:
            piece = b""
            while self._lines:
                line = self._encoded(*self._lines[0])
                if piece and len(piece) + len(line) > ATOMIC_BYTES:
                    break
                piece += line
                self._lines.popleft()
            try:
                self._put(piece)
            except OSError:  # nobody will ever read this stream again
                self._lines.clear()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.warning(
                "access lines were dropped, their reader is too slow", extra={"lines": dropped}
            )

    def _put(self, piece: bytes) -> None:
        while piece:
            try:
                piece = piece[os.write(self._descriptor, piece) :]
            except BlockingIOError:  # whoever made this stream made it so
                select.select([], [self._descriptor], [])

    def _encoded(
        self,
        at: float,
        request_id: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        key: str,
        trace_id: str,
    ) -> bytes:
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
