"""Processes forked from a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


class Children:
    """Child processes; none outlives the test."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def fork(self, work: Callable[[], None]) -> int:
        """Call ``work`` in a child process that then ends; return the process id."""
        pid = os.fork()
        if pid == 0:
            try:
                work()
            except BaseException:  # noqa: BLE001 - the exit code reports it
                os._exit(1)
            os._exit(0)
        self._running.add(pid)
        return pid

    def has_ended(self, pid: int) -> bool:
        """Return whether a child has ended; fails if its work failed."""
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            self._running.remove(pid)
            assert os.waitstatus_to_exitcode(status) == 0
        return bool(found)

    def join(self, *pids: int) -> None:
        """Wait until these children have ended."""
        for pid in pids:
            until(lambda pid=pid: self.has_ended(pid))

    def kill(self, pid: int) -> None:
        """Kill a child."""
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._running.remove(pid)

    def kill_all(self) -> None:
        """Kill all children."""
        for pid in tuple(self._running):
            self.kill(pid)


def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
