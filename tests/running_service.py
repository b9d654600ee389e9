"""The service as a process of its own, for tests that need real workers, sockets and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

START_S = 60
"""Seconds until the service must listen."""

STOP_S = 60
"""Seconds that a graceful stop may take."""

ANSWER_S = 30
"""Seconds that a response may take."""


class RunningService:
    """``pigeonhole serve`` on a port that the system chooses.

    Args:
        models: the model folder.
        log: the file for its standard error, one JSON object a line.
        flags: further flags of ``pigeonhole serve``.
        command: the whole command, if it is not ``pigeonhole serve``; models and flags are then
            ignored.
        variables: environment variables.

    Attributes:
        process: the parent process of the workers.
        address: the URL where it listens.
        port: the port of that URL.
    """

    def __init__(
        self,
        models: Path,
        log: Path,
        *flags: str,
        command: Sequence[str | Path] = (),
        **variables: str,
    ) -> None:
        self._log = log
        serve = [sys.executable, "-m", "pigeonhole", "serve", "--models", models, "--port", "0"]
        # Settings in the environment of the test run must not reach the service.
        own = ("PIGEONHOLE_", "OTEL_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(own)} | variables
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command or [*serve, *flags], stdout=subprocess.DEVNULL, stderr=errors, env=clean
            )
        self.until(lambda: self.lines("listening"))
        (listening,) = self.lines("listening")
        (self.address,) = listening["addresses"]
        self.port = int(self.address.rpartition(":")[2])

    def lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """Return every whole line of its log, or the lines with this message.

        Raises:
            AssertionError: a line is not JSON, for instance in a traceback.
        """
        try:
            decoded = [json.loads(line) for line in self.raw_lines()]
        except json.JSONDecodeError:
            raise AssertionError(self._log.read_text("utf-8")) from None
        return [line for line in decoded if message is None or line["message"] == message]

    def raw_lines(self) -> list[str]:
        """Return the whole lines of its log."""
        return self._log.read_text("utf-8").rpartition("\n")[0].splitlines()

    def until(self, condition: Callable[[], Any], seconds: float = START_S) -> float:
        """Poll until the condition holds; return the seconds that took.

        Raises:
            AssertionError: the process ended or the time is over; the text is its log.
        """
        started = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self._log.read_text("utf-8")
            assert time.monotonic() < started + seconds, self._log.read_text("utf-8")
            time.sleep(0.02)
        return time.monotonic() - started

    def until_live(self, models: int = 1) -> None:
        """Wait until every worker has logged that so many models are live."""
        self.until(lambda: len(self.lines("model live")) >= models * len(self.workers()))

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request on a new connection."""
        return httpx.get(self.address + path, timeout=ANSWER_S, trust_env=False, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a POST request on a new connection."""
        return httpx.post(self.address + path, timeout=ANSWER_S, trust_env=False, **options)

    def predict(self, rows: Sequence[Any]) -> httpx.Response:
        """Send rows to ``/predict``."""
        return self.post("/predict", json={"instances": rows})

    def stop(self) -> int:
        """Stop it gracefully by SIGTERM; return the exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
