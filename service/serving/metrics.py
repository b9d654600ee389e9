"""Every metric by name, and how it is counted and read. One prefix, base units.

Label values come from a fixed small set - the names of routes, of the loaded models and of their
classes - and never from what a client sent.
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
from .observation import Observation
from .shared_state import COUNTER, GAUGE, SharedState, WorkerCounters

BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds in seconds: a one-row answer takes some 100 us, a hopeless one 10 s."""

HISTOGRAM = "histogram"

FIRST_ERROR = 400
"""The first status that tells of a failure."""

UNKNOWN_ROUTE = "unknown"
"""The route of requests that meant none that there is."""


@dataclass(frozen=True)
class Name:
    """One metric: what it is called, what kind it is, its labels, and a line of help.

    Attributes:
        combine: makes one value of the workers'.
        detail: whether its series are so many that they may not take the room of the others.
    """

    metric: str
    kind: str
    labels: tuple[str, ...]
    help: str
    combine: Callable[[Sequence[float]], float] = sum
    detail: bool = False


REQUESTS = Name(
    "pigeonhole_requests_total",
    COUNTER,
    ("route", "model", "version", "code"),
    "HTTP requests answered.",
)
DURATION = Name(
    "pigeonhole_request_duration_seconds",
    HISTOGRAM,
    ("route", "model", "version"),
    "Time from a request's body being there to its answer being ready.",
)
IN_FLIGHT = Name(
    "pigeonhole_requests_in_flight",
    GAUGE,
    (),
    "Predictions being made now, but for those that are made at once.",
)
WAITING = Name(
    "pigeonhole_calls_waiting", GAUGE, (), "Calls that wait for their turn at a heavy model."
)
RUNS = Name(
    "pigeonhole_model_runs_total",
    COUNTER,
    ("model", "version"),
    "Runs of a model; calls that were joined are one.",
)
RUN_SECONDS = Name(
    "pigeonhole_model_run_seconds_total",
    COUNTER,
    ("model", "version"),
    "Time that a model's runs took.",
)
QUEUE_SECONDS = Name(
    "pigeonhole_queue_seconds_total",
    COUNTER,
    ("model", "version"),
    "Time that calls of a heavy model waited for their turn.",
)
ROWS = Name("pigeonhole_rows_total", COUNTER, ("model", "version"), "Rows predicted.")
PREDICTIONS = Name(
    "pigeonhole_predictions_total",
    COUNTER,
    ("model", "version", "label"),
    "Rows by label given.",
    detail=True,
)
UNUSUAL = Name(
    "pigeonhole_unusual_values_total",
    COUNTER,
    ("model", "version", "feature"),
    "Values outside what training saw, as warned of in answers.",
    detail=True,
)
MODEL_LIVE = Name(
    "pigeonhole_model_live", GAUGE, ("model", "version"), "Workers that serve this version."
)
MODEL_REJECTED = Name(
    "pigeonhole_model_rejected",
    GAUGE,
    ("model", "version"),
    "Workers that refuse this version for now.",
)
MODEL_LOAD_SECONDS = Name(
    "pigeonhole_model_load_seconds",
    GAUGE,
    ("model", "version"),
    "Longest time that a worker took to load and check this version.",
    max,
)
MODEL_LOADS = Name(
    "pigeonhole_model_loads_total",
    COUNTER,
    ("model", "outcome"),
    "Loads tried, by outcome: live or rejected.",
)
WORKER_STARTS = Name("pigeonhole_worker_starts_total", COUNTER, (), "Workers started.")
WORKER_READY = Name("pigeonhole_workers_ready", GAUGE, (), "Workers that are ready.")
CONNECTIONS = Name("pigeonhole_connections", GAUGE, (), "Connections open now.")
WORKERS = Name("pigeonhole_workers", GAUGE, (), "Workers alive.")
REFUSED = Name(
    "pigeonhole_series_refused",
    GAUGE,
    (),
    "Series that found no room in the shared counters; above 0, some figures are missing.",
)
CONNECTIONS_LIMIT = Name(
    "pigeonhole_connections_limit", GAUGE, (), "Connections that the workers hold open at most."
)
WAITING_LIMIT = Name(
    "pigeonhole_calls_waiting_limit",
    GAUGE,
    (),
    "Calls of heavy models that may wait in the workers.",
)
CPU = Name(
    "process_cpu_seconds_total",
    COUNTER,
    (),
    "Processor time of all processes, also of workers that have ended.",
    max,
)
MEMORY = Name(
    "process_resident_memory_bytes",
    GAUGE,
    (),
    "Memory of all processes; what they share counts once.",
)
OPEN_FDS = Name("process_open_fds", GAUGE, (), "File descriptors open in all processes.")
MAX_FDS = Name("process_max_fds", GAUGE, (), "File descriptors that they may have open.")
START_TIME = Name(
    "process_start_time_seconds", GAUGE, (), "When the service started, in seconds since 1970."
)
CORES = Name("pigeonhole_cores", GAUGE, (), "Cores that the service may use, parts of one too.")
MODELS_DISK_AVAILABLE = Name(
    "pigeonhole_models_filesystem_avail_bytes",
    GAUGE,
    (),
    "Room left on the file system of the model folder.",
)
MODELS_DISK_SIZE = Name(
    "pigeonhole_models_filesystem_size_bytes", GAUGE, (), "Size of that file system."
)
BUILD = Name("pigeonhole_build_info", GAUGE, ("version",), "The service's version; always 1.")

STORED = (
    *(
        REQUESTS,
        DURATION,
        IN_FLIGHT,
        WAITING,
        RUNS,
        RUN_SECONDS,
        QUEUE_SECONDS,
        ROWS,
        PREDICTIONS,
        UNUSUAL,
        MODEL_LIVE,
        MODEL_REJECTED,
    ),
    *(MODEL_LOAD_SECONDS, MODEL_LOADS, WORKER_STARTS, WORKER_READY),
    *(CONNECTIONS_LIMIT, WAITING_LIMIT, CPU),
)
"""Those kept in the shared map."""

READ = (MEMORY, OPEN_FDS, MAX_FDS, START_TIME, CORES, MODELS_DISK_AVAILABLE, MODELS_DISK_SIZE)
"""Those that are read when they are asked for; what can't be read has no sample."""

EXPECTED = "expected_models"
"""Where the workers tell one another which models are expected to be live; no metric."""

TIMES = "times"
"""Where the times of a version's requests are added up that only statistics tell; no metric."""

READING_S, WRITING_S, FAILED_S, LAST_MS = range(4)
"""Seconds to read and to write, of requests that got an answer; seconds of those that did not. When
the last of either ended, in milliseconds since 1970: the newest of the workers' counts."""

TIMES_WIDTH = 4

METRICS = (*STORED, *READ, CONNECTIONS, WORKERS, REFUSED, BUILD)
"""All of them."""


_Kind = tuple[str, str, int | None, int]
"""Requests that are counted together: route, model, version and code."""

_RequestSeries = tuple[int | None, int | None, int | None]
"""Where they are counted, where their seconds are, and where their model's `TIMES`."""


class _Ended(msgspec.Struct, gc=False):
    """Requests of one kind that ended: the seconds of each, and of all to read and to write."""

    seconds: list[float]
    reading_s: float
    writing_s: float


class Metrics:
    """One worker's view of the metrics: it counts into its slot.

    Args:
        counters: the worker's slot.

    Attributes:
        counters: the same.
    """

    def __init__(self, counters: WorkerCounters) -> None:
        self.counters = counters
        counters.add(self._at(WORKER_STARTS))
        self._in_flight = self._at(IN_FLIGHT)
        self._waiting = self._at(WAITING)
        self._request_series: dict[_Kind, _RequestSeries] = {}
        self._ended: deque[tuple[_Kind, float, float, float]] = deque()
        self._run_series: dict[tuple[str, int], list[int | None]] = {}
        self._row_series: dict[tuple[str, int, str | None], int | None] = {}

    def limits(self, *, connections: int, waiting: int) -> None:
        """How many connections this worker holds at most, and how many calls may wait in it."""
        self.counters.set(self._at(CONNECTIONS_LIMIT), float(connections))
        self.counters.set(self._at(WAITING_LIMIT), float(waiting))

    def in_flight(self, change: int) -> None:
        """Count requests that are being answered: 1 for one more, -1 for one fewer."""
        self.counters.add(self._in_flight, float(change))

    def waiting(self, calls: int) -> None:
        """How many calls wait for a heavy model."""
        self.counters.set(self._waiting, float(calls))

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
        """Note an answered request, for `flush`.

        Args:
            route: its name, or ``UNKNOWN_ROUTE``.
            model: empty where no live one was meant.
            version: None where no live one was meant.
            code: the status.
            seconds: that it took.
            reading_s: of these, to read its rows.
            writing_s: of these, to write its answer.
        """
        self._ended.append(((route, model, version, code), seconds, reading_s, writing_s))

    def model_ran(self, model: str, version: int, seconds: float, waited_s: float) -> None:
        """Count a run of a model.

        Args:
            model: the model's name.
            version: its version.
            seconds: that it took.
            waited_s: how long the calls that it answered had waited for it, all together.
        """
        try:
            runs, run_seconds, queue_seconds = self._run_series[model, version]
        except KeyError:
            where = (model, str(version))
            at = [self._at(name, *where) for name in (RUNS, RUN_SECONDS, QUEUE_SECONDS)]
            runs, run_seconds, queue_seconds = self._run_series[model, version] = at
        changes = [(runs, 1.0), (run_seconds, seconds)]
        if waited_s:
            changes.append((queue_seconds, waited_s))
        self.counters.add_all(changes)

    def flush(self) -> None:
        """Count the requests noted since the last time, all at once."""
        kinds: dict[_Kind, _Ended] = {}
        ended = self._ended
        while ended:
            try:
                key, seconds, reading_s, writing_s = ended.popleft()
            except IndexError:  # another thread counts that one
                break
            kind = kinds.get(key)
            if kind is None:
                kinds[key] = _Ended([seconds], reading_s, writing_s)
                continue
            kind.seconds.append(seconds)
            kind.reading_s += reading_s
            kind.writing_s += writing_s
        if not kinds:
            return
        changes: list[tuple[int | None, float]] = []
        for key, kind in kinds.items():
            total, duration, times = self._request_series.get(key) or self._made(key)
            all_seconds = sum(kind.seconds)
            changes.append((total, len(kind.seconds)))
            if duration is not None:
                buckets = [bisect_left(BUCKETS_S, seconds) for seconds in kind.seconds]
                changes += [(duration + bucket, 1.0) for bucket in buckets]  # the last one is +Inf
                changes.append((duration + len(BUCKETS_S) + 1, all_seconds))
            if times is None:
                continue
            if key[-1] < FIRST_ERROR:
                changes.append((times + READING_S, kind.reading_s))
                changes.append((times + WRITING_S, kind.writing_s))
            else:
                changes.append((times + FAILED_S, all_seconds))
            self.counters.set(times + LAST_MS, time.time() * 1000)
        self.counters.add_all(changes)

    def _made(self, kind: _Kind) -> _RequestSeries:
        """Where requests of a kind that was not met before are counted."""
        route, model, version, code = kind
        where = (route, model, "" if version is None else str(version))
        times = None
        if version is not None:
            times = self.counters.series(COUNTER, TIMES, where[1:], TIMES_WIDTH)
        series = self._at(REQUESTS, *where, str(code)), self._at(DURATION, *where), times
        self._request_series[kind] = series
        return series

    def predicted(self, observations: Sequence[Observation]) -> None:
        """Count the rows of predictions by label, and what was unusual in them."""
        counts: dict[int | None, float] = defaultdict(float)
        for seen in observations:
            model, labels = seen.model, seen.prediction.labels
            counts[self._rows_at(model, None)] += len(labels)
            if len(labels) == 1:  # counting by hand is for more
                counts[self._rows_at(model, labels[0])] += 1
            else:
                for label, rows in Tally(labels).items():
                    counts[self._rows_at(model, label)] += rows
            for warned in seen.out_of_range:
                where = (model.name, str(model.version), warned.feature)
                counts[self._at(UNUSUAL, *where)] += 1
        self.counters.add_all(list(counts.items()))

    def _rows_at(self, model: Model, label: str | None) -> int | None:
        """Where a model's rows of one label are counted; those of all where it is None."""
        key = (model.name, model.version, label)
        try:
            return self._row_series[key]
        except KeyError:
            where = (model.name, str(model.version))
            at = self._at(ROWS, *where) if label is None else self._at(PREDICTIONS, *where, label)
            self._row_series[key] = at
            return at

    def model_live(self, model: Model) -> None:
        """A version was loaded and serves now."""
        where = (model.name, str(model.version))
        self.counters.set(self._at(MODEL_LIVE, *where), 1.0)
        self.counters.set(self._at(MODEL_REJECTED, *where), 0.0)
        self.counters.set(self._at(MODEL_LOAD_SECONDS, *where), model.load_seconds)
        self.counters.add(self._at(MODEL_LOADS, model.name, "live"))

    def is_live_everywhere(self, name: str, version: int) -> bool:
        """Whether every living worker serves a version."""
        shared, where = self.counters.shared, (name, str(version))
        serving = sum(
            series.values[0]
            for series in shared.read()
            if series.metric == MODEL_LIVE.metric and series.labels == where
        )
        return serving == shared.workers_alive()

    def model_gone(self, name: str, version: int) -> None:
        """A version no longer serves."""
        self.counters.set(self._at(MODEL_LIVE, name, str(version)), 0.0)

    def model_rejected(self, name: str, version: int) -> None:
        """A version was refused."""
        self.counters.set(self._at(MODEL_REJECTED, name, str(version)), 1.0)
        self.counters.add(self._at(MODEL_LOADS, name, "rejected"))

    def rejection_over(self, name: str, version: int) -> None:
        """A refused version is gone from the disk, or another try is being made."""
        self.counters.set(self._at(MODEL_REJECTED, name, str(version)), 0.0)

    def expect_model(self, name: str) -> None:
        """Readiness asks for this model from now on, in this worker's successors too."""
        self.counters.add(self.counters.series(COUNTER, EXPECTED, [name]))

    def expected_models(self) -> set[str]:
        """The models that any worker so far expected; empty at the service's start."""
        return {name for (name,) in self.counters.labels_of(EXPECTED)}

    def ready(self, is_ready: bool) -> None:
        """Whether this worker is ready."""
        self.counters.set(self._at(WORKER_READY), float(is_ready))

    def _at(self, name: Name, *labels: str) -> int | None:
        # A histogram's cells are counters: one a bucket, one for +Inf, one for the sum.
        if name.kind == HISTOGRAM:
            return self.counters.series(COUNTER, name.metric, labels, len(BUCKETS_S) + 2)
        return self.counters.series(name.kind, name.metric, labels, detail=name.detail)


class MetricsCollector:
    """What a scrape reads: the sums over all workers (prometheus_client's Collector protocol).

    Args:
        shared: the map of all workers.
        version: the service's own version.
        read: reads the figures of this moment.
    """

    def __init__(
        self,
        shared: SharedState,
        version: str,
        read: Callable[[], Mapping[Name, float]] = dict,
    ) -> None:
        self._shared, self._version, self._read = shared, version, read

    def collect(self) -> Iterator[Metric]:
        """Every metric once, those without a series too."""
        figures = self._read()
        found: dict[str, dict[tuple[str, ...], list[tuple[float, ...]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for series in self._shared.read():
            found[series.metric][series.labels].append(series.values)
        for name in STORED:
            yield _family(name, found[name.metric])
        for name in READ:
            yield _family(name, {(): [(figures[name],)]} if name in figures else {})
        single: list[tuple[Name, tuple[str, ...], float]] = [
            (CONNECTIONS, (), self._shared.connections()),
            (WORKERS, (), self._shared.workers_alive()),
            (REFUSED, (), self._shared.refused()),
            (BUILD, (self._version,), 1),
        ]
        for name, labels, value in single:
            yield _family(name, {labels: [(float(value),)]})


def _family(name: Name, series: dict[tuple[str, ...], list[tuple[float, ...]]]) -> Metric:
    if name.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(name.metric, name.help, labels=name.labels)
        for labels, slots in sorted(series.items()):
            *cells, total_s = (sum(values) for values in zip(*slots, strict=True))
            buckets, running = [], 0.0
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), cells, strict=True):
                running += count
                buckets.append((bound, running))
            histogram.add_metric(labels, buckets, total_s)
        return histogram
    kind = CounterMetricFamily if name.kind == COUNTER else GaugeMetricFamily
    family = kind(name.metric, name.help, labels=name.labels)
    for labels, slots in sorted(series.items()):
        family.add_metric(labels, name.combine([value for (value,) in slots]))
    return family
