"""The servers: their packages, start commands, loads and protocols."""

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
from benchmarks.serving.protocols import (
    BinaryTensorProtocol,
    DataFrameProtocol,
    Protocol,
    RowProtocol,
    TensorProtocol,
)
from pigeonhole import __version__

OURS = "pigeonhole"

CONSTANT = "constant, same server"

SERVICE = Environment(REPOSITORY / "deploy" / "requirements" / "service.txt")
"""The service's packages, installed for their size only: the service runs in this interpreter."""


@dataclass(frozen=True)
class Server:
    """How one server is installed, started and loaded.

    Attributes:
        name: name in the results.
        command: program and arguments, with fields in braces for ``start_command``.
        loads: the loads that it is measured under.
        protocols: protocol by encoding of a load.
        packages: environment of its packages; None if nothing is installed.
        package: package whose version is reported.
        in_this_interpreter: whether it runs in this interpreter instead of its own.
        variables: environment variables, with fields in braces.
        folder: working directory.
        constant: whether the response is constant and can't be compared with the model's.
        program: program that must be on the PATH.
    """

    name: str
    command: tuple[str, ...]
    loads: tuple[Load, ...]
    protocols: Mapping[str, Protocol]
    packages: Environment | None = None
    package: str = ""
    in_this_interpreter: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PEERS
    constant: bool = False
    program: str | None = None

    def prepare(self) -> None:
        """Install the packages.

        Raises:
            CommandFailed: a package can't be installed, or the program is missing.
        """
        if self.program and shutil.which(self.program) is None:
            raise CommandFailed(f"{self.program} isn't installed; it must be on the PATH")
        if self.packages:
            self.packages.python()

    @property
    def version(self) -> str:
        """Return the version of the package, or "-" without a package."""
        if self.name == OURS:
            return __version__
        return self.packages.version(self.package) if self.packages else "-"

    def installed_bytes(self) -> int | None:
        """Return the bytes of the environment on disk, or None without one."""
        return self.packages.installed_bytes() if self.packages and not self.constant else None

    def start_command(
        self, model: Model, ports: Sequence[int], folder: str
    ) -> tuple[list[str], dict[str, str]]:
        """Return the command that serves a model, and its environment variables.

        Args:
            model: the model to serve.
            ports: three ports on loopback; the first is for predictions.
            folder: folder for temporary files.
        """
        python = Path(sys.executable)
        if self.packages and not self.in_this_interpreter:
            python = self.packages.python()
        fields = {
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
            [part.format(**fields) for part in self.command],
            {name: value.format(**fields) for name, value in self.variables.items()},
        )


ASGI = Environment.of("asgi")
"""ASGI servers with uvloop and httptools."""

ASGI_CONSTANTS = ("constant, uvicorn", "constant, gunicorn asgi")

ROWS = {"json": RowProtocol("/predict")}

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
        {**ROWS, "binary": BinaryTensorProtocol("/v2/models/{model}/infer")},
        packages=SERVICE,
        in_this_interpreter=True,
        folder=REPOSITORY,
    ),
    Server(
        CONSTANT,
        ("{python}", "-m", "benchmarks.serving.constant", "{port}"),
        CONSTANT_LOADS,
        ROWS,
        in_this_interpreter=True,
        folder=REPOSITORY,
        constant=True,
    ),
    Server(
        "constant, uvicorn",
        (
            *("{python}", "-m", "uvicorn", "serve_constant:app", "--workers", "2"),
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
            *("{python}", "-m", "gunicorn", "serve_constant:app", "--worker-class", "asgi"),
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
        in_this_interpreter=True,
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
        {"json": TensorProtocol("/v2/models/{model}/infer")},
        packages=Environment.of("mlserver"),
        package="mlserver",
        variables={
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{second_port}",
            "MLSERVER_METRICS_PORT": "{third_port}",
            "MLSERVER_METRICS_DIR": "{folder}/metrics",
            "MLSERVER_ENVIRONMENTS_DIR": "{folder}/environments",
            # Without worker processes: they cost more than the second core gains.
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
        {"json": RowProtocol("/v1/models/{model}:predict")},
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
            # Otherwise its internal processes listen on all addresses.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        },
    ),
    Server(
        "MLflow",
        ("{python}", "serve_mlflow.py", "{port}"),
        PEER_LOADS,
        {"json": DataFrameProtocol("/invocations")},
        packages=Environment.of("mlflow"),
        package="mlflow",
        variables={**MODEL, "MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
)
"""All servers, in the order of their measurements."""
