"""PromQL that several panels share.

The dashboards ask for what the service exposes itself, beside Prometheus's own `up` and `ALERTS`,
so that they work with any Prometheus that scrapes it. Only the objectives, lines in some panels,
are series that our rules record.

Rates are taken over an interval that Grafana fits to the scrapes and to the width of a panel.
What fails is what the alerts call so too: see `deploy/prometheus/rules/recording.yml`.
"""

from __future__ import annotations

PREDICTING = "predict|model_predict|classify|invocations|infer"
"""The routes that answer predictions, which is what the objectives are about."""

# The selection by variables. Requests without a live model have an empty model label.
SERVICE = 'job=~"$job", instance=~"$instance"'
ROUTES = f'{SERVICE}, route=~"$route"'
ANSWERS = f'{ROUTES}, model!=""'
VERSIONS = f'{SERVICE}, model=~"$model", version=~"$version"'
CALLS = f'{VERSIONS}, route=~"$route"'

BY_VERSION = "model, version"

OBJECTIVE = "1 - pigeonhole:objective_success:ratio"
SLOW = 'pigeonhole:objective_latency:seconds{model=""}'

REQUESTS = "pigeonhole_requests_total"
SECONDS = "pigeonhole_request_duration_seconds_bucket"


def sum_by(labels: str, expression: str) -> str:
    """The sum of some series, by some labels if any."""
    return f"sum by ({labels}) ({expression})" if labels else f"sum({expression})"


def each_rate(metric: str, selected: str) -> str:
    """A counter's rates."""
    return f"rate({metric}{{{selected}}}[$__rate_interval])"


def rate(metric: str, selected: str, by: str = "") -> str:
    """The sum of a counter's rates, by some labels."""
    return sum_by(by, each_rate(metric, selected))


def total(metric: str, selected: str = SERVICE, by: str = "") -> str:
    """The sum of a gauge, by some labels."""
    return sum_by(by, f"{metric}{{{selected}}}")


def failed(selected: str, by: str = "") -> str:
    """The share of requests that failed by the service's fault."""
    faults = each_rate(REQUESTS, f'{selected}, code=~"5..", code!~"503|504"')
    not_ready = each_rate(REQUESTS, f'{selected}, code="503", model=""')
    return _share_of_requests(sum_by(by, f"{faults} or {not_ready}"), selected, by)


def refused(selected: str, by: str = "") -> str:
    """The share of requests that were refused for overload, or because their time was over."""
    refusals = rate(REQUESTS, f'{selected}, code=~"503|504", model!=""', by)
    return _share_of_requests(refusals, selected, by)


def _share_of_requests(part: str, selected: str, by: str) -> str:
    # Zero if there were requests but none of these; empty without requests.
    requests = rate(REQUESTS, selected, by)
    return f"({part} or 0 * {requests}) / ({requests} > 0)"


def latency(quantile: float, selected: str, by: str = "") -> str:
    """A quantile of the seconds that requests took; nothing where there were none."""
    buckets = rate(SECONDS, selected, f"le, {by}" if by else "le")
    return f"histogram_quantile({quantile}, {buckets}) >= 0"


def begun(metric: str, selected: str, by: str) -> str:
    """How many events a counter saw of late: whole ones, the first and those after a reset too."""
    now = f"{metric}{{{selected}}}"
    before = f"({now} offset $__rate_interval <= {now})"
    return sum_by(by, f"{now} - ({before} or 0 * {now})")


def per(one: str, other: str, selected: str = VERSIONS, by: str = BY_VERSION) -> str:
    """How much of one counter comes on one of another."""
    return f"{rate(one, selected, by)} / ({rate(other, selected, by)} > 0)"


def per_row(metric: str, label: str) -> str:
    """How much of a counter that has a label more comes on a row of its model."""
    parts = rate(metric, VERSIONS, f"model, {label}")
    rows = rate("pigeonhole_rows_total", VERSIONS, "model")
    return f"{parts} / on (model) group_left () ({rows} > 0)"


def _used(one: str, limit: str) -> str:
    return f"{one}{{{SERVICE}}} / {limit}{{{SERVICE}}}"


# Used share of each limit, by instance.
CPU = (
    f"{rate('process_cpu_seconds_total', SERVICE, 'instance')}"
    f" / {total('pigeonhole_cores', by='instance')}"
)
WAITING = _used("pigeonhole_calls_waiting", "pigeonhole_calls_waiting_limit")
CONNECTIONS = _used("pigeonhole_connections", "pigeonhole_connections_limit")
FILES = _used("process_open_fds", "process_max_fds")
DISK = (
    f"1 - pigeonhole_models_filesystem_avail_bytes{{{SERVICE}}}"
    f" / (pigeonhole_models_filesystem_size_bytes{{{SERVICE}}} > 0)"
)

LIVE = f"({total('pigeonhole_model_live', by=BY_VERSION)} > 0)"
REJECTED = f"({total('pigeonhole_model_rejected', by=BY_VERSION)} > 0)"


def present(expression: str) -> str:
    """Of something that every version has: that of those which are live or refused now."""
    return f"{expression} and on ({BY_VERSION}) ({LIVE} or {REJECTED})"
