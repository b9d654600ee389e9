"""What the kustomizations make, built by kubectl, and others' classes that read it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.conftest import (
    Ask,
    ask,  # noqa: F401 - a fixture
)

Object = dict[str, Any]

PROGRAM = Path(__file__).parent / "programs" / "custom_resources.py"


class Manifests:
    """The objects that one kustomization makes.

    Args:
        objects: as they are sent to the API server.
    """

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def of(self, kind: str) -> list[Object]:
        """All of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> Object:
        """The only one of a kind."""
        (found,) = self.of(kind)
        return found

    @property
    def pods(self) -> Iterator[Object]:
        """What pods are made from: ``metadata`` and ``spec``."""
        for each in self.of("Deployment"):
            yield each["spec"]["template"]
        for each in self.of("CronJob"):
            yield each["spec"]["jobTemplate"]["spec"]["template"]

    @property
    def containers(self) -> Iterator[Object]:
        """The containers of all pods, also those that run first."""
        for pod in self.pods:
            yield from pod["spec"].get("initContainers", [])
            yield from pod["spec"]["containers"]


@pytest.fixture(scope="session")
def build(program: Callable[[str, str], str], repository: Path) -> Callable[[str], Manifests]:
    """Builds a kustomization, by its folder in the checkout; each once."""
    kubectl = program("kubectl", "kubectl")

    @cache
    def built(folder: str) -> Manifests:
        done = subprocess.run(
            [kubectl, "kustomize", str(repository / folder)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return Manifests(list(yaml.safe_load_all(done.stdout)))

    return built


@pytest.fixture(scope="session")
def build_component(
    build: Callable[[str], Manifests], tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> Callable[[str], Manifests]:
    """Builds the base with one component, by its name."""

    def built(name: str) -> Manifests:
        folder = tmp_path_factory.mktemp(name)
        there = os.path.relpath(repository / "deploy" / "kubernetes", folder.resolve())
        kustomization = {
            "namespace": "pigeonhole",
            "resources": [f"{there}/base"],
            "components": [f"{there}/components/{name}"],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
        return build(str(folder))

    return built


@pytest.fixture
def misread(ask: Ask, tmp_path: Path) -> Callable[[list[Object]], list[str]]:  # noqa: F811
    """Says what is wrong with objects of KServe and of the Prometheus operator."""

    def found(objects: list[Object]) -> list[str]:
        (tmp_path / "objects.json").write_text(json.dumps(objects), "utf-8")
        heard = ask(str(PROGRAM), str(tmp_path / "objects.json"))
        return [problem for name in heard.answers for problem in heard[name]]

    return found


OVERLAYS = ("development", "volume", "bucket")

COMPONENTS = (
    "models-volume",
    "models-bucket",
    "trainer",
    "monitored",
    "scaled-by-requests",
    "traced",
)


@pytest.fixture(scope="session", params=["base", *OVERLAYS, *COMPONENTS])
def manifests(
    request: pytest.FixtureRequest,
    build: Callable[[str], Manifests],
    build_component: Callable[[str], Manifests],
) -> Manifests:
    """What each kustomization makes: the base, every overlay, and every component on the base."""
    if request.param in COMPONENTS:
        return build_component(request.param)
    within = "" if request.param == "base" else "overlays/"
    return build(f"deploy/kubernetes/{within}{request.param}")


@pytest.fixture(scope="session")
def prepared(repository: Path) -> Manifests:
    """What is applied by itself, before any overlay: the namespace and the claims."""
    files = ("namespace.yaml", "claims.yaml")
    texts = [(repository / "deploy" / "kubernetes" / name).read_text("utf-8") for name in files]
    return Manifests([each for text in texts for each in yaml.safe_load_all(text)])
