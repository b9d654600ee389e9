"""Docker's and Compose's command lines, and containers that run in the background."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx

HARDENED = (
    *("--read-only", "--tmpfs", "/tmp"),  # noqa: S108 - a folder in the container
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
"""Flags that both images support and that operators should use."""

FREQUENT_CHECKS = ("--health-interval", "1s")
"""Flags for containers whose health a test waits for: Docker checks it after each interval."""

ANSWER_S = 60
"""Seconds that a response may take on a busy machine."""

START_S = 120
"""Seconds until a container must be ready."""

Docker = Callable[..., str]


def run_docker(*arguments: str, exit_code: int = 0, timeout: float = 120) -> str:
    """Run Docker's command line; return its standard output and error, in order."""
    done = subprocess.run(
        ["docker", *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == exit_code, f"docker {' '.join(arguments)}\n{done.stdout}"
    return done.stdout.strip()


def compose_command() -> list[str]:
    """Return Compose's command: Docker's plugin, or docker-compose."""
    plugin = ["docker", "compose", "version"]
    if subprocess.run(plugin, check=False, capture_output=True, timeout=30).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


class Container:
    """A container that runs in the background.

    Args:
        image: the image.
        flags: flags of ``docker run``.
        command: arguments of the image's entry point.

    Attributes:
        id: the container's full id.
    """

    def __init__(self, image: str, *flags: str, command: tuple[str, ...] = ()) -> None:
        self.id = run_docker("run", "--detach", *flags, image, *command).splitlines()[-1]

    def address(self, port: int = 8000) -> str:
        """Return the URL of a published port."""
        published = run_docker("port", self.id, f"{port}/tcp").splitlines()[0]
        return f"http://{published}"

    def inspect(self) -> dict[str, Any]:
        """Return the output of ``docker inspect``."""
        (known,) = json.loads(run_docker("inspect", self.id))
        return dict(known)

    def logs(self) -> str:
        """Return its output so far."""
        return run_docker("logs", self.id)

    def execute(self, *command: str, flags: tuple[str, ...] = (), exit_code: int = 0) -> str:
        """Run a program in the container; return its output."""
        return run_docker("exec", *flags, self.id, *command, exit_code=exit_code)

    def until(self, condition: Callable[[], Any], seconds: float = START_S) -> None:
        """Poll until the condition holds; fail with the log if the container ends or time is up."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.inspect()["State"]["Running"], self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def changes(self) -> str:
        """Return the changed paths of its root file system, one a line."""
        return run_docker("diff", self.id)

    def health(self) -> str:
        """Return Docker's health status: starting, healthy or unhealthy."""
        return str(self.inspect()["State"]["Health"]["Status"])

    def until_healthy(self) -> None:
        """Wait until Docker reports it healthy."""
        self.until(lambda: self.health() == "healthy")

    def get(self, path: str, port: int = 8000) -> httpx.Response | None:
        """Send a GET request to a published port; return None if the connection fails."""
        try:
            return httpx.get(self.address(port) + path, timeout=ANSWER_S)
        except httpx.TransportError:
            return None

    def until_ready(self, workers: int = 1) -> None:
        """Wait until so many workers are ready; needs metrics without a key on port 8000."""

        def ready() -> bool:
            response = self.get("/metrics")
            text = response.text if response else ""
            counts = re.findall(r"^pigeonhole_workers_ready (\d+)", text, re.MULTILINE)
            return any(int(count) >= workers for count in counts)

        self.until(ready)

    def stop(self, seconds: int = 40) -> int:
        """Stop it by ``docker stop``; return the exit code."""
        run_docker("stop", "--time", str(seconds), self.id, timeout=seconds + 30)
        return int(self.inspect()["State"]["ExitCode"])

    def remove(self) -> None:
        """Kill it and remove it with its volumes."""
        run_docker("rm", "--force", "--volumes", self.id)
