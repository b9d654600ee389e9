"""Kustomizations built by kubectl, and a check of objects against their published schemas."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.clients.client_programs import RunClient
from tests.deploy.kubernetes.manifests import COMPONENTS, OVERLAYS, Manifests, Object

PROGRAM = Path(__file__).parent / "programs" / "custom_resources.py"


@pytest.fixture(scope="session")
def build(program: Callable[[str, str], str], repository: Path) -> Callable[[str], Manifests]:
    """Builds the kustomization of a folder in the checkout, each once."""
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
    """Builds the base with the component of this name."""

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
def schema_problems(run_client: RunClient, tmp_path: Path) -> Callable[[list[Object]], list[str]]:
    """Checks objects of KServe and of the Prometheus operator; returns the problems."""

    def check(objects: list[Object]) -> list[str]:
        (tmp_path / "objects.json").write_text(json.dumps(objects), "utf-8")
        results = run_client(str(PROGRAM), str(tmp_path / "objects.json"))
        return [problem for name in results.calls for problem in results[name]]

    return check


@pytest.fixture(scope="session", params=["base", *OVERLAYS, *COMPONENTS])
def manifests(
    request: pytest.FixtureRequest,
    build: Callable[[str], Manifests],
    build_component: Callable[[str], Manifests],
) -> Manifests:
    """The objects of the base, of every overlay, and of the base with every component."""
    if request.param in COMPONENTS:
        return build_component(request.param)
    within = "" if request.param == "base" else "overlays/"
    return build(f"deploy/kubernetes/{within}{request.param}")


@pytest.fixture(scope="session")
def prepared(repository: Path) -> Manifests:
    """The objects to apply before any overlay: the namespace and the volume claims."""
    files = ("namespace.yaml", "claims.yaml")
    texts = [(repository / "deploy" / "kubernetes" / name).read_text("utf-8") for name in files]
    return Manifests([each for text in texts for each in yaml.safe_load_all(text)])
