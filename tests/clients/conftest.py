"""Servers by both doors with the sample models and small ones, and programs of others' clients."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pigeonhole.trainer.graph import Graph
from tests.service.conftest import (
    RunningServer,
    write_small_dated_model,
    write_small_mixed_model,
)

TOKEN = "a-token-of-the-tests-and-of-nobody-else"  # noqa: S105 - it opens nothing

HANDLERS = ("fast", "flask")

PROGRAMS = Path(__file__).parent / "programs"

PROGRAM_S = 120


class Heard:
    """What a program's client made of each of its questions.

    Args:
        program: its name.
        answers: by question, ``said`` or ``raised``.
    """

    def __init__(self, program: str, answers: dict[str, dict[str, Any]]) -> None:
        self.program, self.answers = program, answers

    def __getitem__(self, question: str) -> Any:
        answer = self.answers[question]
        assert "said" in answer, f"{self.program}, {question}: {answer['raised']}"
        return answer["said"]

    def raised(self, question: str) -> str:
        """The error of a question that must have one."""
        answer = self.answers[question]
        assert "raised" in answer, f"{self.program}, {question}: {answer['said']}"
        error: str = answer["raised"]
        return error


Ask = Callable[..., Heard]


@pytest.fixture(scope="session")
def ask(repository: Path) -> Ask:
    """Runs a program of ``programs/`` in the clients' own environment, once for the same words."""
    python = repository / "build" / "clients" / "bin" / "python"
    if not python.exists():
        missing = f"there are no clients in {python.parent.parent}: make test installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    known: dict[tuple[str, ...], Heard] = {}

    def heard(program: str, *words: str) -> Heard:
        if (program, *words) not in known:
            ran = subprocess.run(
                [str(python), str(PROGRAMS / program), *words],
                capture_output=True,
                text=True,
                timeout=PROGRAM_S,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr
            known[program, *words] = Heard(program, json.loads(ran.stdout))
        return known[program, *words]

    return heard


@pytest.fixture(scope="session")
def sample_models(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A model folder: the two samples, and small models of other kinds of features."""
    folder = tmp_path_factory.mktemp("clients") / "models"
    for name in ("bodymass", "animals"):
        shutil.copytree(repository / "models" / name, folder / name)
    write_small_mixed_model(folder)
    write_small_dated_model(folder)
    write_single_model(folder)
    fit_everything(folder)
    return folder


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one key, which may do everything."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    scopes = '["predict", "read", "metrics", "admin"]'
    path.write_text(f'[tester]\nsha256 = "{digest}"\nscopes = {scopes}\n', "utf-8")
    return path


@pytest.fixture(scope="session")
def serving(
    tmp_path_factory: pytest.TempPathFactory, sample_models: Path
) -> Iterator[Callable[..., RunningServer]]:
    """Gives the server of some flags, which is started once and serves until the last test."""
    servers: dict[tuple[str, ...], RunningServer] = {}

    def server(*flags: str) -> RunningServer:
        if flags not in servers:
            log = tmp_path_factory.mktemp("server") / "stderr"
            always = ("--default-model", "bodymass", "--workers", "2", "--drain-seconds", "0")
            servers[flags] = RunningServer(sample_models, log, *always, *flags)
            wait_for_models(servers[flags], len(list(sample_models.iterdir())))
        return servers[flags]

    yield server
    for started in servers.values():
        started.process.terminate()  # all at once, so that they stop side by side
    for started in servers.values():
        started.stop()


def wait_for_models(server: RunningServer, count: int) -> None:
    """Wait until every worker has its models: each of them says so in the log."""
    server.until(lambda: len(server.lines("model live")) >= count * len(server.workers()))


@pytest.fixture(scope="session", params=HANDLERS)
def server(request: pytest.FixtureRequest, serving: Callable[..., RunningServer]) -> RunningServer:
    """A server without keys, by either door."""
    return serving("--handler", request.param)


@pytest.fixture(scope="session", params=HANDLERS)
def keyed_server(
    request: pytest.FixtureRequest, serving: Callable[..., RunningServer], key_file: Path
) -> RunningServer:
    """A server that asks for keys, by either door."""
    return serving("--handler", request.param, "--keys", str(key_file))


def write_single_model(folder: Path, name: str = "single") -> Path:
    """Write a model of one number: high where it is above zero."""
    graph = Graph("single")
    numbers = graph.input("numbers", "double", 1)
    low, high = (graph.constant(np.float64(bound), "bound") for bound in (-1e6, 1e6))
    z = graph.add("Cast", graph.add("Clip", numbers, low, high), to=1)
    logits = graph.add("MatMul", z, graph.constant(np.array([[-0.5, 0.5]], np.float32), "kernel"))
    graph.output(graph.add("Softmax", logits, axis=1), "probabilities", "float", 2)
    high_of_one = float(1 / (1 + np.exp(-1)))
    golden = {
        "row": {"x": 1.0},
        "label": "high",
        "probabilities": {"low": 1 - high_of_one, "high": high_of_one},
    }
    signature = {"features": [{"name": "x", "kind": "number"}], "classes": ["low", "high"]}
    metadata = {"pigeonhole": 1, "signature": signature, "golden": [golden]}
    path = folder / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    entries = {key: msgspec.json.encode(value).decode() for key, value in metadata.items()}
    path.write_bytes(graph.model(entries, "test").SerializeToString())
    return path


def fit_everything(folder: Path) -> None:
    """Fit a model whose answers depend on features of every kind, some of them missing."""
    chance = random.Random(5)  # noqa: S311 - a table is no secret
    table = folder.parent / "everything.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("age", "income", "member", "color", "size/cm", "joined", "outcome"))
        for _ in range(300):
            age, income, size = chance.uniform(18, 90), chance.gauss(40, 9), chance.uniform(1, 9)
            member, month = chance.random() < 0.5, chance.randrange(1, 13)
            color = chance.choice(("red", "green", "blue, dark", 'a "b"'))
            score = age / 30 + member + 2 * (color == "red") + month / 6 + chance.gauss(0, 0.4)
            rows.writerow(
                (
                    "" if chance.random() < 0.1 else age,
                    income,
                    "true" if member else "false",
                    "" if chance.random() < 0.1 else color,
                    size,
                    f"2024-{month:02}-{chance.randrange(1, 29):02}",
                    "low" if score < 3.5 else "middle" if score < 5 else "high",
                )
            )
    settings = ["--target", "outcome", "--name", "everything", "--preset", "classic"]
    subprocess.run(
        [sys.executable, "-m", "pigeonhole", "fit", str(table), *settings, "--models", str(folder)],
        check=True,
        capture_output=True,
    )
