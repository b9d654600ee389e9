"""Every metric by name, and how it is counted and read. One prefix, base units.

Label values come from a fixed small set - the names of routes, of the loaded models and of their
classes - and never from what a client sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from service.model.artifact import Model
from service.serving.counters import COUNTER, GAUGE, CounterMap, WorkerCounters
from service.serving.observation import Observation

BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds in seconds: a one-row answer takes some 100 us, a hopeless one 10 s."""

HISTOGRAM = "histogram"

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
BUILD = Name("pigeonhole_build_info", GAUGE, ("version",), "The service's version; always 1.")

STORED = (
    *(
        REQUESTS,
        DURATION,
        IN_FLIGHT,
        WAITING,
        ROWS,
        PREDICTIONS,
        UNUSUAL,
        MODEL_LIVE,
        MODEL_REJECTED,
    ),
    *(MODEL_LOAD_SECONDS, MODEL_LOADS, WORKER_STARTS, WORKER_READY),
)
"""Those kept in the shared map."""

EXPECTED = "expected_models"
"""Where the workers tell one another which models are expected to be live; no metric."""

METRICS = (*STORED, CONNECTIONS, WORKERS, REFUSED, BUILD)
"""All of them."""


_RequestSeries = tuple[int | None, int | None]


class Metrics:
    """One worker's view of the metrics: it counts into its slot.

    Args:
        counters: the worker's slot.
    """

    def __init__(self, counters: WorkerCounters) -> None:
        self._counters = counters
        counters.add(self._at(WORKER_STARTS))
        self._in_flight = self._at(IN_FLIGHT)
        self._waiting = self._at(WAITING)
        self._request_series: dict[tuple[str, str, int | None, int], _RequestSeries] = {}
        self._ended: deque[tuple[tuple[str, str, int | None, int], float]] = deque()
        self._row_series: dict[tuple[str, int, str | None], int | None] = {}

    def in_flight(self, change: int) -> None:
        """Count requests that are being answered: 1 for one more, -1 for one fewer."""
        self._counters.add(self._in_flight, float(change))

    def waiting(self, calls: int) -> None:
        """How many calls wait for a heavy model."""
        self._counters.set(self._waiting, float(calls))

    def request_ended(
        self, route: str, model: str, version: int | None, code: int, seconds: float
    ) -> None:
        """Note an answered request, for `settle`.

        Args:
            route: its name, or ``UNKNOWN_ROUTE``.
            model: empty where no live one was meant.
            version: None where no live one was meant.
            code: the status.
            seconds: that it took.
        """
        self._ended.append(((route, model, version, code), seconds))

    def settle(self) -> None:
        """Count the requests noted since the last time, all at once."""
        seconds_of: dict[tuple[str, str, int | None, int], list[float]] = defaultdict(list)
        ended = self._ended
        while ended:
            try:
                key, seconds = ended.popleft()
            except IndexError:  # another thread counts that one
                break
            seconds_of[key].append(seconds)
        if not seconds_of:
            return
        changes: list[tuple[int | None, float]] = []
        for key, all_seconds in seconds_of.items():
            total, duration = self._series_of(*key)
            changes.append((total, len(all_seconds)))
            if duration is not None:
                buckets = [bisect_left(BUCKETS_S, seconds) for seconds in all_seconds]
                changes += [(duration + bucket, 1.0) for bucket in buckets]  # the last one is +Inf
                changes.append((duration + len(BUCKETS_S) + 1, sum(all_seconds)))
        self._counters.add_all(changes)

    def _series_of(self, route: str, model: str, version: int | None, code: int) -> _RequestSeries:
        """Where requests of one kind are counted, and where their seconds are."""
        key = (route, model, version, code)
        try:
            return self._request_series[key]
        except KeyError:
            where = (route, model, "" if version is None else str(version))
            series = self._at(REQUESTS, *where, str(code)), self._at(DURATION, *where)
            self._request_series[key] = series
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
            for warned in seen.unusual:
                where = (model.name, str(model.version), warned.feature)
                counts[self._at(UNUSUAL, *where)] += 1
        self._counters.add_all(list(counts.items()))

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
        self._counters.set(self._at(MODEL_LIVE, *where), 1.0)
        self._counters.set(self._at(MODEL_REJECTED, *where), 0.0)
        self._counters.set(self._at(MODEL_LOAD_SECONDS, *where), model.load_seconds)
        self._counters.add(self._at(MODEL_LOADS, model.name, "live"))

    def model_gone(self, name: str, version: int) -> None:
        """A version no longer serves."""
        self._counters.set(self._at(MODEL_LIVE, name, str(version)), 0.0)

    def model_rejected(self, name: str, version: int) -> None:
        """A version was refused."""
        self._counters.set(self._at(MODEL_REJECTED, name, str(version)), 1.0)
        self._counters.add(self._at(MODEL_LOADS, name, "rejected"))

    def rejection_over(self, name: str, version: int) -> None:
        """A refused version is gone from the disk, or another try is being made."""
        self._counters.set(self._at(MODEL_REJECTED, name, str(version)), 0.0)

    def expect_model(self, name: str) -> None:
        """Readiness asks for this model from now on, in this worker's successors too."""
        self._counters.add(self._counters.series(COUNTER, EXPECTED, [name]))

    def expected_models(self) -> set[str]:
        """The models that any worker so far expected; empty at the service's start."""
        return {name for (name,) in self._counters.labels_of(EXPECTED)}

    def ready(self, is_ready: bool) -> None:
        """Whether this worker is ready."""
        self._counters.set(self._at(WORKER_READY), float(is_ready))

    def _at(self, name: Name, *labels: str) -> int | None:
        # A histogram's cells are counters: one a bucket, one for +Inf, one for the sum.
        if name.kind == HISTOGRAM:
            return self._counters.series(COUNTER, name.metric, labels, len(BUCKETS_S) + 2)
        return self._counters.series(name.kind, name.metric, labels, detail=name.detail)


class MetricsCollector:
    """What a scrape reads: the sums over all workers (prometheus_client's Collector protocol).

    Args:
        shared: the map of all workers.
        version: the service's own version.
    """

    def __init__(self, shared: CounterMap, version: str) -> None:
        self._shared, self._version = shared, version

    def collect(self) -> Iterator[Metric]:
        """Every metric once, those without a series too."""
        found: dict[str, dict[tuple[str, ...], list[tuple[float, ...]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for series in self._shared.read():
            found[series.metric][series.labels].append(series.values)
        for name in STORED:
            yield _family(name, found[name.metric])
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
