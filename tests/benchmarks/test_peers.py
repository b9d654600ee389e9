"""The peers: their requirements and their programs."""

import ast
import re
import sys
from pathlib import Path

import pytest

from benchmarks.environments import Environment
from benchmarks.places import PEERS

REQUIREMENTS = sorted(PEERS.glob("*.txt"))


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.stem)
def test_every_requirement_of_a_peer_is_pinned(file):
    for line in file.read_text("utf-8").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line)


def pins_of(file):
    return dict(line.lower().split("==") for line in file.read_text("utf-8").splitlines())


SERVING = [
    file for file in REQUIREMENTS if {"onnxruntime", "uvicorn", "gunicorn"} & pins_of(file).keys()
]


def test_trainer_peers_pin_the_same_version_of_a_package():
    pins = {pin for file in REQUIREMENTS if file not in SERVING for pin in pins_of(file).items()}
    assert len(pins) == len({name for name, _ in pins})


def test_serving_peers_pin_the_same_runtime():
    # Their other packages conflict, so only the runtime and numpy are equal.
    runtimes = {
        (pins["onnxruntime"], pins["numpy"])
        for pins in map(pins_of, SERVING)
        if "onnxruntime" in pins
    }
    assert len(runtimes) == 1


@pytest.mark.parametrize("file", sorted(PEERS.glob("*.py")), ids=lambda file: file.stem)
def test_peers_program_imports_nothing_of_this_project(file):
    tree = ast.parse(file.read_text("utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"benchmarks", "pigeonhole"}


def test_changed_requirements_change_the_digest(tmp_path):
    file = tmp_path / "peer.txt"
    file.write_text("numpy==2.0.0\n", "utf-8")
    before = Environment(file, tmp_path).digest
    file.write_text("numpy==2.0.1\n", "utf-8")
    assert Environment(file, tmp_path).digest != before


@pytest.fixture
def existing(tmp_path):
    """Return an environment without packages that is up to date, and its interpreter."""
    file = tmp_path / "peer.txt"
    file.write_text("", "utf-8")
    environment = Environment(file, tmp_path / "environments")
    interpreter = tmp_path / "environments" / "peer" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    (interpreter.parent.parent / "requirements").write_text(environment.digest, "utf-8")
    return environment, interpreter


def test_environment_that_is_up_to_date_is_kept(existing):
    environment, interpreter = existing
    assert environment.python() == interpreter
    assert interpreter.resolve() == Path(sys.executable).resolve()
    assert not (interpreter.parent / "pip").exists()


@pytest.mark.slow
def test_environment_is_made_again_for_changed_requirements(existing):
    environment, interpreter = existing
    environment.requirements.write_text("# changed\n", "utf-8")
    assert environment.python() == interpreter
    assert (interpreter.parent / "pip").exists()
