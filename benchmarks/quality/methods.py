"""The methods: siblings that answer a split, each in a process of its own."""

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


@dataclass(frozen=True)
class Answer:
    """What a method said of the test rows.

    Attributes:
        classes: that it knows, in its own order.
        probabilities: (rows, classes).
        finished: what its process took.
        fit_seconds: of that, preprocessing and fitting alone, where the method tells.
        save_seconds: of that, writing the model to a file, where the method tells.
        facts: what else is worth keeping, such as versions.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[Any]
    finished: Finished
    fit_seconds: float | None = None
    save_seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Method(ABC):
    """Something that learns from a train file and answers a test file.

    Attributes:
        label: what results are listed under.
        identity: results under another identity are not taken for this method's.
    """

    label: str
    identity: str

    @abstractmethod
    def answer(
        self, split: Split, limit_s: float, environment: Mapping[str, str] | None = None
    ) -> Answer:
        """Learn and answer.

        Args:
            split: the files; its seed is the method's too.
            limit_s: seconds after which it is stopped.
            environment: variables for the process.

        Raises:
            CommandFailed: its environment can't be made, it ended with an error, or ran too long.
        """

    def prepare(self) -> None:  # noqa: B027 - most have something to install, one has not
        """Install what it needs, so that no measurement has to wait for it."""


class PeerMethod(Method):
    """A program of the peers.

    Args:
        label: what the program calls the method, and the results are listed under.
        peer: which requirements it needs.
    """

    def __init__(self, label: str, peer: str) -> None:
        self.label = label
        self._program = PEERS / f"fit_{peer}.py"
        self._environment = Environment.of(peer)
        self.identity = self._environment.digest

    def prepare(self) -> None:
        """Make its environment."""
        self._environment.python()

    def answer(
        self, split: Split, limit_s: float, environment: Mapping[str, str] | None = None
    ) -> Answer:
        """Learn and answer."""
        python = self._environment.python()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            job = {
                "train": str(split.train),
                "test": str(split.test),
                "target": split.target,
                "method": self.label,
                "seed": split.seed,
                "answer": folder,
            }
            (place / "job.json").write_text(json.dumps(job), "utf-8")
            # In the folder, for libraries that leave logs and checkpoints where they run.
            finished = run([python, self._program, place / "job.json"], limit_s, environment, place)
            told = json.loads((place / "answer.json").read_text("utf-8"))
            return Answer(
                tuple(told["classes"]),
                np.load(place / "probabilities.npy"),
                finished,
                told["fit_seconds"],
                told["save_seconds"],
                {"versions": told["versions"]},
            )


class Pigeonhole(Method):
    """The trainer's ``fit`` command, scored by the file that it publishes.

    Args:
        flags: of the command, as they would be typed; part of the label.
    """

    def __init__(self, flags: str = "") -> None:
        self._flags = shlex.split(flags)
        self.label = " ".join([OURS, *self._flags])
        self.identity = __version__

    def answer(
        self, split: Split, limit_s: float, environment: Mapping[str, str] | None = None
    ) -> Answer:
        """Learn and answer."""
        with tempfile.TemporaryDirectory() as models:
            finished = run(
                [
                    *(sys.executable, "-m", "pigeonhole", "fit", split.train),
                    *("--target", split.target, "--name", "m", "--test", split.test),
                    *("--models", models, "--seed", str(split.seed), *self._flags),
                ],
                limit_s,
                environment,
            )
            path = Path(models) / "m" / "1" / "model.onnx"
            published, file_bytes = PublishedModel.open(path), path.stat().st_size
        examples = published.read(str(split.test), split.target).examples
        return Answer(
            published.schema.classes,
            published.predict(examples),
            finished,
            facts={"code": code_digest(), "file_bytes": file_bytes},
        )


def code_digest() -> str:
    """What tells one state of the trainer's code from another."""
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
"""The peers' methods, and whose environment each needs."""

UNASKED = ("realmlp-td",)
"""Methods that are run only where they are named: this one takes about twice the other's time."""


def methods(only: Sequence[str], flags: Sequence[str]) -> list[Method]:
    """The methods by name, ours first.

    Args:
        only: names; the usual ones where empty.
        flags: settings of the trainer to compare, each one method.

    Raises:
        ValueError: there is no such method.
    """
    wanted = only or [OURS, *(name for name in PEER_METHODS if name not in UNASKED)]
    for name in wanted:
        if name not in (OURS, *PEER_METHODS):
            raise ValueError(
                f"no method is called {name!r}; there are {', '.join((OURS, *PEER_METHODS))}"
            )
    ours = [Pigeonhole(each) for each in flags] if OURS in wanted else []
    return [*ours, *(PeerMethod(name, PEER_METHODS[name]) for name in wanted if name != OURS)]
