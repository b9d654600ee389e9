"""The two programs as a user runs them: commands in, HTTP out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

READY_S = 60

Fit = Callable[..., subprocess.CompletedProcess[str]]


class Server:
    """A service under gunicorn on a port of its own.

    Args:
        models: the model folder.
        flags: further flags of ``pigeonhole serve``.
    """

    def __init__(self, models: Path, *flags: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "pigeonhole", "serve", "--models", str(models)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *flags], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + READY_S
        while self.get("/health/ready")[0] != 200:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, self.get("/health/ready")
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and decoded JSON; status 0 where nobody answers."""
        return self._ask(urllib.request.Request(self.address + path))

    def post(self, path: str, body: bytes, content_type: str) -> tuple[int, Any]:
        """The same for a body sent."""
        headers = {"Content-Type": content_type}
        return self._ask(urllib.request.Request(self.address + path, body, headers))

    def predict(self, rows: list[Any]) -> tuple[int, Any]:
        """The same for rows sent to /predict."""
        return self.post("/predict", json.dumps({"instances": rows}).encode(), "application/json")

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except (urllib.error.URLError, ConnectionError):
            return 0, None

    def stop(self) -> int:
        """End it as an operator would; the exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them when the test is over."""
    started: list[Server] = []

    def start(models: Path, *flags: str) -> Server:
        started.append(Server(models, *flags))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Runs ``pigeonhole fit`` with these arguments into a model folder of the test's own."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pigeonhole", "fit", *map(str, arguments)]
        return subprocess.run(
            [*command, "--models", str(tmp_path / "models")],
            check=False,
            capture_output=True,
            text=True,
            timeout=280,
        )

    return run
