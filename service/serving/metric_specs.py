"""Every metric: its name, kind, labels and help.

Names have one prefix and base units. Label values come from small fixed sets: routes, live models,
classes and features. They never come from a client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .metric_store import COUNTER, GAUGE

BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds in seconds: a response of one row takes some 100 us, the slowest ones 10 s."""

HISTOGRAM = "histogram"


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
