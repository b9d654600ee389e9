"""Seconds of an epoch: the same rows, first weights and settings in every library."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.environments import Environment
from benchmarks.places import PEERS
from benchmarks.processes import run
from benchmarks.trainer import rows

OURS = "pigeonhole"

PEER_NAMES = ("torch", "scikit_learn", "keras")

ARCHITECTURES = ((16, 16), (128, 128), (512, 512))
"""Hidden units; each is what some users take."""

BATCH_SIZE = 256

LEARNING_RATE = 1e-3

LIMIT_S = 3600

Say = Callable[[str], None]


@dataclass(frozen=True)
class Epochs:
    """One library and one architecture, over all rounds.

    Attributes:
        library: the name.
        version: of it.
        hidden: units of the hidden layers.
        seconds: median of an epoch.
        slowest: the slowest epoch, in seconds; far from the median on a machine that is busy.
        loss: mean cross-entropy over all rows after the last epoch, in nats; mean of the rounds.
        peak_bytes: the most memory of a process, the library and the rows included.
    """

    library: str
    version: str
    hidden: tuple[int, ...]
    seconds: float
    slowest: float
    loss: float
    peak_bytes: int


def measure(folder: Path, *, count: int, rounds: int, epochs: int, say: Say) -> list[Epochs]:
    """Time every library on every architecture, one after the other, round by round.

    Args:
        folder: where rows are kept.
        count: rows.
        rounds: how often the whole is done; a slow minute of the machine then hits all alike.
        epochs: that are timed in each process.
        say: told of each process.

    Raises:
        CommandFailed: an environment can't be made or a program fails.
    """
    x, y = rows.numbers(count, folder)
    commands = _commands()
    told: dict[tuple[tuple[int, ...], str], list[dict[str, Any]]] = {}
    for turn in range(rounds):
        for hidden in ARCHITECTURES:
            job = {
                "x": str(x),
                "y": str(y),
                "weights": str(rows.first_weights(hidden, folder)),
                "batch_size": BATCH_SIZE,
                "learning_rate": LEARNING_RATE,
                "epochs": epochs,
            }
            for library, command in commands.items():
                answer = _answer(command, job)
                told.setdefault((hidden, library), []).append(answer)
                say(
                    f"round {turn + 1}, {_named(hidden)}, {library}: "
                    f"{median(answer['seconds']):.3f} s an epoch"
                )
    return [_over_rounds(library, hidden, answers) for (hidden, library), answers in told.items()]


def _commands() -> dict[str, list[str | Path]]:
    commands: dict[str, list[str | Path]] = {
        OURS: [sys.executable, "-m", "benchmarks.trainer.epochs_numpy"]
    }
    for peer in PEER_NAMES:
        commands[peer] = [Environment.of(peer).python(), PEERS / f"epochs_{peer}.py"]
    return commands


def _answer(command: Sequence[str | Path], job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
        file.write_text(json.dumps({**job, "answer": str(answer)}), "utf-8")
        finished = run([*command, file], LIMIT_S)
        return {**json.loads(answer.read_text("utf-8")), "peak_bytes": finished.peak_bytes}


def _over_rounds(library: str, hidden: tuple[int, ...], answers: list[dict[str, Any]]) -> Epochs:
    seconds = [each for answer in answers for each in answer["seconds"]]
    return Epochs(
        library,
        answers[0]["version"],
        hidden,
        median(seconds),
        max(seconds),
        mean(answer["loss"] for answer in answers),
        max(answer["peak_bytes"] for answer in answers),
    )


def _named(hidden: Sequence[int]) -> str:
    return "-".join(map(str, hidden))
