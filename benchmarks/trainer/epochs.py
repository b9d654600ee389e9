"""Seconds per epoch: the same rows, initial weights and hyperparameters in every library."""

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
"""Hidden units: small, usual and large networks."""

BATCH_SIZE = 256

LEARNING_RATE = 1e-3

TIMEOUT_S = 3600

Log = Callable[[str], None]


@dataclass(frozen=True)
class EpochTimes:
    """One library with one architecture, over all rounds.

    Attributes:
        library: name of the library.
        version: version of the library.
        hidden: units of the hidden layers.
        seconds: median of an epoch.
        slowest: maximum of an epoch, in seconds; far from the median on a busy machine.
        loss: mean cross-entropy over all rows after the last epoch, in nats; mean of the rounds.
        peak_bytes: peak memory of a process, library and rows included.
    """

    library: str
    version: str
    hidden: tuple[int, ...]
    seconds: float
    slowest: float
    loss: float
    peak_bytes: int


def measure(folder: Path, *, count: int, rounds: int, epochs: int, log: Log) -> list[EpochTimes]:
    """Time every library with every architecture, in rounds.

    Libraries alternate, so that a slow minute of the machine affects all of them.

    Args:
        folder: folder of generated rows.
        count: number of rows.
        rounds: number of rounds.
        epochs: number of timed epochs per process.
        log: receives a line per process.

    Raises:
        CommandFailed: an environment can't be made, or a program fails.
    """
    commands = _commands()
    results: dict[tuple[tuple[int, ...], str], list[dict[str, Any]]] = {}
    for number in range(1, rounds + 1):
        for hidden in ARCHITECTURES:
            job = _job(folder, hidden, count, epochs)
            for library, command in commands.items():
                result = _run_job(command, job)
                results.setdefault((hidden, library), []).append(result)
                seconds = median(result["seconds"])
                log(f"round {number}, {join_units(hidden)}, {library}: {seconds:.3f} s per epoch")
    return [_over_rounds(library, hidden, found) for (hidden, library), found in results.items()]


def join_units(hidden: Sequence[int]) -> str:
    """Return hidden units as text: `16-16`."""
    return "-".join(map(str, hidden))


def _job(folder: Path, hidden: tuple[int, ...], count: int, epochs: int) -> dict[str, Any]:
    x, y = rows.numbers(count, folder)
    return {
        "x": str(x),
        "y": str(y),
        "weights": str(rows.initial_weights(hidden, folder)),
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "epochs": epochs,
    }


def _commands() -> dict[str, list[str | Path]]:
    """Return the program of each library."""
    commands: dict[str, list[str | Path]] = {
        OURS: [sys.executable, "-m", "benchmarks.trainer.epochs_numpy"]
    }
    for peer in PEER_NAMES:
        commands[peer] = [Environment.of(peer).python(), PEERS / f"epochs_{peer}.py"]
    return commands


def _run_job(command: Sequence[str | Path], job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        job_file, result_file = Path(folder) / "job.json", Path(folder) / "result.json"
        job_file.write_text(json.dumps({**job, "result": str(result_file)}), "utf-8")
        finished = run([*command, job_file], TIMEOUT_S)
        result = json.loads(result_file.read_text("utf-8"))
        return {**result, "peak_bytes": finished.peak_bytes}


def _over_rounds(
    library: str, hidden: tuple[int, ...], results: Sequence[dict[str, Any]]
) -> EpochTimes:
    seconds = [each for result in results for each in result["seconds"]]
    return EpochTimes(
        library,
        version=results[0]["version"],
        hidden=hidden,
        seconds=median(seconds),
        slowest=max(seconds),
        loss=mean(result["loss"] for result in results),
        peak_bytes=max(result["peak_bytes"] for result in results),
    )
