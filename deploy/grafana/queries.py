"""PromQL expressions that several panels share.

The dashboards query the service's own metrics, `up` and `ALERTS`, so they work with every Prometheus
that scrapes the service. The objectives, lines in some panels, need our recording rules.

Grafana fits the interval of rates to the scrape interval and the width of a panel. A failed request
is defined as in the alerts; see `deploy/prometheus/rules/recording.yml`.
"""

from __future__ import annotations

PREDICTING = "predict|model_predict|classify|invocations|infer"
"""Regular expression of the prediction routes, to which the objectives apply."""

# Label selectors by dashboard variables. Requests without a live model have an empty model label.
SERVICE = 'job=~"$job", instance=~"$instance"'
ROUTES = f'{SERVICE}, route=~"$route"'
WITH_MODEL = f'{ROUTES}, model!=""'
VERSIONS = f'{SERVICE}, model=~"$model", version=~"$version"'
CALLS = f'{VERSIONS}, route=~"$route"'

BY_VERSION = "model, version"

OBJECTIVE = "1 - pigeonhole:objective_success:ratio"
OBJECTIVE_LATENCY = 'pigeonhole:objective_latency:seconds{model=""}'

REQUESTS = "pigeonhole_requests_total"
DURATION = "pigeonhole_request_duration_seconds_bucket"


def sum_by(labels: str, expression: str) -> str:
    """Return the sum of an expression by labels; by none if empty."""
    return f"sum by ({labels}) ({expression})" if labels else f"sum({expression})"


def rates(metric: str, selected: str) -> str:
    """Return the rate of each series of a counter."""
    return f"rate({metric}{{{selected}}}[$__rate_interval])"


def sum_rate(metric: str, selected: str, by: str = "") -> str:
    """Return the sum of a counter's rates by labels."""
    return sum_by(by, rates(metric, selected))


def sum_of(metric: str, selected: str = SERVICE, by: str = "") -> str:
    """Return the sum of a gauge by labels."""
    return sum_by(by, f"{metric}{{{selected}}}")


def failed_share(selected: str, by: str = "") -> str:
    """Return the share of requests that failed because of the service."""
    errors = rates(REQUESTS, f'{selected}, code=~"5..", code!~"503|504"')
    not_ready = rates(REQUESTS, f'{selected}, code="503", model=""')
    return _share_of_requests(sum_by(by, f"{errors} or {not_ready}"), selected, by)


def overload_share(selected: str, by: str = "") -> str:
    """Return the share of requests rejected for overload or a passed deadline."""
    rejected = sum_rate(REQUESTS, f'{selected}, code=~"503|504", model!=""', by)
    return _share_of_requests(rejected, selected, by)


def _share_of_requests(part: str, selected: str, by: str) -> str:
    # Zero if no request belongs to the part; empty without requests.
    requests = sum_rate(REQUESTS, selected, by)
    return f"({part} or 0 * {requests}) / ({requests} > 0)"


def latency_quantile(quantile: float, selected: str, by: str = "") -> str:
    """Return a quantile of request durations in seconds; empty without requests."""
    buckets = sum_rate(DURATION, selected, f"le, {by}" if by else "le")
    return f"histogram_quantile({quantile}, {buckets}) >= 0"


def new_events(metric: str, selected: str, by: str) -> str:
    """Return how many events a counter counted in the interval.

    Unlike `increase`, it gives whole numbers and includes the first event and events after a reset.
    """
    current = f"{metric}{{{selected}}}"
    before = f"({current} offset $__rate_interval <= {current})"
    return sum_by(by, f"{current} - ({before} or 0 * {current})")


def rate_ratio(
    numerator: str, denominator: str, selected: str = VERSIONS, by: str = BY_VERSION
) -> str:
    """Return the ratio of the rates of two counters by labels."""
    return f"{sum_rate(numerator, selected, by)} / ({sum_rate(denominator, selected, by)} > 0)"


def per_row(metric: str, label: str) -> str:
    """Return a counter's rate by model and a further label, divided by the rows of the model."""
    counts = sum_rate(metric, VERSIONS, f"model, {label}")
    rows = sum_rate("pigeonhole_rows_total", VERSIONS, "model")
    return f"{counts} / on (model) group_left () ({rows} > 0)"


def _used_share(gauge: str, limit: str) -> str:
    return f"{gauge}{{{SERVICE}}} / {limit}{{{SERVICE}}}"


# The used share of each limit, by instance.
CPU = (
    f"{sum_rate('process_cpu_seconds_total', SERVICE, 'instance')}"
    f" / {sum_of('pigeonhole_cores', by='instance')}"
)
QUEUE = _used_share("pigeonhole_calls_waiting", "pigeonhole_calls_waiting_limit")
CONNECTIONS = _used_share("pigeonhole_connections", "pigeonhole_connections_limit")
FILES = _used_share("process_open_fds", "process_max_fds")
DISK = (
    f"1 - pigeonhole_models_filesystem_avail_bytes{{{SERVICE}}}"
    f" / (pigeonhole_models_filesystem_size_bytes{{{SERVICE}}} > 0)"
)

LIVE_WORKERS = f"({sum_of('pigeonhole_model_live', by=BY_VERSION)} > 0)"
REJECTING_WORKERS = f"({sum_of('pigeonhole_model_rejected', by=BY_VERSION)} > 0)"


def of_current_versions(expression: str) -> str:
    """Return the series of versions that are live or rejected now."""
    return f"{expression} and on ({BY_VERSION}) ({LIVE_WORKERS} or {REJECTING_WORKERS})"
