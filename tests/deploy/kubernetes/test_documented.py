"""The overlay, the files and the commands in docs/deployment.md work."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pigeonhole.service.api_keys import METRICS, KeyFile
from tests.deploy.kubernetes.manifests import COMPONENTS, OVERLAYS, Manifests


@pytest.fixture(scope="module")
def section(repository: Path) -> str:
    """Return the sections about Kubernetes and KServe."""
    return (
        (repository / "docs" / "deployment.md").read_text("utf-8").partition("## Kubernetes\n")[2]
    )


def test_overlay_in_the_document_builds(
    section: str, build: Callable[[str], Manifests], repository: Path, tmp_path: Path
) -> None:
    (overlay,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    kustomization = tmp_path / "kustomization.yaml"
    there = os.path.relpath(repository, tmp_path.resolve())
    kustomization.write_text(overlay.replace("- pigeonhole/deploy", f"- {there}/deploy"), "utf-8")
    (image,) = (each["image"] for each in build(str(tmp_path)).containers)
    assert re.fullmatch(r"registry\.example\.com/pigeonhole-service:[\d.]+", image)


def test_every_overlay_and_component_is_documented(section: str) -> None:
    for name in (*OVERLAYS, *COMPONENTS):
        assert f"`{name}`" in section


def test_files_in_the_document_exist(section: str, repository: Path) -> None:
    paths = re.findall(r"deploy/[\w./-]+", section)
    assert len(paths) > 5
    for path in paths:
        assert (repository / path.rstrip(".")).exists(), path


def test_documented_commands_create_the_secrets_of_pods_and_prometheus(
    section: str, program: Callable[[str, str], str], repository: Path, tmp_path: Path
) -> None:
    program("kubectl", "kubectl")
    commands = re.findall(
        r"^(pigeonhole key .*|kubectl -n pigeonhole create secret generic \S+ --from-file.*)$",
        section,
        re.MULTILINE,
    )
    script = "\n".join(
        f"{each} --dry-run=client --output=yaml; echo ---" if each.startswith("kubectl") else each
        for each in ["set -e", *commands]
    )
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(repository),
    }
    finished = subprocess.run(
        ["sh"],
        input=script,
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    secrets = {
        each["metadata"]["name"]: each["data"]
        for each in yaml.safe_load_all(finished.stdout)
        if each
    }
    assert set(secrets) == {"pigeonhole-keys", "pigeonhole-metrics-token"}
    (tmp_path / "mounted.toml").write_bytes(
        base64.b64decode(secrets["pigeonhole-keys"]["keys.toml"])
    )
    token = base64.b64decode(secrets["pigeonhole-metrics-token"]["token"]).decode()
    key = KeyFile(tmp_path / "mounted.toml").ring.find(token)
    assert key is not None
    assert key.scopes == {METRICS}
