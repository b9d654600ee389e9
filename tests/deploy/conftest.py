"""Docker for the tests: the images, built once, and containers that end with the tests.

Without a daemon these tests skip; under CI, which starts one, they fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

Docker = Callable[..., str]


def run_docker(*arguments: str, exit_code: int = 0, timeout: float = 60) -> str:
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


@pytest.fixture(scope="session")
def build_image(docker: Docker, repository: Path) -> Callable[..., str]:
    """Builds an image of a program, ``service`` or ``trainer``; its id."""

    def build(program: str, *flags: str) -> str:
        file = repository / f"deploy/{program}.Dockerfile"
        name = ("--file", str(file), "--tag", f"pigeonhole-{program}:test")
        built = docker("build", "--quiet", *name, *flags, str(repository), timeout=280)
        return built.splitlines()[-1]

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
        while not true():
            assert self.inspect()["State"]["Running"], self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def changed(self) -> str:
        """What was written to its root file system, a path in a line."""
        return run_docker("diff", self.id)

    def health(self) -> str:
        """What Docker calls it: starting, healthy or unhealthy."""
        return str(self.inspect()["State"]["Health"]["Status"])

    def until_healthy(self) -> None:
        """Wait until Docker calls it healthy."""
        self.until(lambda: self.health() == "healthy")

    def stop(self, seconds: int = 40) -> int:
        """End it as an operator would; the exit code."""
        run_docker("stop", "--time", str(seconds), self.id, timeout=seconds + 30)
        return int(self.inspect()["State"]["ExitCode"])

    def remove(self) -> None:
        """End it at once, and leave nothing of it."""
        run_docker("rm", "--force", "--volumes", self.id)


@pytest.fixture(scope="module")
def run_container(docker: Docker) -> Iterator[Callable[..., Container]]:
    """Runs containers in the background, and removes them after the module's tests."""
    containers: list[Container] = []

    def run(image: str, *flags: str, command: tuple[str, ...] = ()) -> Container:
        containers.append(Container(image, *flags, command=command))
        return containers[-1]

    yield run
    for container in containers:
        container.remove()
