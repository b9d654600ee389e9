"""How one worker counts: events become values in the shared map."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Sequence

import msgspec

from ..model.artifact import Model
from .metric_specs import (
    BUCKETS_S,
    CONNECTIONS_LIMIT,
    DURATION,
    HISTOGRAM,
    IN_FLIGHT,
    MODEL_LIVE,
    MODEL_LOAD_SECONDS,
    MODEL_LOADS,
    MODEL_REJECTED,
    OUT_OF_RANGE,
    PREDICTIONS,
    QUEUE_SECONDS,
    REQUESTS,
    ROWS,
    RUN_SECONDS,
    RUNS,
    WAITING,
    WAITING_LIMIT,
    WORKER_READY,
    WORKER_STARTS,
    MetricSpec,
)
from .metric_store import COUNTER, MetricStore, WorkerMetrics
from .observation import Observation
from .shared_state import WorkerSlot

FIRST_ERROR = 400
"""The lowest HTTP status of an error."""

UNKNOWN_ROUTE = "unknown"
"""The route label of requests that match no route."""


REQUEST_TIMES = "request_times"
"""A series per version for `statistics`; not on the metrics page."""

READING_S, WRITING_S, FAILED_S, LAST_MS = range(4)
"""Its values: seconds to parse and to encode in successful requests; seconds of failed requests; end
of the last request in milliseconds since 1970."""

REQUEST_TIMES_WIDTH = 4

_RequestKey = tuple[str, str, int | None, int]
"""Requests that are counted together: route, model, version and status."""

_RequestSeries = tuple[int | None, int | None, int | None]
"""Indices of such requests' `REQUESTS`, `DURATION` and `REQUEST_TIMES`."""


class _RequestTotals(msgspec.Struct, gc=False):
    """Finished requests with one key: the seconds of each; the seconds to parse and encode of all."""

    seconds: list[float]
    reading_s: float
    writing_s: float


class Metrics:
    """Counts the events of one worker.

    Args:
        slot: the worker's slot in the shared map.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._shared, self._store = slot.shared, WorkerMetrics(slot)
        self._store.add(self._index(WORKER_STARTS))
        self._in_flight, self._waiting = self._index(IN_FLIGHT), self._index(WAITING)
        self._finished: deque[tuple[_RequestKey, float, float, float]] = deque()
        self._request_series: dict[_RequestKey, _RequestSeries] = {}
        self._run_series: dict[tuple[str, int], list[int | None]] = {}
        self._row_series: dict[tuple[str, int, str | None], int | None] = {}

    def limits(self, *, connections: int, waiting: int) -> None:
        """Set this worker's limits of open connections and of queued calls."""
        self._store.set(self._index(CONNECTIONS_LIMIT), float(connections))
        self._store.set(self._index(WAITING_LIMIT), float(waiting))

    def in_flight(self, change: int) -> None:
        """Count requests in flight: 1 for one more, -1 for one fewer."""
        self._store.add(self._in_flight, float(change))

    def waiting(self, calls: int) -> None:
        """Set the number of calls queued for heavy models."""
        self._store.set(self._waiting, float(calls))

    def request_ended(
        self,
        route: str,
        model: Model | None,
        code: int,
        seconds: float,
        reading_s: float = 0.0,
        writing_s: float = 0.0,
    ) -> None:
        """Queue a finished request for `flush`.

        Args:
            route: the route's name, or ``UNKNOWN_ROUTE``.
            model: the live model of the request, or None.
            code: the HTTP status.
            seconds: the request's duration.
            reading_s: the part of it spent parsing rows.
            writing_s: the part of it spent encoding the response.
        """
        key = (route, model.name, model.version, code) if model else (route, "", None, code)
        self._finished.append((key, seconds, reading_s, writing_s))

    def model_ran(self, model: str, version: int, seconds: float, waited_s: float) -> None:
        """Count a run of a model.

        Args:
            model: the model's name.
            version: its version.
            seconds: duration of the run.
            waited_s: sum of the times that its calls waited in the queue.
        """
        try:
            runs, run_seconds, queue_seconds = self._run_series[model, version]
        except KeyError:
            labels = (model, str(version))
            indices = [self._index(spec, *labels) for spec in (RUNS, RUN_SECONDS, QUEUE_SECONDS)]
            runs, run_seconds, queue_seconds = self._run_series[model, version] = indices
        changes = [(runs, 1.0), (run_seconds, seconds)]
        if waited_s:
            changes.append((queue_seconds, waited_s))
        self._store.add_all(changes)

    def flush(self) -> None:
        """Count all queued requests in one step."""
        changes: list[tuple[int | None, float]] = []
        for key, totals in self._take_finished().items():
            changes += self._request_changes(key, totals)
        if changes:
            self._store.add_all(changes)

    def _take_finished(self) -> dict[_RequestKey, _RequestTotals]:
        """Empty the queue; return its requests summed by key."""
        by_key: dict[_RequestKey, _RequestTotals] = {}
        finished = self._finished
        while finished:
            try:
                key, seconds, reading_s, writing_s = finished.popleft()
            except IndexError:  # another thread took the last one
                break
            totals = by_key.get(key)
            if totals is None:
                by_key[key] = _RequestTotals([seconds], reading_s, writing_s)
                continue
            totals.seconds.append(seconds)
            totals.reading_s += reading_s
            totals.writing_s += writing_s
        return by_key

    def _request_changes(
        self, key: _RequestKey, totals: _RequestTotals
    ) -> list[tuple[int | None, float]]:
        """Return the additions for finished requests of one key, and set the time of the last."""
        requests, duration, times = self._request_series.get(key) or self._add_request_series(key)
        all_seconds = sum(totals.seconds)
        changes: list[tuple[int | None, float]] = [(requests, len(totals.seconds))]
        if duration is not None:
            buckets = [bisect_left(BUCKETS_S, seconds) for seconds in totals.seconds]
            changes += [(duration + bucket, 1.0) for bucket in buckets]  # the last one is +Inf
            changes.append((duration + len(BUCKETS_S) + 1, all_seconds))
        if times is None:
            return changes
        if key[-1] < FIRST_ERROR:
            changes.append((times + READING_S, totals.reading_s))
            changes.append((times + WRITING_S, totals.writing_s))
        else:
            changes.append((times + FAILED_S, all_seconds))
        self._store.set(times + LAST_MS, time.time() * 1000)
        return changes

    def _add_request_series(self, key: _RequestKey) -> _RequestSeries:
        route, model, version, code = key
        labels = (route, model, "" if version is None else str(version))
        times = None
        if version is not None:
            times = self._store.series(COUNTER, REQUEST_TIMES, labels[1:], REQUEST_TIMES_WIDTH)
        series = self._index(REQUESTS, *labels, str(code)), self._index(DURATION, *labels), times
        self._request_series[key] = series
        return series

    def predicted(self, observations: Sequence[Observation]) -> None:
        """Count the rows of predictions by label, and their values out of the training range."""
        counts: dict[int | None, float] = defaultdict(float)
        for observation in observations:
            model, labels = observation.model, observation.prediction.labels
            counts[self._rows_index(model, None)] += len(labels)
            if len(labels) == 1:  # quicker than a Tally of one
                counts[self._rows_index(model, labels[0])] += 1
            else:
                for label, rows in Tally(labels).items():
                    counts[self._rows_index(model, label)] += rows
            for value in observation.out_of_range:
                where = (model.name, str(model.version), value.feature)
                counts[self._index(OUT_OF_RANGE, *where)] += 1
        self._store.add_all(list(counts.items()))

    def _rows_index(self, model: Model, label: str | None) -> int | None:
        """Return the index of a model's rows of one label; of all its rows for None."""
        key = (model.name, model.version, label)
        try:
            return self._row_series[key]
        except KeyError:
            version = (model.name, str(model.version))
            if label is None:
                index = self._index(ROWS, *version)
            else:
                index = self._index(PREDICTIONS, *version, label)
            self._row_series[key] = index
            return index

    def model_live(self, model: Model) -> None:
        """Count a version that this worker loaded and serves from now on."""
        version = (model.name, str(model.version))
        self._store.set(self._index(MODEL_LIVE, *version), 1.0)
        self._store.set(self._index(MODEL_REJECTED, *version), 0.0)
        self._store.set(self._index(MODEL_LOAD_SECONDS, *version), model.load_seconds)
        self._store.add(self._index(MODEL_LOADS, model.name, "live"))

    def model_retired(self, name: str, version: int) -> None:
        """Count a version that this worker no longer serves."""
        self._store.set(self._index(MODEL_LIVE, name, str(version)), 0.0)

    def model_rejected(self, name: str, version: int) -> None:
        """Count a version that this worker rejected."""
        self._store.set(self._index(MODEL_REJECTED, name, str(version)), 1.0)
        self._store.add(self._index(MODEL_LOADS, name, "rejected"))

    def rejection_cleared(self, name: str, version: int) -> None:
        """Count a rejected version as gone from the disk or as being loaded again."""
        self._store.set(self._index(MODEL_REJECTED, name, str(version)), 0.0)

    def is_live_everywhere(self, name: str, version: int) -> bool:
        """Return whether every living worker serves a version."""
        labels = (name, str(version))
        serving = sum(
            series.values[0]
            for series in MetricStore(self._shared).read()
            if series.metric == MODEL_LIVE.metric and series.labels == labels
        )
        return serving == self._shared.workers_alive()

    def ready(self, is_ready: bool) -> None:
        """Set whether this worker is ready."""
        self._store.set(self._index(WORKER_READY), float(is_ready))

    def _index(self, spec: MetricSpec, *labels: str) -> int | None:
        # The values of a histogram are counters: one per bucket, one for +Inf, one for the sum.
        if spec.kind == HISTOGRAM:
            return self._store.series(COUNTER, spec.metric, labels, len(BUCKETS_S) + 2)
        return self._store.series(spec.kind, spec.metric, labels, detail=spec.detail)
