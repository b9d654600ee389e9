"""Compose projects for tests, each with its own name, ports and network."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from tests.deploy.containers import ANSWER_S, compose_command

BASE = ("docker-compose.yml",)

REPLICAS = "deploy/compose/replicas.yml"

BODY = {"instances": [[172, 95]]}

START_S = 90

RANGE = 20
"""Size of the port range from which Compose gives each replica a port."""


class Project:
    """A Compose project with its own name, ports and network.

    Args:
        folder: a copy of the checkout; ``make up`` may write ``.env`` there.
        files: Compose files in it.
        variables: environment variables for Compose.

    Its context manager removes containers, networks and volumes.
    """

    def __init__(self, folder: Path, files: Sequence[str] = BASE, **variables: str) -> None:
        self.folder = folder
        port, nginx, prometheus, grafana = free_ports(4)
        name = f"pigeonhole-test-{port}"
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("PIGEONHOLE_", "COMPOSE"))
        }
        self.environment = clean | {
            "COMPOSE_FILE": ":".join((*files, self._checked_often(name, files))),
            "COMPOSE_PROJECT_NAME": name,
            "PORT": str(port),
            "NGINX_PORT": str(nginx),
            "PROMETHEUS_PORT": str(prometheus),
            "GRAFANA_PORT": str(grafana),
            "SUBNET": f"10.213.{random.randrange(256)}",  # noqa: S311 - to meet no other's
            **variables,
        }
        self.address = f"http://127.0.0.1:{port}"
        if REPLICAS in files:
            self.environment["PORT"] = f"{port}-{port + RANGE - 1}"
            self.address = f"http://127.0.0.1:{nginx}"
        self.prometheus = f"http://127.0.0.1:{prometheus}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")

    def _checked_often(self, name: str, files: Sequence[str]) -> str:
        """Write a Compose file that shortens the interval of health checks to a second."""
        often = {"healthcheck": {"interval": "1s"}}
        services = ("service", "prometheus", *(["second"] * (REPLICAS in files)))
        overlay = self.folder / f"{name}.yml"
        overlay.write_text(json.dumps({"services": dict.fromkeys(services, often)}))
        return overlay.name

    def run(self, *command: str, exit_code: int = 0, timeout: float = 240) -> str:
        """Run a command in the folder with the project's variables; return its output."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == exit_code, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def compose(self, *arguments: str) -> str:
        """Run Compose; return its output."""
        return self.run(*compose_command(), *arguments)

    def up(self, *services: str) -> None:
        """Start services, or all, from existing images, and wait until they are healthy."""
        self.compose("up", "--detach", "--no-build", *services)
        self.environment["COMPOSE"] = " ".join(compose_command())
        self.run("deploy/compose/healthy")

    def container(self, service: str) -> dict[str, Any]:
        """Return the output of ``docker inspect`` for a service's container."""
        listed = ["docker", "ps", "--all", "--quiet", "--filter"]
        project = self.environment["COMPOSE_PROJECT_NAME"]
        (found,) = self.run(
            *(*listed, f"label=com.docker.compose.project={project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()
        (known,) = json.loads(self.run("docker", "inspect", found))
        return dict(known)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query from Prometheus."""
        query = f"{self.prometheus}/api/v1/query"
        asked = httpx.get(query, params={"query": expression}, timeout=ANSWER_S, trust_env=False)
        return list(asked.json()["data"]["result"])

    def answers(self, model: str = "bodymass", **more: Any) -> bool:
        """Return whether the service predicts with a model."""
        return self._predict(model, **more)[0] == 200

    def wait_for_answer(self, model: str = "bodymass") -> None:
        """Wait until the service predicts with a model; fail with its last answer and its log."""
        deadline = time.monotonic() + START_S
        while (answer := self._predict(model))[0] != 200:
            if time.monotonic() > deadline:
                log = self.run("docker", "logs", self.container("service")["Id"])
                raise AssertionError(f"{model} does not answer: {answer}\n{log}")
            time.sleep(0.2)

    def _predict(self, model: str, **more: Any) -> tuple[int, str]:
        """Return status and body of a prediction, or 0 and the error of the connection."""
        try:
            predict = f"{self.address}/v1/models/{model}:predict"
            asked = httpx.post(predict, json=BODY, timeout=ANSWER_S, trust_env=False, **more)
        except httpx.TransportError as error:
            return 0, repr(error)
        return asked.status_code, asked.text


def until(condition: Callable[[], Any], seconds: float = START_S) -> None:
    """Poll until the condition holds; fail if time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def copied(checkout: Sequence[Path], repository: Path, folder: Path) -> Path:
    """Copy the files that images and Compose need; return the folder."""
    for path in checkout:
        if (
            path.parts[0] in ("deploy", "models", "pigeonhole", "service", "trainer")
            or len(path.parts) == 1
        ):
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / path, folder / path, follow_symlinks=False)
    return folder


def pinned_image(repository: Path, variable: str) -> str:
    """Return the default of a variable for an image in the Compose files."""
    for file in (repository / "docker-compose.yml", *repository.glob("deploy/compose/*.yml")):
        if found := re.search(rf"\$\{{{variable}:-([^}}]+)\}}", file.read_text()):
            return found[1]
    raise AssertionError(variable)


def has_image(image: str) -> bool:
    """Return whether the Docker daemon has an image."""
    inspect = ["docker", "image", "inspect", image]
    return subprocess.run(inspect, check=False, capture_output=True, timeout=30).returncode == 0


def free_ports(number: int) -> list[int]:
    """Return free ports, each the first of a range of `RANGE`.

    They are below the system's range for outgoing connections, which could take one meanwhile.
    """
    ports: list[int] = []
    for port in random.sample(range(20000, 32000, RANGE), 10 * number):
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            ports.append(port)
    return ports[:number]
