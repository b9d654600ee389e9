"""Docker for the tests: the images, built once, and containers that end with the tests.

Without a daemon these tests skip; under CI, which starts one, they fail.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

NO_DOCKER = (
    "no Docker daemon answers: on Debian, apt-get install docker.io; start dockerd as root, "
    "and tests/deploy/stand_ins/build if no registry can be reached"
)

HARDENED = (
    *("--read-only", "--tmpfs", "/tmp"),  # noqa: S108 - the container's own
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
"""What both images bear, and should be run with."""

LOOKED_AT_OFTEN = ("--health-interval", "1s")
"""For containers whose health is waited for: Docker looks at it for the first time after an interval."""

BUILD_S = 280

ANSWER_S = 60
"""Seconds that an answer may take on a machine that has much else to do."""

Docker = Callable[..., str]


def run_docker(*arguments: str, exit_code: int = 0, timeout: float = 120) -> str:
    """Run Docker's command line.

    Returns:
        What it wrote, errors after the rest.
    """
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


@pytest.fixture(scope="session")
def docker(program: Callable[[str, str], str]) -> Docker:
    """Docker's command line, `run_docker`; with a daemon that answers."""
    program("docker", "docker.io")
    info = ["docker", "version", "--format", "{{.Server.Version}}"]
    if subprocess.run(info, check=False, capture_output=True, timeout=30).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_DOCKER)
        pytest.skip(NO_DOCKER)
    return run_docker


def compose_command() -> list[str]:
    """Compose as it is installed: Docker's plugin, or docker-compose."""
    plugin = ["docker", "compose", "version"]
    if subprocess.run(plugin, check=False, capture_output=True, timeout=30).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


@pytest.fixture(scope="session")
def compose(docker: Docker, program: Callable[[str, str], str]) -> list[str]:
    """Compose's command, which is there."""
    command = compose_command()
    if len(command) == 1:
        program(*command, *command)
    return command


@pytest.fixture(scope="session")
def label(docker: Docker) -> Iterator[str]:
    """Marks this run's images, and so all containers of them, and volumes; they end with it.

    So nothing stays of tests that failed. What the builder keeps to be quick the next time does.
    """
    mark = f"pigeonhole.test={uuid.uuid4().hex[:12]}"
    yield mark
    marked = ("--quiet", "--filter", f"label={mark}")
    if containers := docker("container", "ls", "--all", *marked).split():
        docker("container", "rm", "--force", "--volumes", *containers)
    if volumes := docker("volume", "ls", *marked).split():
        docker("volume", "rm", *volumes)
    if images := docker("image", "ls", "--all", *marked).split():
        docker("image", "rm", "--no-prune", *images)


@pytest.fixture(scope="session")
def build_image(docker: Docker, label: str, repository: Path) -> Callable[..., str]:
    """Builds an image of a program, ``service`` or ``trainer``; its id."""

    def build(program: str, *flags: str) -> str:
        file = repository / f"deploy/{program}.Dockerfile"
        options = ("--quiet", "--file", str(file), "--label", label, *flags)
        return docker("build", *options, str(repository), timeout=BUILD_S).splitlines()[-1]

    return build


@pytest.fixture(scope="session")
def service_image(build_image: Callable[..., str]) -> str:
    """The id of the service's image, as the checkout makes it."""
    return build_image("service")


@pytest.fixture(scope="session")
def trainer_image(build_image: Callable[..., str]) -> str:
    """The id of the trainer's image, as the checkout makes it."""
    return build_image("trainer")


class Container:
    """A container that runs in the background.

    Args:
        image: its image.
        flags: what ``docker run`` is told before the image.
        command: what the image's entry point is told.

    Attributes:
        id: its full id.
    """

    START_S = 120

    def __init__(self, image: str, *flags: str, command: tuple[str, ...] = ()) -> None:
        self.id = run_docker("run", "--detach", *flags, image, *command).splitlines()[-1]

    def address(self, port: int = 8000) -> str:
        """Where a port that it publishes is reached."""
        published = run_docker("port", self.id, f"{port}/tcp").splitlines()[0]
        return f"http://{published}"

    def inspect(self) -> dict[str, Any]:
        """What Docker knows of it."""
        (known,) = json.loads(run_docker("inspect", self.id))
        return dict(known)

    def logs(self) -> str:
        """What it wrote so far."""
        return run_docker("logs", self.id)

    def execute(self, *command: str, flags: tuple[str, ...] = (), exit_code: int = 0) -> str:
        """Run a program inside; what it wrote."""
        return run_docker("exec", *flags, self.id, *command, exit_code=exit_code)

    def until(self, true: Callable[[], Any], seconds: float = START_S) -> None:
        """Ask again and again while it runs, or fail with what it wrote."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.inspect()["State"]["Running"], self.logs()
            if true():
                return
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def changed(self) -> str:
        """What was written to its root file system, a path in a line."""
        return run_docker("diff", self.id)

    def health(self) -> str:
        """What Docker calls it: starting, healthy or unhealthy."""
        return str(self.inspect()["State"]["Health"]["Status"])

    def until_healthy(self) -> None:
        """Wait until Docker calls it healthy, soon where it is `LOOKED_AT_OFTEN`."""
        self.until(lambda: self.health() == "healthy")

    def get(self, path: str, port: int = 8000) -> httpx.Response | None:
        """What a port that it publishes answers; None while nothing does."""
        try:
            return httpx.get(self.address(port) + path, timeout=ANSWER_S)
        except httpx.TransportError:
            return None

    def until_ready(self, workers: int = 1) -> None:
        """Wait until so many of the service's workers are; anybody has to be let in on port 8000."""

        def ready() -> bool:
            answer = self.get("/metrics")
            text = answer.text if answer else ""
            told = re.findall(r"^pigeonhole_workers_ready (\d+)", text, re.MULTILINE)
            return any(int(number) >= workers for number in told)

        self.until(ready)

    def stop(self, seconds: int = 40) -> int:
        """End it as an operator would; the exit code."""
        run_docker("stop", "--time", str(seconds), self.id, timeout=seconds + 30)
        return int(self.inspect()["State"]["ExitCode"])

    def remove(self) -> None:
        """End it at once, and leave nothing of it."""
        run_docker("rm", "--force", "--volumes", self.id)


@pytest.fixture
def run_container(docker: Docker) -> Iterator[Callable[..., Container]]:
    """Runs containers in the background, and removes them after the test."""
    containers: list[Container] = []

    def run(image: str, *flags: str, command: tuple[str, ...] = ()) -> Container:
        containers.append(Container(image, *flags, command=command))
        return containers[-1]

    yield run
    for container in containers:
        container.remove()
