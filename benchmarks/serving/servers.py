"""Every server: what is installed for it, how it is started, and what it is asked."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.environments import Environment
from benchmarks.places import PEERS, REPOSITORY
from benchmarks.processes import CommandFailed
from benchmarks.serving.loads import CONSTANT_LOADS, OUR_LOADS, PEER_LOADS, Load
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import BinaryTensors, Frames, Protocol, Rows, Tensors
from pigeonhole import __version__

OURS = "pigeonhole"

CONSTANT = "constant, same server"

SERVICE = Environment(REPOSITORY / "deploy" / "requirements" / "service.txt")
"""What a user installs to serve; measured for its size. We ourselves run from this interpreter."""


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        name: as results are listed.
        command: program and arguments; what stands in braces is filled in by ``started_by``.
        loads: what it is asked.
        protocols: how, by the form of a load.
        packages: what is installed for it; None where nothing is.
        package: the one of them whose version is told.
        here: whether it runs with this interpreter, not with that of its packages.
        variables: for its process, filled in too.
        folder: where it runs.
        constant: whether it answers the same to anything, so that its answers aren't compared.
        program: on PATH, without which it can't be measured.
    """

    name: str
    command: tuple[str, ...]
    loads: tuple[Load, ...]
    protocols: Mapping[str, Protocol]
    packages: Environment | None = None
    package: str = ""
    here: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PEERS
    constant: bool = False
    program: str | None = None

    def prepare(self) -> None:
        """Install what it needs.

        Raises:
            CommandFailed: a package can't be installed, or a program isn't there.
        """
        if self.program and shutil.which(self.program) is None:
            raise CommandFailed(f"{self.program} isn't installed")
        if self.packages:
            self.packages.python()

    @property
    def version(self) -> str:
        """Of its package; "-" where there is none."""
        if self.name == OURS:
            return __version__
        return self.packages.version(self.package) if self.packages else "-"

    def installed_bytes(self) -> int | None:
        """Bytes on disk of its environment; None where it has none of its own."""
        return self.packages.installed_bytes() if self.packages and not self.constant else None

    def started_by(
        self, model: Model, ports: Sequence[int], folder: str
    ) -> tuple[list[str], dict[str, str]]:
        """The command that serves a model, and its variables.

        Args:
            model: what it serves.
            ports: three on loopback; it is asked on the first.
            folder: for whatever it writes.
        """
        own = None if self.here or self.packages is None else self.packages.python()
        python = own or Path(sys.executable)
        facts = {
            "python": str(python),
            "bin": str(python.parent),
            "port": str(ports[0]),
            "second_port": str(ports[1]),
            "third_port": str(ports[2]),
            "folder": folder,
            "model": str(model.file),
            "name": model.name,
            "models": str(model.repository),
        }
        return (
            [part.format(**facts) for part in self.command],
            {name: value.format(**facts) for name, value in self.variables.items()},
        )


ASGI = Environment.of("asgi")
"""Servers for ASGI applications, with the event loop and the parser that make them quick."""

ASGI_CONSTANTS = ("constant, uvicorn", "constant, gunicorn asgi")

ROWS = {"json": Rows("/predict")}

MODEL = {"MODEL": "{model}"}

FLASK = Server(
    "Flask, sync",
    (
        *("{python}", "-m", "gunicorn", "serve_flask:app", "--workers", "2"),
        *("--bind", "127.0.0.1:{port}"),
    ),
    PEER_LOADS,
    ROWS,
    packages=Environment.of("flask"),
    package="flask",
    variables=MODEL,
)

SERVERS = (
    Server(
        OURS,
        (
            *("{python}", "-m", "pigeonhole", "serve", "--models", "{models}"),
            *("--port", "{port}", "--workers", "2"),
        ),
        OUR_LOADS,
        {**ROWS, "binary": BinaryTensors("/v2/models/{model}/infer")},
        packages=SERVICE,
        here=True,
        folder=REPOSITORY,
    ),
    Server(
        CONSTANT,
        ("{python}", "-m", "benchmarks.serving.constant", "{port}"),
        CONSTANT_LOADS,
        ROWS,
        here=True,
        folder=REPOSITORY,
        constant=True,
    ),
    Server(
        "constant, uvicorn",
        (
            *("{python}", "-m", "uvicorn", "serve_constant:answer", "--workers", "2"),
            *("--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--lifespan", "off"),
        ),
        CONSTANT_LOADS,
        ROWS,
        packages=ASGI,
        package="uvicorn",
        constant=True,
    ),
    Server(
        "constant, gunicorn asgi",
        (
            *("{python}", "-m", "gunicorn", "serve_constant:answer", "--worker-class", "asgi"),
            *("--http-parser", "python", "--workers", "2", "--bind", "127.0.0.1:{port}"),
            *("--asgi-lifespan", "off", "--log-level", "warning"),
        ),
        CONSTANT_LOADS,
        ROWS,
        packages=ASGI,
        package="gunicorn",
        constant=True,
    ),
    Server(
        "constant, nginx",
        ("{python}", "serve_nginx.py", "{port}"),
        CONSTANT_LOADS,
        ROWS,
        here=True,
        constant=True,
        program="nginx",
    ),
    Server(
        "FastAPI",
        (
            *("{python}", "-m", "uvicorn", "serve_fastapi:app", "--workers", "2"),
            *("--host", "127.0.0.1", "--port", "{port}", "--no-access-log"),
        ),
        PEER_LOADS,
        ROWS,
        packages=Environment.of("fastapi"),
        package="fastapi",
        variables=MODEL,
    ),
    FLASK,
    replace(
        FLASK,
        name="Flask, gthread",
        command=(*FLASK.command, "--worker-class", "gthread", "--threads", "8"),
    ),
    Server(
        "MLServer",
        ("{bin}/mlserver", "start", "."),
        PEER_LOADS,
        {"json": Tensors("/v2/models/{model}/infer")},
        packages=Environment.of("mlserver"),
        package="mlserver",
        variables={
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{second_port}",
            "MLSERVER_METRICS_PORT": "{third_port}",
            "MLSERVER_METRICS_DIR": "{folder}/metrics",
            "MLSERVER_ENVIRONMENTS_DIR": "{folder}/environments",
            # Handing requests on to workers costs it more than the second core gives.
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
            "MLSERVER_MODEL_NAME": "{name}",
            "MLSERVER_MODEL_IMPLEMENTATION": "serve_mlserver.Classifier",
            "MLSERVER_MODEL_URI": "{model}",
        },
    ),
    Server(
        "KServe",
        (
            *("{python}", "serve_kserve.py", "--http_port", "{port}", "--workers", "2"),
            *("--enable_grpc", "false", "--enable_latency_logging", "false"),
        ),
        PEER_LOADS,
        {"json": Rows("/v1/models/{model}:predict")},
        packages=Environment.of("kserve"),
        package="kserve",
        variables={**MODEL, "NAME": "{name}"},
    ),
    Server(
        "LitServe",
        ("{python}", "serve_litserve.py", "{port}"),
        PEER_LOADS,
        ROWS,
        packages=Environment.of("litserve"),
        package="litserve",
        variables=MODEL,
    ),
    Server(
        "BentoML",
        (
            *("{bin}/bentoml", "serve", "serve_bentoml:Classifier"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        PEER_LOADS,
        ROWS,
        packages=Environment.of("bentoml"),
        package="bentoml",
        variables={**MODEL, "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": "{folder}/bentoml"},
    ),
    Server(
        "Ray Serve",
        ("{python}", "serve_ray_serve.py", "{port}"),
        PEER_LOADS,
        ROWS,
        packages=Environment.of("ray_serve"),
        package="ray",
        variables={
            **MODEL,
            "RAY_USAGE_STATS_ENABLED": "0",
            # Else its own processes listen on all addresses, wherever it serves.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        },
    ),
    Server(
        "MLflow",
        ("{python}", "serve_mlflow.py", "{port}"),
        PEER_LOADS,
        {"json": Frames("/invocations")},
        packages=Environment.of("mlflow"),
        package="mlflow",
        variables={**MODEL, "MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
)
"""In the order in which they take turns."""
