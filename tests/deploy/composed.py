"""The composed set-up under a name and on ports of its own."""

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
from pathlib import Path
from typing import Any

import httpx

BASE = ("docker-compose.yml",)

REPLICAS = "deploy/compose/replicas.yml"

BODY = {"instances": [[172, 95]]}

START_S = 90


def compose_command() -> list[str]:
    """Compose as it is installed: Docker's plugin, or docker-compose."""
    plugin = ["docker", "compose", "version"]
    if subprocess.run(plugin, check=False, capture_output=True, timeout=30).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


class Project:
    """What the Compose files in a folder describe, but for the names, ports and networks.

    Args:
        folder: a copy of the checkout, in which ``.env`` may be made.
        files: Compose files in it.
        variables: for them.
    """

    def __init__(self, folder: Path, files: Sequence[str] = BASE, **variables: str) -> None:
        self.folder = folder
        port, nginx, prometheus, grafana = _free_ports(4)
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("PIGEONHOLE_", "COMPOSE"))
        }
        self.environment = clean | {
            "COMPOSE_FILE": ":".join(files),
            "COMPOSE_PROJECT_NAME": f"pigeonhole-test-{prometheus}",
            "PORT": str(port),
            "NGINX_PORT": str(nginx),
            "PROMETHEUS_PORT": str(prometheus),
            "GRAFANA_PORT": str(grafana),
            "SUBNET": f"10.213.{random.randrange(256)}",  # noqa: S311 - to meet no other's
            **variables,
        }
        self.address = f"http://127.0.0.1:{port}"
        if REPLICAS in files:
            self.environment["PORT"] = f"{port}-{port + 20}"  # Docker takes what is free of these
            self.address = f"http://127.0.0.1:{nginx}"
        self.prometheus = f"http://127.0.0.1:{prometheus}"

    def run(self, *command: str, exit_code: int = 0, timeout: float = 240) -> str:
        """Run a command in the folder, with the project's variables; what it wrote."""
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
        """Run Compose; what it wrote."""
        return self.run(*compose_command(), *arguments)

    def up(self, *services: str) -> None:
        """Start services, or all, from images that are there, and wait until they are well."""
        self.compose("up", "--detach", "--no-build", *services)
        self.environment["COMPOSE"] = " ".join(compose_command())
        self.run("deploy/compose/healthy")

    def down(self) -> None:
        """End it, and forget what it stored."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")

    def container(self, service: str) -> dict[str, Any]:
        """What Docker knows of a service's container."""
        listed = ["docker", "ps", "--all", "--quiet", "--filter"]
        project = self.environment["COMPOSE_PROJECT_NAME"]
        (found,) = self.run(
            *(*listed, f"label=com.docker.compose.project={project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()
        (known,) = json.loads(self.run("docker", "inspect", found))
        return dict(known)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus's HTTP API answers."""
        asked = httpx.get(
            f"{self.prometheus}/api/v1/query", params={"query": expression}, trust_env=False
        )
        return list(asked.json()["data"]["result"])

    def answers(self, model: str = "bodymass", **more: Any) -> bool:
        """Whether the service predicts."""
        try:
            asked = httpx.post(
                f"{self.address}/v1/models/{model}:predict", json=BODY, trust_env=False, **more
            )
        except httpx.TransportError:
            return False
        return asked.status_code == 200


def until(true: Callable[[], Any], seconds: float = START_S) -> None:
    """Ask again and again, or fail."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def copied(checkout: Sequence[Path], repository: Path, folder: Path) -> Path:
    """Copy what the images and the composed set-up are made of."""
    for path in checkout:
        if path.parts[0] in ("deploy", "models", "service", "trainer") or len(path.parts) == 1:
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / path, folder / path)
    return folder


def pinned_image(repository: Path, variable: str) -> str:
    """The image that the Compose files take where a variable names no other."""
    for file in (repository / "docker-compose.yml", *repository.glob("deploy/compose/*.yml")):
        if found := re.search(rf"\$\{{{variable}:-([^}}]+)\}}", file.read_text()):
            return found[1]
    raise AssertionError(variable)


def has_image(image: str) -> bool:
    """Whether the daemon has it."""
    inspect = ["docker", "image", "inspect", image]
    return subprocess.run(inspect, check=False, capture_output=True, timeout=30).returncode == 0


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
