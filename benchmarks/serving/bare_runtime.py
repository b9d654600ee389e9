"""What the runtime gives without any server: rows a second on all cores, by rows in a run."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.served_model import ServedModel
from benchmarks.serving.models import Model

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

SECONDS = 0.5
"""That each size is measured in each round."""


@dataclass(frozen=True)
class Alone:
    """The runtime on one model.

    Attributes:
        model: its name.
        run: when it was measured, as servers' records tell it.
        rows_per_second: of all cores together, by rows in a run; the best of all rounds.
    """

    model: str
    run: str
    rows_per_second: dict[int, float]

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Alone:
        """As it is kept in JSON, whose keys are texts."""
        figures = {int(batch): figure for batch, figure in stored["rows_per_second"].items()}
        return cls(stored["model"], stored["run"], figures)

    @property
    def best(self) -> tuple[int, float]:
        """The rows in a run that give the most rows a second, and how many."""
        return max(self.rows_per_second.items(), key=lambda pair: pair[1])


def measure(model: Model, rounds: int, run: str) -> Alone:
    """Run a model over and over, one process for each core, one thread each.

    Args:
        model: what is run.
        rounds: how often each size is measured.
        run: its stamp.
    """
    cores = len(os.sched_getaffinity(0))
    best = dict.fromkeys(BATCHES, 0.0)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        for _ in range(rounds):
            for batch in BATCHES:
                jobs = [(model, batch)] * cores
                found = sum(pool.starmap(_rows_per_second, jobs, chunksize=1))
                best[batch] = max(best[batch], found)
    return Alone(model.name, run, best)


def _rows_per_second(model: Model, batch: int) -> float:
    served = ServedModel(str(model.file))
    inputs = served.arrays(model.rows[:batch])
    served.run(inputs)  # warms up
    runs, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS:
        served.run(inputs)
        runs += 1
    return runs * batch / seconds
