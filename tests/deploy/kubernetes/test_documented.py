"""What docs/deployment.md says of a cluster can be done."""

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
    """The sections about Kubernetes and KServe."""
    return (
        (repository / "docs" / "deployment.md").read_text("utf-8").partition("## Kubernetes\n")[2]
    )


def test_the_overlay_that_is_shown_builds(
    section: str, build: Callable[[str], Manifests], repository: Path, tmp_path: Path
) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    kustomization = tmp_path / "kustomization.yaml"
    there = os.path.relpath(repository, tmp_path.resolve())
    kustomization.write_text(shown.replace("- pigeonhole/deploy", f"- {there}/deploy"), "utf-8")
    (image,) = (each["image"] for each in build(str(tmp_path)).containers)
    assert re.fullmatch(r"registry\.example\.com/pigeonhole-service:[\d.]+", image)


def test_every_overlay_and_component_is_named(section: str) -> None:
    for name in (*OVERLAYS, *COMPONENTS):
        assert f"`{name}`" in section


def test_every_file_that_a_command_names_is_there(section: str, repository: Path) -> None:
    named = re.findall(r"deploy/[\w./-]+", section)
    assert len(named) > 5
    for name in named:
        assert (repository / name.rstrip(".")).exists(), name


def test_the_secrets_hold_what_the_pods_and_prometheus_look_for(
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
    ran = subprocess.run(
        ["sh"],
        input=script,
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    secrets = {
        each["metadata"]["name"]: each["data"] for each in yaml.safe_load_all(ran.stdout) if each
    }
    assert set(secrets) == {"pigeonhole-keys", "pigeonhole-metrics-token"}
    (tmp_path / "mounted.toml").write_bytes(
        base64.b64decode(secrets["pigeonhole-keys"]["keys.toml"])
    )
    token = base64.b64decode(secrets["pigeonhole-metrics-token"]["token"]).decode()
    key = KeyFile(tmp_path / "mounted.toml").ring.find(token)
    assert key is not None
    assert key.scopes == {METRICS}
