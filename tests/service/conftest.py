"""A service on small models, answered through Flask's test client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flask.testing import FlaskClient

from pigeonhole.service.app import Service
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.errors import HTTP_CODES, INTERNAL_CODE, NOT_READY, TABLE
from pigeonhole.trainer.graph import Graph


@pytest.fixture
def models(tmp_path: Path, write_model) -> Path:
    """A model folder that holds bodymass, version 1."""
    write_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def service(models: Path) -> Iterator[Service]:
    """One worker's service on that folder, without a server around it."""
    service = Service(Settings(models=models, reload_seconds=0.05))
    yield service
    service.close()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    """Asks the service without a network."""
    return service.flask.test_client()


@pytest.fixture
def mixed_signature() -> Signature:
    """Every kind of feature, required and not."""
    return Signature(
        [
            Feature(name="age", kind=Kind.NUMBER, required=False, minimum=0, maximum=90),
            Feature(name="member", kind=Kind.BOOLEAN),
            Feature(name="color", kind=Kind.CATEGORY, categories={"red": 5, "blue": 3}),
            Feature(name="size/cm", kind=Kind.NUMBER, minimum=1, maximum=9),
            Feature(name="shape", kind=Kind.CATEGORY, required=False, categories={"round": 8}),
        ],
        ["no", "yes"],
    )


Failed = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def failed() -> Failed:
    """Holds an answer against the one shape of every failure, and gives its decoded body."""
    codes = {code for _, code in TABLE.values()} | {*HTTP_CODES.values(), INTERNAL_CODE, NOT_READY}

    def check(answer: Any, status: int | None = None, code: str | None = None) -> dict[str, Any]:
        body = json.loads(answer.data if hasattr(answer, "data") else answer.content)
        assert status is None or answer.status_code == status, body
        assert code is None or body["code"] == code, body
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Request-Id"]
        assert isinstance(body["error"], str)
        assert body["error"]
        assert body["code"] in codes
        return body

    return check


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FlaskClient]]:
    """Starts services with settings of the test's own, and gives a client of each."""
    services: list[Service] = []

    def started(**settings: Any) -> FlaskClient:
        service = Service(
            Settings(**{"models": tmp_path / "models", "reload_seconds": 0.05} | settings)
        )
        services.append(service)
        return service.flask.test_client()

    yield started
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def dated_client(
    tmp_path_factory: pytest.TempPathFactory, write_dated_model, write_careful_model
) -> Iterator[FlaskClient]:
    """A client of a service on dated, the default, and careful, for tests that only ask."""
    models = tmp_path_factory.mktemp("models")
    write_dated_model(models)
    write_careful_model(models)
    service = Service(Settings(models=models, default_model="dated", reload_seconds=3600))
    yield service.flask.test_client()
    service.close()


@pytest.fixture(scope="session")
def lasting_client(
    tmp_path_factory: pytest.TempPathFactory, write_model, write_mixed_model
) -> Iterator[FlaskClient]:
    """A client of a service on bodymass, the default, and mixed, for tests that only ask."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    write_mixed_model(models)
    service = Service(Settings(models=models, default_model="bodymass", reload_seconds=3600))
    yield service.flask.test_client()
    service.close()


MIXED_FEATURES = [
    Feature(name="age", kind=Kind.NUMBER, required=False, minimum=0, maximum=90),
    Feature(name="member", kind=Kind.BOOLEAN),
    Feature(name="color", kind=Kind.CATEGORY, categories={"red": 5, "blue": 3}),
    Feature(name="size/cm", kind=Kind.NUMBER, minimum=1, maximum=9),
    Feature(name="shape", kind=Kind.CATEGORY, required=False, categories={"round": 8}),
]


@pytest.fixture(scope="session")
def write_mixed_model() -> Callable[..., Path]:
    """Writes a model with every kind of feature: see `write_small_mixed_model`."""
    return write_small_mixed_model


def write_small_mixed_model(
    folder: Path, name: str = "mixed", version: int = 1, classes: tuple[str, str] = ("no", "yes")
) -> Path:
    """Write a model that says yes where the color is red: numbers are taken and not looked at."""
    graph = Graph("mixed")
    graph.input("numbers", "double", 3)
    categories = graph.input("categories", "string", 2)
    color = graph.add("Gather", categories, graph.constant(np.array([0]), "color"), axis=1)
    red = graph.add("Equal", color, graph.constant(np.array("red", dtype=object), "red"))
    z = graph.add("Cast", red, to=1)
    logits = graph.add("MatMul", z, graph.constant(np.array([[-2.0, 2.0]], np.float32), "kernel"))
    graph.output(graph.add("Softmax", logits, axis=1), "probabilities", "float", 2)
    yes = float(1 / (1 + np.exp(-4)))
    row = {"member": True, "color": "red", "size/cm": 2.5}
    golden = [
        {
            "row": row,
            "label": classes[1],
            "probabilities": dict(zip(classes, (1 - yes, yes), strict=True)),
        }
    ]
    signature = {"features": MIXED_FEATURES, "classes": classes}
    metadata = {"pigeonhole": 1, "signature": signature, "golden": golden}
    content = graph.model(
        {key: msgspec.json.encode(value).decode() for key, value in metadata.items()}, "test"
    ).SerializeToString()
    path = folder / name / str(version) / "model.onnx"
    aside = folder / name / f".new-{version}"
    aside.mkdir(parents=True)
    (aside / "model.onnx").write_bytes(content)
    aside.rename(path.parent)
    return path


THRESHOLD = {"class": "overweight", "value": 0.9, "metric": "f1"}


@pytest.fixture(scope="session")
def write_careful_model(write_model) -> Callable[..., Path]:
    """Writes bodymass so that it says overweight only where that is all but sure."""

    def write(folder: Path, name: str = "careful", version: int = 1) -> Path:
        features = [{"name": n, "kind": "number"} for n in ("height_cm", "weight_kg")]
        signature = {
            "features": features,
            "classes": ["underweight", "overweight"],
            "threshold": THRESHOLD,
        }
        golden = {
            "row": {"height_cm": 172, "weight_kg": 65},
            "label": "underweight",
            "probabilities": {"underweight": 0.5, "overweight": 0.5},
        }
        metadata = {"signature": json.dumps(signature), "golden": json.dumps([golden])}
        return write_model(folder, name, version, metadata=metadata)

    return write


@pytest.fixture
def dated_signature() -> Signature:
    """Datetimes of every form, required and not, between a number and a category."""
    return Signature(DATED_FEATURES, ["early", "late"])


DATED_FEATURES = [
    Feature(name="size", kind=Kind.NUMBER),
    Feature(
        name="seen",
        kind=Kind.DATETIME,
        minimum=1704067200,  # 2024-01-01
        maximum=1719705600,  # 2024-06-30
    ),
    Feature(name="color", kind=Kind.CATEGORY, required=False),
    Feature(
        name="paid",
        kind=Kind.DATETIME,
        required=False,
        format="%d/%m/%Y %H:%M",
        minimum=1704099600,  # 2024-01-01T09:00
        default=1709287200,  # 2024-03-01T10:00
    ),
    Feature(
        name="opens",
        kind=Kind.DATETIME,
        required=False,
        format="%H:%M",
        minimum=28800,  # 08:00
        maximum=43200,  # 12:00
    ),
]


@pytest.fixture(scope="session")
def write_dated_model() -> Callable[..., Path]:
    """Writes a model that takes datetimes: see `write_small_dated_model`."""
    return write_small_dated_model


def write_small_dated_model(folder: Path, name: str = "dated", version: int = 1) -> Path:
    """Write a model that says late from 2024-04-01 on: it looks at ``seen`` alone."""
    graph = Graph("dated")
    numbers = graph.input("numbers", "double", 4)
    graph.input("categories", "string", 1)
    seen = graph.add("Gather", numbers, graph.constant(np.array([1]), "seen"), axis=1)
    since = graph.add("Sub", seen, graph.constant(np.array([1711929600.0]), "april"))
    days = graph.add("Div", since, graph.constant(np.array([86400.0]), "day"))
    bounded = graph.add(
        "Clip", days, *(graph.constant(np.float64(bound), "bound") for bound in (-1e6, 1e6))
    )
    z = graph.add("Cast", bounded, to=1)
    logits = graph.add("MatMul", z, graph.constant(np.array([[-0.5, 0.5]], np.float32), "kernel"))
    graph.output(graph.add("Softmax", logits, axis=1), "probabilities", "float", 2)
    late = float(1 / (1 + np.exp(-2)))
    golden = [
        {
            "row": {"size": 1, "seen": "2024-04-03", "paid": "2024-04-03T12:30", "opens": "09:30"},
            "label": "late",
            "probabilities": {"early": 1 - late, "late": late},
        },
        {
            "row": {"size": 1, "seen": "2024-03-30"},
            "label": "early",
            "probabilities": {"early": late, "late": 1 - late},
        },
    ]
    signature = {"features": DATED_FEATURES, "classes": ["early", "late"]}
    metadata = {"pigeonhole": 1, "signature": signature, "golden": golden}
    content = graph.model(
        {key: msgspec.json.encode(value).decode() for key, value in metadata.items()}, "test"
    ).SerializeToString()
    path = folder / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


class RunningServer:
    """``pigeonhole serve`` on a port that the system chose.

    Args:
        models: the model folder.
        log: the file that its standard error goes to.
        flags: further flags.
        variables: of its environment.

    Attributes:
        process: the server's first process, the parent of the workers.
        address: where it listens.
    """

    START_S = 30

    def __init__(self, models: Path, log: Path, *flags: str, **variables: str) -> None:
        self._log = log
        command = [
            sys.executable,
            "-m",
            "pigeonhole",
            "serve",
            "--models",
            str(models),
            "--port",
            "0",
        ]
        # A setting of whoever runs the tests must not reach the server.
        own = ("PIGEONHOLE_", "OTEL_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(own)} | variables
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *flags], stdout=subprocess.DEVNULL, stderr=errors, env=clean
            )
        self.until(lambda: self.lines("listening"))
        (listening,) = self.lines("listening")
        (self.address,) = listening["addresses"]
        self.port = int(self.address.rpartition(":")[2])

    def lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """What it logged: every whole line, or those with this message."""
        whole = self._log.read_text("utf-8").rpartition("\n")[0].splitlines()
        decoded = [json.loads(line) for line in whole]
        return [line for line in decoded if message is None or line["message"] == message]

    def until(self, true: Callable[[], Any], seconds: float = START_S) -> float:
        """Ask again and again; the seconds that it took, or a failure."""
        started = time.monotonic()
        while not true():
            assert self.process.poll() is None, self._log.read_text("utf-8")
            assert time.monotonic() < started + seconds, self._log.read_text("utf-8")
            time.sleep(0.02)
        return time.monotonic() - started

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int:
        """End it as an operator would; the exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Starts servers, and ends them with the module's tests if they did not."""
    servers: list[RunningServer] = []

    def started(models: Path, *flags: str, **variables: str) -> RunningServer:
        log = tmp_path_factory.mktemp("server") / "stderr"
        servers.append(RunningServer(models, log, *flags, **variables))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()
