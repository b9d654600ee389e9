"""The methods: each fits and predicts a split in a process of its own."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environments import Environment
from benchmarks.places import PEERS, REPOSITORY
from benchmarks.processes import Finished, run
from benchmarks.quality.splits import Split
from pigeonhole import __version__
from pigeonhole.trainer.export.published import PublishedModel

OURS = "pigeonhole"

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Limits:
    """The limits of a method's process.

    Attributes:
        timeout_s: timeout in seconds.
        threads: number of threads; 0 is the method's default.
    """

    timeout_s: float
    threads: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that limit the threads."""
        return dict.fromkeys(THREAD_VARIABLES, str(self.threads)) if self.threads else {}


@dataclass(frozen=True)
class Predictions:
    """The predictions of a method for the test rows.

    Attributes:
        classes: the method's classes, in its own order.
        probabilities: (rows, classes).
        finished: time and memory of its process.
        fit_seconds: seconds of preprocessing and fitting; None if unknown.
        save_seconds: seconds of writing the model file; None if unknown.
        facts: versions and the like.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[Any]
    finished: Finished
    fit_seconds: float | None = None
    save_seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Method(ABC):
    """A classifier that fits a training file and predicts a test file.

    Attributes:
        label: name in the results.
        identity: version; stored records of another identity are ignored.
    """

    label: str
    identity: str

    @abstractmethod
    def fit_and_predict(self, split: Split, limits: Limits) -> Predictions:
        """Fit the training file, and return the predictions for the test file.

        Args:
            split: files and seed.
            limits: timeout and threads.

        Raises:
            CommandFailed: the environment can't be made, or the process failed or timed out.
        """

    def prepare(self) -> None:  # noqa: B027 - one method has nothing to install
        """Install packages, so that no measurement includes it."""


class PeerMethod(Method):
    """A method of a peer.

    Args:
        label: name of the method in the peer's program and in the results.
        peer: name of the peer's program and requirements.
    """

    def __init__(self, label: str, peer: str) -> None:
        self.label = label
        self._program = PEERS / f"fit_{peer}.py"
        self._environment = Environment.of(peer)
        self.identity = self._environment.digest

    def prepare(self) -> None:
        """Create the peer's environment."""
        self._environment.python()

    def fit_and_predict(self, split: Split, limits: Limits) -> Predictions:
        """Run the peer's program; see `Method.fit_and_predict`."""
        python = self._environment.python()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = {
                "train": str(split.train),
                "test": str(split.test),
                "target": split.target,
                "method": self.label,
                "seed": split.seed,
                "folder": name,
            }
            (folder / "job.json").write_text(json.dumps(job), "utf-8")
            command = [python, self._program, folder / "job.json"]
            # Some libraries leave logs and checkpoints in the working directory.
            finished = run(command, limits.timeout_s, limits.environment, folder)
            result = json.loads((folder / "result.json").read_text("utf-8"))
            return Predictions(
                tuple(result["classes"]),
                np.load(folder / "probabilities.npy"),
                finished,
                result["fit_seconds"],
                result["save_seconds"],
                {"versions": result["versions"]},
            )


class Pigeonhole(Method):
    """``pigeonhole fit``, scored by the model file that it publishes.

    Args:
        flags: further flags of the command, part of the label.
    """

    def __init__(self, flags: str = "") -> None:
        self._flags = shlex.split(flags)
        self.label = " ".join([OURS, *self._flags])
        self.identity = __version__

    def fit_and_predict(self, split: Split, limits: Limits) -> Predictions:
        """Run the command, and predict with its model file; see `Method.fit_and_predict`."""
        with tempfile.TemporaryDirectory() as models:
            command = [
                *(sys.executable, "-m", "pigeonhole", "fit", split.train),
                *("--target", split.target, "--name", "m", "--test", split.test),
                *("--models", models, "--seed", str(split.seed), *self._flags),
            ]
            finished = run(command, limits.timeout_s, limits.environment)
            path = Path(models) / "m" / "1" / "model.onnx"
            published, file_bytes = PublishedModel.open(path), path.stat().st_size
        examples = published.read(str(split.test), split.target).examples
        return Predictions(
            published.schema.classes,
            published.predict(examples),
            finished,
            facts={"code": code_digest(), "file_bytes": file_bytes},
        )


def code_digest() -> str:
    """Return a digest of the trainer's code."""
    digest = sha256()
    for path in sorted((REPOSITORY / "trainer").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


PEER_METHODS = {
    "realmlp-td-s": "pytabkit",
    "realmlp-td": "pytabkit",
    "mlp": "scikit_learn",
    "mlp-early-stopping": "scikit_learn",
    "hist-gradient-boosting": "scikit_learn",
    "logistic-regression": "scikit_learn",
}
"""The peers' methods, with the peer of each."""

OPTIONAL = ("realmlp-td",)
"""Methods that run only on request; this one takes about twice as long as realmlp-td-s."""


def select_methods(only: Sequence[str], flags: Sequence[str]) -> list[Method]:
    """Return methods by name, ours first.

    Args:
        only: names of methods; all except the optional ones if empty.
        flags: flags of the trainer; each entry is a method.

    Raises:
        ValueError: a name is unknown.
    """
    names = only or [OURS, *(name for name in PEER_METHODS if name not in OPTIONAL)]
    known = (OURS, *PEER_METHODS)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown method {name!r}; expected one of {', '.join(known)}")
    ours = [Pigeonhole(each) for each in flags] if OURS in names else []
    return [*ours, *(PeerMethod(name, PEER_METHODS[name]) for name in names if name != OURS)]
