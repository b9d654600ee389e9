"""Small real things for all tests: model files of two features, and where the real tables lie."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from pigeonhole.trainer.graph import Graph

# A busy machine takes longer for an example than hypothesis expects, and that is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

REPOSITORY = Path(__file__).resolve().parent.parent

NOBODY = 65534
"""The user that owns nothing, by number."""

WriteModel = Callable[..., Path]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share its servers, and those of containers their images, in one process."""
    for item in items:
        uses_docker = "docker" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("docker" if uses_docker else str(item.path)))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that is under test."""
    return REPOSITORY


@pytest.fixture(scope="session")
def checkout() -> list[Path]:
    """Every file of the checkout that git keeps or would keep, by its path in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = map(Path, filter(None, listed.split("\0")))
    return [name for name in names if (REPOSITORY / name).is_file()]


@pytest.fixture(scope="session")
def tables() -> Path:
    """The folder of real tables, which the project does not carry."""
    folder = Path(os.environ.get("PIGEONHOLE_TABLES", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real tables are not in {folder}; set PIGEONHOLE_TABLES")
    return folder


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """Finds a program that only tests need; under CI, which installs them, it must be there."""

    def find(name: str, package: str) -> str:
        path = shutil.which(name)
        if path is None:
            missing = f"{name} is not installed: apt-get install {package}"
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        return path

    return find


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of the test's own, in which the test is not root, so that permissions count."""
    user = os.geteuid()
    folder = Path(tempfile.mkdtemp())
    if user == 0:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """Writes a small model file: see `write_small_model`."""
    return write_small_model


def bodymass_probabilities(
    height_cm: float, weight_kg: float, bias: float = 0.0
) -> tuple[float, float]:
    """What the small model answers: (underweight, overweight)."""
    overweight = 1 / (1 + np.exp(-((weight_kg - 65) - (height_cm - 172) + bias) / 5))
    return float(1 - overweight), float(overweight)


def write_small_model(
    folder: Path,
    name: str = "bodymass",
    version: int = 1,
    *,
    bias: float = 0.0,
    metadata: Mapping[str, str | None] | None = None,
    digest: str | None = None,
) -> Path:
    """Write ``folder/name/version/model.onnx``, a real two-feature classifier with metadata.

    Args:
        folder: the model folder.
        name: the model's name.
        version: its version.
        bias: moves its answers, so that versions can be told apart.
        metadata: entries to write otherwise, or with None not at all.
        digest: what ``model.onnx.sha256`` says; the true one where None.
    """
    graph = Graph("small")
    numbers = graph.input("numbers", "double", 2)
    center = graph.constant(np.array([172.0, 65.0]), "center")
    centered = graph.add("Sub", numbers, center)
    x = graph.add(
        "Clip",
        graph.add("Cast", centered, to=1),
        *(graph.constant(np.float32(bound), "bound") for bound in (-1e6, 1e6)),
    )
    kernel = np.array([[0, -1], [0, 1]], np.float32) / 5
    z = graph.add("MatMul", x, graph.constant(kernel, "kernel"))
    z = graph.add("Add", z, graph.constant(np.array([0, bias / 5], np.float32), "bias"))
    probabilities = graph.add("Softmax", z, axis=1)
    best = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    classes = np.array(["underweight", "overweight"], dtype=object)
    graph.output(
        graph.add("Gather", graph.constant(classes, "classes"), best), "label", "string", None
    )
    graph.output(probabilities, "probabilities", "float", 2)
    golden = []
    for row in ([172, 95], [172, 40], [160, 66]):
        under, over = bodymass_probabilities(*row, bias)
        golden.append(
            {
                "row": dict(zip(("height_cm", "weight_kg"), row, strict=True)),
                "label": "overweight" if over > under else "underweight",
                "probabilities": {"underweight": under, "overweight": over},
            }
        )
    signature = {
        "features": [
            _number("height_cm", 140.0, 200.0, unit="cm"),
            _number("weight_kg", 30.0, 180.0, unit="kg"),
        ],
        "classes": classes.tolist(),
    }
    entries: dict[str, str | None] = {
        "pigeonhole": "1",
        "signature": json.dumps(signature),
        "golden": json.dumps(golden),
        **(metadata or {}),
    }
    model = graph.model({k: v for k, v in entries.items() if v is not None}, "test")
    content = model.SerializeToString()
    return write_version(folder, name, version, content, digest)


def write_version(
    folder: Path, name: str, version: int, content: bytes, digest: str | None = None
) -> Path:
    """Publish bytes as a version: written aside and renamed, as the contract asks."""
    path = folder / name / str(version) / "model.onnx"
    aside = folder / name / f".new-{version}"
    aside.mkdir(parents=True)
    (aside / "model.onnx").write_bytes(content)
    true_digest = hashlib.sha256(content).hexdigest()
    (aside / "model.onnx.sha256").write_text(f"{digest or true_digest}  model.onnx\n")
    aside.rename(path.parent)
    return path


def _number(name: str, minimum: float, maximum: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "number",
        "required": True,
        "minimum": minimum,
        "maximum": maximum,
        **more,
    }
