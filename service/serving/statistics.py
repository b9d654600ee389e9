"""The work of each model version since the service's start, over all workers.

Read from the shared map, so the work of workers that have ended counts too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .metric_specs import DURATION, QUEUE_SECONDS, REQUESTS, ROWS, RUN_SECONDS, RUNS
from .metric_store import MetricStore
from .metrics import FAILED_S, FIRST_ERROR, LAST_MS, READING_S, REQUEST_TIMES, WRITING_S
from .shared_state import SharedState


@dataclass
class Statistics:
    """One version's work, over every protocol.

    Attributes:
        rows: rows predicted.
        runs: runs of the model; a batch of calls is one run.
        run_s: time of the runs, in seconds.
        waited_s: time that calls waited in the queue, in seconds.
        successes: requests answered with a prediction.
        failures: requests rejected or failed after their model was known.
        request_s: time of both, in seconds.
        failed_s: time of the failures, in seconds.
        reading_s: time that successes spent parsing rows, in seconds.
        writing_s: time that successes spent encoding responses, in seconds.
        last_ms: end of the last request, in milliseconds since 1970; 0 before the first.
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
        """The time of the successes, in seconds; never negative despite rounding."""
        return max(self.request_s - self.failed_s, 0.0)

    def add(self, metric: str, labels: Sequence[str], values: Sequence[float]) -> None:
        """Add one worker's series."""
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
        elif metric == REQUEST_TIMES:
            self.failed_s += values[FAILED_S]
            self.reading_s += values[READING_S]
            self.writing_s += values[WRITING_S]
            self.last_ms = max(self.last_ms, int(values[LAST_MS]))


MODEL_LABEL = {
    **dict.fromkeys((ROWS.metric, RUNS.metric, RUN_SECONDS.metric, QUEUE_SECONDS.metric), 0),
    REQUEST_TIMES: 0,
    **dict.fromkeys((REQUESTS.metric, DURATION.metric), 1),
}
"""The series to read, and the place of the model among their labels. The version follows it."""


def read_statistics(shared: SharedState) -> dict[tuple[str, int], Statistics]:
    """Return the statistics of each version that was ever requested, by (model name, version).

    Args:
        shared: the shared map.
    """
    by_version: dict[tuple[str, int], Statistics] = defaultdict(Statistics)
    for series in MetricStore(shared).read():
        place = MODEL_LABEL.get(series.metric)
        if place is None or not series.labels[place]:  # not every request has a model
            continue
        name, version = series.labels[place : place + 2]
        by_version[name, int(version)].add(series.metric, series.labels, series.values)
    return dict(by_version)
