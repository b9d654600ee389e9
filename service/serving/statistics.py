"""What each version of a model has done since the service's start, over all workers.

It is read from the shared map: the work of a worker that has ended counts too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .metrics import (
    DURATION,
    FAILED_S,
    FIRST_ERROR,
    LAST_MS,
    QUEUE_SECONDS,
    READING_S,
    REQUESTS,
    ROWS,
    RUN_SECONDS,
    RUNS,
    TIMES,
    WRITING_S,
)
from .shared_state import SharedState


@dataclass
class Statistics:
    """One version's work, by whatever protocol it was asked for.

    Attributes:
        rows: that were answered.
        runs: of the model; calls that were joined are one.
        run_s: the time that they took, in seconds.
        waited_s: the time that calls waited for their turn at it.
        successes: requests that got an answer.
        failures: requests that were refused or failed once it was known which model they meant.
        request_s: the time that both took.
        failed_s: the part of it that the failures took.
        reading_s: the part of it that went into reading rows, of successes.
        writing_s: the part of it that went into writing answers, of successes.
        last_ms: when the last request ended, in milliseconds since 1970; 0 before the first.
    """

    rows: int = 0
    runs: int = 0
    run_s: float = 0.0
    waited_s: float = 0.0
    successes: int = 0
    failures: int = 0
    request_s: float = 0.0
    failed_s: float = 0.0
    reading_s: float = 0.0
    writing_s: float = 0.0
    last_ms: int = 0

    @property
    def success_s(self) -> float:
        """The time that the successes took; never below zero, whatever doubles make of it."""
        return max(self.request_s - self.failed_s, 0.0)

    def add(self, metric: str, labels: Sequence[str], values: Sequence[float]) -> None:
        """Add what one worker has counted."""
        first = values[0]
        if metric == ROWS.metric:
            self.rows += int(first)
        elif metric == RUNS.metric:
            self.runs += int(first)
        elif metric == RUN_SECONDS.metric:
            self.run_s += first
        elif metric == QUEUE_SECONDS.metric:
            self.waited_s += first
        elif metric == REQUESTS.metric:
            if int(labels[-1]) < FIRST_ERROR:
                self.successes += int(first)
            else:
                self.failures += int(first)
        elif metric == DURATION.metric:
            self.request_s += values[-1]
        elif metric == TIMES:
            self.failed_s += values[FAILED_S]
            self.reading_s += values[READING_S]
            self.writing_s += values[WRITING_S]
            self.last_ms = max(self.last_ms, int(values[LAST_MS]))


WHERE = {
    **dict.fromkeys((ROWS.metric, RUNS.metric, RUN_SECONDS.metric, QUEUE_SECONDS.metric, TIMES), 0),
    **dict.fromkeys((REQUESTS.metric, DURATION.metric), 1),
}
"""What is read, and where among its labels the model's name stands, before the version."""


def read_statistics(shared: SharedState) -> dict[tuple[str, int], Statistics]:
    """The statistics of each version that was ever asked for, by the model's name and the version.

    Args:
        shared: the map of all workers.
    """
    found: dict[tuple[str, int], Statistics] = defaultdict(Statistics)
    for series in shared.read():
        at = WHERE.get(series.metric)
        if at is None or not series.labels[at]:  # requests may mean no model
            continue
        name, version = series.labels[at : at + 2]
        found[name, int(version)].add(series.metric, series.labels, series.values)
    return dict(found)
