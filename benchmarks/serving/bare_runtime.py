"""The ONNX runtime without a server: rows per second on all cores, by batch size."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.served_model import ServedModel
from benchmarks.serving.models import Model

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

SECONDS = 0.5
"""Duration of each batch size in each round."""


@dataclass(frozen=True)
class BareRuntime:
    """The throughput of the runtime with one model.

    Attributes:
        model: name of the model.
        started_at: start of the benchmark, ISO 8601; see ``comparison.Record``.
        rows_per_second: rows per second of all cores by batch size, the best of all rounds.
    """

    model: str
    started_at: str
    rows_per_second: dict[int, float]

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> BareRuntime:
        """Return the throughput as it is stored in JSON, where batch sizes are strings."""
        by_size = {int(size): rate for size, rate in stored["rows_per_second"].items()}
        return cls(stored["model"], stored["started_at"], by_size)

    @property
    def best_rows_per_second(self) -> float:
        """Return the rows per second of the best batch size."""
        return max(self.rows_per_second.values())


def measure(model: Model, rounds: int, started_at: str) -> BareRuntime:
    """Run a model in one process per core, with one thread each.

    Args:
        model: the model.
        rounds: repetitions of all batch sizes.
        started_at: start of the benchmark, ISO 8601.
    """
    cores = len(os.sched_getaffinity(0))
    best = dict.fromkeys(BATCH_SIZES, 0.0)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        for _ in range(rounds):
            for size in BATCH_SIZES:
                rates = pool.starmap(_rows_per_second, [(model, size)] * cores, chunksize=1)
                best[size] = max(best[size], sum(rates))
    return BareRuntime(model.name, started_at, best)


def _rows_per_second(model: Model, batch_size: int) -> float:
    served = ServedModel(str(model.file))
    inputs = served.arrays(model.rows[:batch_size])
    served.run(inputs)  # warm up
    runs, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS:
        served.run(inputs)
        runs += 1
    return runs * batch_size / seconds
