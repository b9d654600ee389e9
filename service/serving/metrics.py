"""Every metric: its name, labels and help, how a worker counts it, and how a scrape reads it.

Names have one prefix and base units. Label values come from small fixed sets: routes, live models,
classes and features. They never come from a client.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ..model.artifact import Model
from .connection_share import connection_counts
from .metric_store import COUNTER, GAUGE, MetricStore, WorkerMetrics
from .observation import Observation
from .shared_state import SharedState, WorkerSlot

BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds in seconds: a response of one row takes some 100 us, the slowest ones 10 s."""

HISTOGRAM = "histogram"

FIRST_ERROR = 400
"""The lowest HTTP status of an error."""

UNKNOWN_ROUTE = "unknown"
"""The route label of requests that match no route."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric.

    Attributes:
        metric: the name.
        kind: ``COUNTER``, ``GAUGE`` or ``HISTOGRAM``.
        labels: the label names.
        help: one sentence for the metrics page.
        combine: function that makes one value of the workers' values.
        detail: whether the metric may have so many series that they must leave room for others.
    """

    metric: str
    kind: str
    labels: tuple[str, ...]
    help: str
    combine: Callable[[Sequence[float]], float] = sum
    detail: bool = False


_VERSION = ("model", "version")

REQUESTS = MetricSpec(
    "pigeonhole_requests_total",
    COUNTER,
    ("route", "model", "version", "code"),
    "HTTP requests answered.",
)
DURATION = MetricSpec(
    "pigeonhole_request_duration_seconds",
    HISTOGRAM,
    ("route", "model", "version"),
    "Time from the complete request body to the response.",
)
IN_FLIGHT = MetricSpec(
    "pigeonhole_requests_in_flight",
    GAUGE,
    (),
    "Predictions in flight, except those that run at once on the event loop.",
)
WAITING = MetricSpec("pigeonhole_calls_waiting", GAUGE, (), "Calls queued for a heavy model.")
RUNS = MetricSpec(
    "pigeonhole_model_runs_total",
    COUNTER,
    _VERSION,
    "Runs of a model; a batch of calls is one run.",
)
RUN_SECONDS = MetricSpec(
    "pigeonhole_model_run_seconds_total", COUNTER, _VERSION, "Time spent in runs of a model."
)
QUEUE_SECONDS = MetricSpec(
    "pigeonhole_queue_seconds_total",
    COUNTER,
    _VERSION,
    "Time that calls waited in the queue of a heavy model.",
)
ROWS = MetricSpec("pigeonhole_rows_total", COUNTER, _VERSION, "Rows predicted.")
PREDICTIONS = MetricSpec(
    "pigeonhole_predictions_total",
    COUNTER,
    (*_VERSION, "label"),
    "Rows by predicted label.",
    detail=True,
)
OUT_OF_RANGE = MetricSpec(
    "pigeonhole_unusual_values_total",
    COUNTER,
    (*_VERSION, "feature"),
    "Values outside the training range, as warned of in responses.",
    detail=True,
)
MODEL_LIVE = MetricSpec(
    "pigeonhole_model_live", GAUGE, _VERSION, "Workers that serve this version."
)
MODEL_REJECTED = MetricSpec(
    "pigeonhole_model_rejected", GAUGE, _VERSION, "Workers that reject this version."
)
MODEL_LOAD_SECONDS = MetricSpec(
    "pigeonhole_model_load_seconds",
    GAUGE,
    _VERSION,
    "Longest time that a worker took to load and check this version.",
    max,
)
MODEL_LOADS = MetricSpec(
    "pigeonhole_model_loads_total",
    COUNTER,
    ("model", "outcome"),
    "Load attempts by outcome: live or rejected.",
)
WORKER_STARTS = MetricSpec("pigeonhole_worker_starts_total", COUNTER, (), "Workers started.")
WORKER_READY = MetricSpec("pigeonhole_workers_ready", GAUGE, (), "Workers that are ready.")
CONNECTIONS = MetricSpec("pigeonhole_connections", GAUGE, (), "Open connections.")
WORKERS = MetricSpec("pigeonhole_workers", GAUGE, (), "Living workers.")
SERIES_REJECTED = MetricSpec(
    "pigeonhole_series_refused",
    GAUGE,
    (),
    "Series without room in the shared memory; above 0, some values are missing.",
)
CONNECTIONS_LIMIT = MetricSpec(
    "pigeonhole_connections_limit", GAUGE, (), "Most connections that all workers hold open."
)
WAITING_LIMIT = MetricSpec(
    "pigeonhole_calls_waiting_limit",
    GAUGE,
    (),
    "Most calls that may wait for heavy models in all workers.",
)
CPU = MetricSpec(
    "process_cpu_seconds_total",
    COUNTER,
    (),
    "Processor time of all processes, including workers that have ended.",
    max,
)
MEMORY = MetricSpec(
    "process_resident_memory_bytes",
    GAUGE,
    (),
    "Resident memory of all processes; shared pages count once.",
)
OPEN_FDS = MetricSpec("process_open_fds", GAUGE, (), "Open file descriptors of all processes.")
MAX_FDS = MetricSpec(
    "process_max_fds", GAUGE, (), "Most file descriptors that all processes may open."
)
START_TIME = MetricSpec(
    "process_start_time_seconds", GAUGE, (), "Start of the service, in seconds since 1970."
)
CORES = MetricSpec(
    "pigeonhole_cores", GAUGE, (), "Cores that the service may use; can be a fraction."
)
MODELS_DISK_AVAILABLE = MetricSpec(
    "pigeonhole_models_filesystem_avail_bytes",
    GAUGE,
    (),
    "Free space on the file system of the model folder.",
)
MODELS_DISK_SIZE = MetricSpec(
    "pigeonhole_models_filesystem_size_bytes",
    GAUGE,
    (),
    "Size of the file system of the model folder.",
)
BUILD = MetricSpec(
    "pigeonhole_build_info", GAUGE, ("version",), "Version of the service; always 1."
)

STORED = (
    *(REQUESTS, DURATION, IN_FLIGHT, WAITING),
    *(RUNS, RUN_SECONDS, QUEUE_SECONDS, ROWS, PREDICTIONS, OUT_OF_RANGE),
    *(MODEL_LIVE, MODEL_REJECTED, MODEL_LOAD_SECONDS, MODEL_LOADS, WORKER_STARTS, WORKER_READY),
    *(CONNECTIONS_LIMIT, WAITING_LIMIT, CPU),
)
"""Metrics that the workers write into the shared map."""

MEASURED = (
    *(MEMORY, OPEN_FDS, MAX_FDS, START_TIME, CORES),
    *(MODELS_DISK_AVAILABLE, MODELS_DISK_SIZE),
)
"""Metrics that are measured at the scrape. A metric that can't be measured has no sample."""

METRICS = (*STORED, *MEASURED, CONNECTIONS, WORKERS, SERIES_REJECTED, BUILD)

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
        model: str,
        version: int | None,
        code: int,
        seconds: float,
        reading_s: float = 0.0,
        writing_s: float = 0.0,
    ) -> None:
        """Queue a finished request for `flush`.

        Args:
            route: the route's name, or ``UNKNOWN_ROUTE``.
            model: the model's name; empty without a live model.
            version: its version; None without a live model.
            code: the HTTP status.
            seconds: the request's duration.
            reading_s: the part of it spent parsing rows.
            writing_s: the part of it spent encoding the response.
        """
        self._finished.append(((route, model, version, code), seconds, reading_s, writing_s))

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


class MetricsCollector:
    """Reads every metric for a scrape, summed over all workers (prometheus_client's Collector).

    Args:
        shared: the shared map.
        version: the service's version.
        measure: returns the `MEASURED` metrics.
    """

    def __init__(
        self,
        shared: SharedState,
        version: str,
        measure: Callable[[], Mapping[MetricSpec, float]] = dict,
    ) -> None:
        self._shared, self._version, self._measure = shared, version, measure

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, including metrics without a series."""
        measured = self._measure()
        store = MetricStore(self._shared)
        stored: dict[str, dict[tuple[str, ...], list[tuple[float, ...]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for series in store.read():
            stored[series.metric][series.labels].append(series.values)
        for spec in STORED:
            yield _family(spec, stored[spec.metric])
        for spec in MEASURED:
            yield _family(spec, {(): [(measured[spec],)]} if spec in measured else {})
        single: list[tuple[MetricSpec, tuple[str, ...], float]] = [
            (CONNECTIONS, (), sum(connection_counts(self._shared))),
            (WORKERS, (), self._shared.workers_alive()),
            (SERIES_REJECTED, (), store.rejected()),
            (BUILD, (self._version,), 1),
        ]
        for spec, labels, value in single:
            yield _family(spec, {labels: [(float(value),)]})


def _family(spec: MetricSpec, series: dict[tuple[str, ...], list[tuple[float, ...]]]) -> Metric:
    """Return one metric with its samples; ``series`` holds each worker's values by labels."""
    if spec.kind == HISTOGRAM:
        return _histogram(spec, series)
    make_family = CounterMetricFamily if spec.kind == COUNTER else GaugeMetricFamily
    family = make_family(spec.metric, spec.help, labels=spec.labels)
    for labels, workers in sorted(series.items()):
        family.add_metric(labels, spec.combine([value for (value,) in workers]))
    return family


def _histogram(
    spec: MetricSpec, series: dict[tuple[str, ...], list[tuple[float, ...]]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(spec.metric, spec.help, labels=spec.labels)
    for labels, workers in sorted(series.items()):
        *counts, total_s = (sum(values) for values in zip(*workers, strict=True))
        buckets, cumulative = [], 0.0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
            cumulative += count
            buckets.append((bound, cumulative))
        family.add_metric(labels, buckets, total_s)
    return family
