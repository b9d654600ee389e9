"""Promises about the peers: what is installed for them, and what their programs import."""

import ast
import re
import sys
from pathlib import Path

import pytest

from benchmarks.environments import Environment
from benchmarks.places import PEERS

REQUIREMENTS = sorted(PEERS.glob("*.txt"))


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.stem)
def test_every_package_of_a_peer_is_pinned(file):
    for line in file.read_text("utf-8").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line)


def pins_of(file):
    return dict(line.lower().split("==") for line in file.read_text("utf-8").splitlines())


SERVING = [
    file for file in REQUIREMENTS if {"onnxruntime", "uvicorn", "gunicorn"} & pins_of(file).keys()
]


def test_peers_of_the_trainer_share_one_version_of_what_they_have_in_common():
    pins = {pin for file in REQUIREMENTS if file not in SERVING for pin in pins_of(file).items()}
    assert len(pins) == len({name for name, _ in pins})


def test_peers_of_the_service_run_models_by_one_release_of_the_runtime():
    # What else they have in common they want in releases of their own.
    runtimes = {
        (pins["onnxruntime"], pins["numpy"])
        for pins in map(pins_of, SERVING)
        if "onnxruntime" in pins
    }
    assert len(runtimes) == 1


@pytest.mark.parametrize("file", sorted(PEERS.glob("*.py")), ids=lambda file: file.stem)
def test_a_program_of_the_peers_imports_nothing_of_this_project(file):
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


def test_other_requirements_are_told_by_their_digest(tmp_path):
    file = tmp_path / "peer.txt"
    file.write_text("numpy==2.0.0\n", "utf-8")
    before = Environment(file, tmp_path).digest
    file.write_text("numpy==2.0.1\n", "utf-8")
    assert Environment(file, tmp_path).digest != before


@pytest.fixture
def made(tmp_path):
    """An environment that was made before for a peer that needs nothing, and its interpreter."""
    file = tmp_path / "peer.txt"
    file.write_text("", "utf-8")
    environment = Environment(file, tmp_path / "environments")
    interpreter = tmp_path / "environments" / "peer" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    (interpreter.parent.parent / "requirements").write_text(environment.digest, "utf-8")
    return environment, interpreter


def test_an_environment_that_is_there_is_taken_as_it_is(made):
    environment, interpreter = made
    assert environment.python() == interpreter
    assert interpreter.resolve() == Path(sys.executable).resolve()
    assert not (interpreter.parent / "pip").exists()


@pytest.mark.slow
def test_an_environment_is_made_again_for_other_requirements(made):
    # Takes seconds, for it makes a real environment: that is the promise.
    environment, interpreter = made
    environment.requirements.write_text("# nothing else\n", "utf-8")
    assert environment.python() == interpreter
    assert (interpreter.parent / "pip").exists()
