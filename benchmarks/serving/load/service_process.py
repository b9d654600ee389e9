"""``pigeonhole serve`` as a process, with its restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.places import REPOSITORY
from benchmarks.serving.load import process_tree

FLAGS = ("--models", "models", "--default-model", "bodymass", "--port", "0")

TIMEOUT_S = 60.0
"""Seconds that a start, a restart or a stop may take."""

POLL_S = 0.05


class ServiceTimeout(Exception):
    """The service did not start, restart or stop in time."""


class ServiceProcess:
    """``pigeonhole serve`` on a free port, and its successors on the same socket.

    Args:
        workers: number of workers.
        log: file for standard error, which has one JSON object a line.

    Attributes:
        parent: pid of the workers' parent, which changes with `replace_service`.
        port: port on loopback.

    Raises:
        ServiceTimeout: the workers are not ready in time.
    """

    def __init__(self, workers: int, log: Path) -> None:
        self._worker_count, self._log = workers, log
        command = [sys.executable, "-m", "pigeonhole", "serve", *FLAGS, "--workers", str(workers)]
        with log.open("wb") as standard_error:
            self._first = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=standard_error, cwd=REPOSITORY
            )
        self.parent = self._first.pid
        _wait_until(lambda: self._workers_started() >= workers)
        self.port = int(self._log_entries("listening")[0]["addresses"][0].rpartition(":")[2])

    def workers(self) -> list[int]:
        """Return the pids of the workers."""
        return process_tree.children(self.parent)

    def replace_worker(self) -> None:
        """Stop one worker gracefully and wait for its replacement.

        Raises:
            ServiceTimeout: the replacement is not ready in time.
        """
        (worker, *_) = self.workers()
        self._replace([worker], lambda: os.kill(worker, signal.SIGTERM))

    def replace_workers(self) -> None:
        """Replace all workers at once.

        Raises:
            ServiceTimeout: the replacements are not ready in time.
        """
        self._replace(self.workers(), lambda: os.kill(self.parent, signal.SIGHUP))

    def replace_service(self) -> None:
        """Start a second service on the same socket, and stop the first when it is ready.

        Raises:
            ServiceTimeout: a step takes too long.
        """
        old, started = self.parent, self._workers_started()
        os.kill(old, signal.SIGUSR2)
        _wait_until(lambda: _successor(old) is not None)
        self.parent = _successor(old) or 0
        _wait_until(lambda: self._workers_started() >= started + self._worker_count)
        os.kill(old, signal.SIGTERM)
        _wait_until(lambda: not process_tree.is_running(old))

    def stop(self) -> None:
        """Stop the service gracefully.

        Raises:
            ServiceTimeout: the service does not stop in time.
        """
        if process_tree.is_running(self.parent):
            os.kill(self.parent, signal.SIGTERM)
        _wait_until(lambda: not process_tree.is_running(self.parent))
        self._first.wait()

    def _replace(self, old: list[int], restart: Callable[[], None]) -> None:
        started = self._workers_started()
        restart()
        _wait_until(lambda: self._workers_started() >= started + len(old))
        _wait_until(lambda: not set(old) & set(self.workers()))

    def _workers_started(self) -> int:
        """Return how many workers have logged that the model is live."""
        return sum(entry.get("model") == "bodymass" for entry in self._log_entries("model live"))

    def _log_entries(self, message: str) -> list[dict[str, Any]]:
        complete_lines = self._log.read_text("utf-8").rpartition("\n")[0].splitlines()
        entries = [json.loads(line) for line in complete_lines if line.startswith("{")]
        return [entry for entry in entries if entry["message"] == message]


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceTimeout(f"the service did not start, restart or stop in {TIMEOUT_S:g} s")
        time.sleep(POLL_S)


def _successor(pid: int) -> int | None:
    """Return the child that runs the whole service again; the other children are workers."""
    variable = b"GUNICORN_PID=%d" % pid
    for child in process_tree.children(pid):
        if variable in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return child
    return None
