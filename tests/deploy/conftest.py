"""Docker for the tests: images that are built once, and containers that end with their test."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.containers import Container, Docker, compose_command, run_docker
from tests.programs import skip_or_fail

NO_DAEMON = (
    "the Docker daemon does not answer: on Debian, apt-get install docker.io and start dockerd as "
    "root; without a registry, also run tests/deploy/stand_ins/build"
)

BUILD_S = 280
"""Seconds that the build of an image may take."""


@pytest.fixture(scope="session")
def docker(program: Callable[[str, str], str]) -> Docker:
    """Docker's command line with a running daemon: see `run_docker`."""
    program("docker", "docker.io")
    version = ["docker", "version", "--format", "{{.Server.Version}}"]
    if subprocess.run(version, check=False, capture_output=True, timeout=30).returncode:
        skip_or_fail(NO_DAEMON)
    return run_docker


@pytest.fixture(scope="session")
def compose(docker: Docker, program: Callable[[str, str], str]) -> list[str]:
    """The installed Compose command."""
    command = compose_command()
    if len(command) == 1:
        program("docker-compose", "docker-compose")
    return command


@pytest.fixture(scope="session")
def label(docker: Docker) -> Iterator[str]:
    """A label for this run's images; afterwards removes its images, containers and volumes."""
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
    """Builds the image of the service or the trainer; returns its id."""
    lock = Path(tempfile.gettempdir()) / "pigeonhole-test-images.lock"

    def build(program: str, *flags: str) -> str:
        file = repository / f"deploy/{program}.Dockerfile"
        options = ("--quiet", "--file", str(file), "--label", label, *flags)
        # One at a time, so that the builds of other processes find the steps in the cache.
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            return docker("build", *options, str(repository), timeout=BUILD_S).splitlines()[-1]

    return build


@pytest.fixture(scope="session")
def service_image(build_image: Callable[..., str]) -> str:
    """The id of the service's image, built from the checkout."""
    return build_image("service")


@pytest.fixture(scope="session")
def trainer_image(build_image: Callable[..., str]) -> str:
    """The id of the trainer's image, built from the checkout."""
    return build_image("trainer")


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
