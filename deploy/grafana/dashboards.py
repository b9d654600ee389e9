"""Two dashboards: the service as a whole, and its models by version."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import queries
from deploy.grafana.panels import (
    BLUE,
    GREEN,
    OBJECTIVE_LEGEND,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Query,
    add_sections,
    annotation,
    empty_dashboard,
    heatmap_panel,
    override,
    section,
    shades_override,
    stat_panel,
    state_timeline_panel,
    table_panel,
    threshold_override,
    time_series_panel,
    variable,
)
from deploy.grafana.queries import (
    BY_VERSION,
    CALLS,
    REQUESTS,
    ROUTES,
    SERVICE,
    VERSIONS,
    WITH_MODEL,
)

OVERVIEW_UID, MODELS_UID = "pigeonhole-overview", "pigeonhole-models"

OBJECTIVE_FAILED, OBJECTIVE_S = 0.001, 0.5
"""Limits where figures change color, as in `deploy/prometheus/rules/objectives.yml`. The lines in panels
come from the series that it records."""

NEARLY_FULL, FULL = 0.7, 0.9
"""Shares of a limit where figures change color."""

ALERTS = 'alertname=~"Pigeonhole.*"'

VERSION = "{{model}} {{version}}"


def requests_by_route(selected: str) -> timeseries.Panel:
    """Return the panel of requests per second, stacked by route."""
    return time_series_panel(
        "Requests by route",
        "Requests per second on all routes, whatever the response. Ask the callers when a "
        "route grows or falls silent.",
        "reqps",
        Query(queries.sum_rate(REQUESTS, selected, "route"), "{{route}}"),
        stacked=True,
    )


def requests_by_code(selected: str) -> timeseries.Panel:
    """Return the panel of requests per second, stacked and colored by status."""
    panel = time_series_panel(
        "Responses by status",
        "Green: answered. Orange: caused by the caller, or the client left (499). Red: "
        "caused by the service: 503 overloaded or not ready, 504 deadline passed, 500 a "
        "fault.",
        "reqps",
        Query(queries.sum_rate(REQUESTS, selected, "code"), "{{code}}"),
        stacked=True,
    )
    for codes, color in (("2..", GREEN), ("3..", BLUE), ("4..", ORANGE), ("5..", RED)):
        panel.override_by_regexp(f"/^{codes}$/", shades_override(color))
    return panel


def failures(selected: str, by: str = "", suffix: str = "") -> timeseries.Panel:
    """Return the panel of error and rejection shares, with the objective."""
    return time_series_panel(
        "Errors and rejections",
        "Shares of requests that failed because of the service, and that were rejected "
        "for overload or a passed deadline. Errors above the dashed line spend the error "
        "budget. Rejections ask for more instances.",
        "percentunit",
        Query(queries.failed_share(selected, by), f"failed{suffix}"),
        Query(queries.overload_share(selected, by), f"rejected{suffix}"),
        Query(queries.OBJECTIVE, OBJECTIVE_LEGEND),
    )


def latencies(selected: str) -> heatmap.Panel:
    """Return the latency histogram over time."""
    return heatmap_panel(
        "Latency",
        "Requests per second by latency, from the complete body to the response. Two "
        "bands are two kinds of requests; a rising band is a queue.",
        queries.sum_rate(queries.DURATION, selected, "le"),
    )


def versions_over_time(selected: str) -> statetimeline.Panel:
    """Return the panel of live and rejected versions over time."""
    live = queries.sum_of("pigeonhole_model_live", selected, BY_VERSION)
    rejected = queries.sum_of("pigeonhole_model_rejected", selected, BY_VERSION)
    return state_timeline_panel(
        "Versions",
        "Versions that the workers serve or reject. A new version reaches all workers "
        "within two seconds; a longer time means that some workers do not follow.",
        "percentunit",
        Query(f"({live} > 0) / scalar({queries.sum_of('pigeonhole_workers')})", VERSION),
        Query(f"-1 * ({rejected} > 0)", f"{VERSION} (rejected)"),
        states={
            "-1000000..-1": ("rejected", RED),
            "0..0.999999": ("in some workers", YELLOW),
            "1..1000000": ("in all workers", GREEN),
        },
    )


def loads(selected: str) -> timeseries.Panel:
    """Return the panel of loads by outcome."""
    return time_series_panel(
        "Loads by outcome",
        "Versions that workers loaded or rejected; each worker counts. Loads without a "
        "start or a publication mean that another program writes to the model folder.",
        "none",
        Query(
            queries.new_events("pigeonhole_model_loads_total", selected, "model, outcome"),
            "{{model}} {{outcome}}",
        ),
        stepped=True,
    )


def add_annotations(dashboard: build.Dashboard) -> None:
    """Mark starts, and versions that became live or were rejected, in every panel."""
    started = f"process_start_time_seconds{{{SERVICE}}} * 1000"
    dashboard.annotation(
        annotation("Starts", BLUE, started, "{{instance}} started").use_value_for_time(True)
    )
    for metric, name, color, became in (
        ("pigeonhole_model_live", "Versions live", GREEN, "is live"),
        ("pigeonhole_model_rejected", "Versions rejected", RED, "is rejected"),
    ):
        now = queries.sum_of(metric, by=BY_VERSION)
        before = f"sum by ({BY_VERSION}) ({metric}{{{SERVICE}}} offset 1m)"
        dashboard.annotation(
            annotation(name, color, f"({now} > 0) unless ({before} > 0)", f"{VERSION} {became}")
        )


def add_service_variables(dashboard: build.Dashboard) -> None:
    """Add the variables of both dashboards."""
    dashboard.with_variable(variable("job", "Job", "pigeonhole_build_info"))
    dashboard.with_variable(variable("instance", "Instance", 'pigeonhole_build_info{job=~"$job"}'))


def add_route_variable(dashboard: build.Dashboard) -> None:
    """Add the variable of the prediction routes."""
    series = f'{REQUESTS}{{{SERVICE}, route=~"{queries.PREDICTING}"}}'
    dashboard.with_variable(variable("route", "Route", series, all_value=queries.PREDICTING))


def overview() -> build.Dashboard:
    """Return the dashboard of the service as a whole."""
    dashboard = empty_dashboard(
        "Pigeonhole",
        OVERVIEW_UID,
        "The service as a whole: traffic, errors, latency and saturation.",
    )
    add_service_variables(dashboard)
    add_route_variable(dashboard)
    add_annotations(dashboard)
    ready, workers = (
        queries.sum_of("pigeonhole_workers_ready"),
        queries.sum_of("pigeonhole_workers"),
    )
    add_sections(
        dashboard,
        section(
            "Now",
            4,
            stat_panel(
                "Instances",
                "Instances that Prometheus reaches, and instances that it does not reach.",
                "none",
                Query(queries.sum_of("up"), "up"),
                Query(f"sum(1 - up{{{SERVICE}}})", "down"),
            ).override_by_name("down", threshold_override((1, RED))),
            stat_panel(
                "Workers",
                "Workers that accept requests, and living workers that do not: they are "
                "loading, or an expected model is missing.",
                "none",
                Query(ready, "ready"),
                Query(f"{workers} - {ready}", "not ready"),
            ).override_by_name("not ready", threshold_override((1, ORANGE))),
            stat_panel(
                "Requests",
                "Prediction requests per second, whatever the response.",
                "reqps",
                Query(queries.sum_rate(REQUESTS, ROUTES), "requests"),
            ),
            stat_panel(
                "Failed",
                f"Share of requests that failed because of the service; the objective is at most {OBJECTIVE_FAILED:.1%}.",
                "percentunit",
                Query(queries.failed_share(ROUTES), "failed"),
                steps=[(OBJECTIVE_FAILED, ORANGE), (10 * OBJECTIVE_FAILED, RED)],
            ),
            stat_panel(
                "Latency, p99",
                f"99 of 100 requests took at most this long; the objective is {OBJECTIVE_S} s.",
                "s",
                Query(queries.latency_quantile(0.99, WITH_MODEL), "p99"),
                steps=[(OBJECTIVE_S, RED)],
            ),
            stat_panel(
                "Rows",
                "Predicted rows per second.",
                "rowsps",
                Query(queries.sum_rate("pigeonhole_rows_total", SERVICE), "rows"),
            ),
            stat_panel(
                "CPU",
                "Used share of the granted cores. Near 100% for long, add instances or cores.",
                "percentunit",
                Query(
                    f"{queries.sum_rate('process_cpu_seconds_total', SERVICE)}"
                    f" / {queries.sum_of('pigeonhole_cores')}",
                    "used",
                ),
                steps=[(NEARLY_FULL, ORANGE), (FULL, RED)],
            ),
            stat_panel(
                "Alerts firing",
                "Firing alerts of this service; the panel Alerts lists them.",
                "none",
                Query(f'count(ALERTS{{alertstate="firing", {ALERTS}}}) or vector(0)', "firing"),
                steps=[(1, RED)],
            ),
            width=3,
        ),
        section(
            "Traffic and errors",
            8,
            requests_by_route(SERVICE),
            requests_by_code(f'{SERVICE}, route=~"$route|unknown"'),
            failures(ROUTES),
            state_timeline_panel(
                "Alerts",
                "Alerts of this service over time. docs/monitoring.md explains each and "
                "the first steps.",
                "none",
                Query(
                    f'max by (alertname) (2 * ALERTS{{alertstate="firing", {ALERTS}}} '
                    f'or ALERTS{{alertstate="pending", {ALERTS}}})',
                    "{{alertname}}",
                ),
                states={"1": ("pending", YELLOW), "2": ("firing", RED)},
            ).no_value("No alert is pending or firing."),
        ),
        section(
            "Latency",
            8,
            latencies(WITH_MODEL),
            time_series_panel(
                "Latency of all",
                "50, 90 and 99 of 100 requests took at most this long. A p99 far above "
                "the p50 means queueing, or a few large bodies.",
                "s",
                *(
                    Query(queries.latency_quantile(q, WITH_MODEL), f"p{q * 100:g}")
                    for q in (0.5, 0.9, 0.99)
                ),
                Query(queries.OBJECTIVE_LATENCY, OBJECTIVE_LEGEND),
                logarithmic=True,
            ),
            time_series_panel(
                "p99 by model",
                "99 of 100 requests of a model took at most this long. Compare each model "
                "with its own past.",
                "s",
                Query(queries.latency_quantile(0.99, WITH_MODEL, "model"), "{{model}}"),
                logarithmic=True,
            ),
            time_series_panel(
                "p99 by instance",
                "The same by instance. If all are slow, look at models and callers; if "
                "one is slow, look at its machine.",
                "s",
                Query(queries.latency_quantile(0.99, WITH_MODEL, "instance"), "{{instance}}"),
            ),
        ),
        section("Models", 8, versions_now(), width=24),
        section(
            "Saturation",
            8,
            time_series_panel(
                "Nearest to a limit",
                "Used share of each limit, in the fullest instance. When the queue is at "
                "100%, the next call gets 503.",
                "percentunit",
                Query(f"max({queries.CPU})", "CPU"),
                Query(f"max({queries.QUEUE})", "queued calls"),
                Query(f"max({queries.CONNECTIONS})", "connections"),
                Query(f"max({queries.FILES})", "open files"),
                Query(f"max({queries.DISK})", "disk of models"),
                maximum=1,
            ),
            time_series_panel(
                "CPU",
                "Used share of the granted cores. Near 100% for long, add instances or cores.",
                "percentunit",
                Query(queries.CPU, "{{instance}}"),
                maximum=1,
            ),
            time_series_panel(
                "Calls in flight and queued",
                "Calls in flight, and queued calls of heavy models. Quick calls run at "
                "once and are in neither.",
                "none",
                Query(queries.sum_of("pigeonhole_requests_in_flight"), "in flight"),
                Query(queries.sum_of("pigeonhole_calls_waiting"), "queued"),
            ),
            time_series_panel(
                "Queue time",
                "Mean queue time before a run. When it grows, calls of heavy models "
                "arrive faster than they run.",
                "s",
                Query(
                    queries.rate_ratio(
                        "pigeonhole_queue_seconds_total",
                        "pigeonhole_model_runs_total",
                        SERVICE,
                        "model",
                    ),
                    "{{model}}",
                ),
            ),
            time_series_panel(
                "Memory",
                "Memory of all processes of an instance. It levels off after all models "
                "are loaded and the largest bodies have arrived; steady growth is a "
                "problem.",
                "bytes",
                Query(f"process_resident_memory_bytes{{{SERVICE}}}", "{{instance}}"),
            ),
            time_series_panel(
                "Connections",
                "Open connections. At its limit an instance closes the longest idle ones first.",
                "none",
                Query(f"pigeonhole_connections{{{SERVICE}}}", "{{instance}}"),
            ),
        ),
        section(
            "Models and workers over time",
            8,
            versions_over_time(SERVICE),
            loads(SERVICE),
            time_series_panel(
                "Workers ready",
                "Workers that accept requests. Dips are restarts; an instance that stays "
                "low can't load its models.",
                "none",
                Query(f"pigeonhole_workers_ready{{{SERVICE}}}", "{{instance}}"),
                stepped=True,
            ),
            time_series_panel(
                "Worker starts",
                "Started workers. More than at a start or a reload means that workers "
                "die; the log says why.",
                "none",
                Query(
                    queries.new_events("pigeonhole_worker_starts_total", SERVICE, "instance"),
                    "{{instance}}",
                ),
                stepped=True,
            ),
        ),
        section(
            "Instances",
            8,
            instances_now(),
            time_series_panel(
                "Instances by release",
                "Releases of the service. Two at a time are a rolling release; two for "
                "long are a stuck release.",
                "none",
                Query(queries.sum_of("pigeonhole_build_info", by="version"), "{{version}}"),
                stacked=True,
                stepped=True,
            ),
            width=24,
        ),
    )
    return dashboard


def versions_now() -> table.Panel:
    """Return the table of live and rejected versions, with links to their models."""
    load_time = f"max by ({BY_VERSION}) (pigeonhole_model_load_seconds{{{SERVICE}}})"
    requests, rows = (
        queries.sum_rate(REQUESTS, WITH_MODEL, BY_VERSION),
        queries.sum_rate("pigeonhole_rows_total", SERVICE, BY_VERSION),
    )
    failed = queries.failed_share(WITH_MODEL, BY_VERSION)
    half, slowest = (
        queries.latency_quantile(quantile, WITH_MODEL, BY_VERSION) for quantile in (0.5, 0.99)
    )
    panel = table_panel(
        "Models and versions",
        "Every version that workers serve or reject now. Click a model to see more of it.",
        {"model": "Model", "version": "Version"},
        Column("Workers", queries.LIVE_WORKERS),
        Column("Rejecting", queries.REJECTING_WORKERS, "none", [(1, RED)]),
        Column("Load time", queries.of_current_versions(load_time), "s"),
        Column("Requests", queries.of_current_versions(requests), "reqps"),
        Column("Rows", queries.of_current_versions(rows), "rowsps"),
        Column(
            "Failed", queries.of_current_versions(failed), "percentunit", [(OBJECTIVE_FAILED, RED)]
        ),
        Column("p50", queries.of_current_versions(half), "s"),
        Column("p99", queries.of_current_versions(slowest), "s", [(OBJECTIVE_S, RED)]),
    )
    kept = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
    link = {
        "title": "More of this model",
        "url": f"/d/{MODELS_UID}?var-model=${{__value.raw}}&{kept}",
    }
    return panel.override_by_name("Model", override(links=[link]))


def instances_now() -> table.Panel:
    """Return the table of instances."""
    by = "instance"
    return table_panel(
        "Instances",
        "Every instance. Release, load and memory should be alike; look at the instance that differs.",
        {"instance": "Instance"},
        Column("Up", queries.sum_of("up", by=by)),
        Column("Age", f"time() - max by ({by}) (process_start_time_seconds{{{SERVICE}}})", "s"),
        Column("Workers ready", queries.sum_of("pigeonhole_workers_ready", by=by)),
        Column("Versions", f"count by ({by}) (pigeonhole_model_live{{{SERVICE}}} > 0)"),
        Column("Requests", queries.sum_rate(REQUESTS, ROUTES, by), "reqps"),
        Column(
            "Failed", queries.failed_share(ROUTES, by), "percentunit", [(OBJECTIVE_FAILED, RED)]
        ),
        Column("p99", queries.latency_quantile(0.99, WITH_MODEL, by), "s", [(OBJECTIVE_S, RED)]),
        Column("CPU", queries.CPU, "percentunit", [(NEARLY_FULL, ORANGE), (FULL, RED)]),
        Column("Memory", queries.sum_of("process_resident_memory_bytes", by=by), "bytes"),
        Column("Connections", queries.sum_of("pigeonhole_connections", by=by)),
    )


def models() -> build.Dashboard:
    """Return the dashboard of models by version."""
    dashboard = empty_dashboard(
        "Pigeonhole models",
        MODELS_UID,
        "Models by version: traffic, latency, predicted classes and inputs.",
    )
    add_service_variables(dashboard)
    tried = f'__name__=~"pigeonhole_model_(live|rejected)", {SERVICE}'
    dashboard.with_variable(variable("model", "Model", f"{{{tried}}}", all_value=".+"))
    of_model = f'{{{tried}, model=~"$model"}}'
    dashboard.with_variable(variable("version", "Version", of_model, all_value=".+"))
    add_route_variable(dashboard)
    add_annotations(dashboard)
    rows, unusual = "pigeonhole_rows_total", "pigeonhole_unusual_values_total"
    counted = f"increase(pigeonhole_predictions_total{{{VERSIONS}}}[$__range])"
    by_class = f"sum by ({BY_VERSION}, label) ({counted})"
    add_sections(
        dashboard,
        section(
            "Now",
            4,
            stat_panel(
                "Requests",
                "Prediction requests per second, whatever the response.",
                "reqps",
                Query(queries.sum_rate(REQUESTS, CALLS), "requests"),
            ),
            stat_panel(
                "Rows",
                "Predicted rows per second.",
                "rowsps",
                Query(queries.sum_rate(rows, VERSIONS), "rows"),
            ),
            stat_panel(
                "Failed",
                f"Share of requests that failed because of the service; the objective is at most {OBJECTIVE_FAILED:.1%}.",
                "percentunit",
                Query(queries.failed_share(CALLS), "failed"),
                steps=[(OBJECTIVE_FAILED, ORANGE), (10 * OBJECTIVE_FAILED, RED)],
            ),
            stat_panel(
                "Latency, p99",
                f"99 of 100 requests took at most this long; the objective is {OBJECTIVE_S} s.",
                "s",
                Query(queries.latency_quantile(0.99, CALLS), "p99"),
                steps=[(OBJECTIVE_S, RED)],
            ),
            stat_panel(
                "Unusual values",
                "Values outside the training range, per row. Growth means that the world "
                "has changed, or a sender changed a unit.",
                "percentunit",
                Query(
                    f"({queries.sum_rate(unusual, VERSIONS)} or 0 * {queries.sum_rate(rows, VERSIONS)})"
                    f" / ({queries.sum_rate(rows, VERSIONS)} > 0)",
                    "values a row",
                ),
                steps=[(0.05, ORANGE), (0.2, RED)],
            ),
            stat_panel(
                "Versions rejected",
                "Versions that a worker rejects now. /health/ready and the log give the reason.",
                "none",
                Query(
                    f"count(sum by ({BY_VERSION}) (pigeonhole_model_rejected{{{VERSIONS}}}) > 0)"
                    " or vector(0)",
                    "rejected",
                ),
                steps=[(1, RED)],
            ),
            width=4,
        ),
        section(
            "Traffic and errors",
            8,
            requests_by_route(VERSIONS),
            requests_by_code(CALLS),
            time_series_panel(
                "Rows by version",
                "Predicted rows per second. A new version takes over within two seconds.",
                "rowsps",
                Query(queries.sum_rate(rows, VERSIONS, BY_VERSION), VERSION),
                stacked=True,
            ),
            failures(CALLS, BY_VERSION, f" {VERSION}"),
        ),
        section(
            "Latency",
            8,
            latencies(CALLS),
            time_series_panel(
                "Latency by version",
                "50 and 99 of 100 requests took at most this long. Compare a new version "
                "with the one before.",
                "s",
                Query(queries.latency_quantile(0.5, CALLS, BY_VERSION), f"p50 {VERSION}"),
                Query(queries.latency_quantile(0.99, CALLS, BY_VERSION), f"p99 {VERSION}"),
                logarithmic=True,
            ),
            time_series_panel(
                "Run time",
                "Mean time of a run, whatever its number of calls. It grows with the rows "
                "per run, and when CPU is short.",
                "s",
                Query(
                    queries.rate_ratio(
                        "pigeonhole_model_run_seconds_total", "pigeonhole_model_runs_total"
                    ),
                    VERSION,
                ),
                logarithmic=True,
            ),
            time_series_panel(
                "Rows per run",
                "Mean number of rows per run. Calls that arrive together, or wait "
                "together, are one run.",
                "none",
                Query(queries.rate_ratio(rows, "pigeonhole_model_runs_total"), VERSION),
            ),
        ),
        section(
            "Predictions",
            9,
            time_series_panel(
                "Classes of $model",
                "Share of rows by predicted class. A drift or jump without a new version "
                "means different inputs: look at the unusual values.",
                "percentunit",
                Query(queries.per_row("pigeonhole_predictions_total", "label"), "{{label}}"),
                stacked=True,
                maximum=1,
            )
            .repeat("model")
            .max_per_row(2),
            width=24,
        ),
        section(
            "Classes and inputs",
            9,
            table_panel(
                "Classes by version",
                "Rows by predicted class in the time range. Two versions should differ as "
                "much as their reports say, and no more.",
                {"model": "Model", "label": "Class", "version": "Version"},
                Column("Rows", by_class, "short"),
                Column(
                    "Share",
                    f"{by_class} / on ({BY_VERSION}) group_left ()"
                    f" (sum by ({BY_VERSION}) ({counted}) > 0)",
                    "percentunit",
                ),
            ),
            time_series_panel(
                "Unusual values by feature",
                "Values outside the training range, per row, for the fifteen features "
                "with most. A single feature often means one sender, or a changed unit.",
                "percentunit",
                Query(f"topk(15, {queries.per_row(unusual, 'feature')})", "{{model}} {{feature}}"),
            ),
        ),
        section(
            "Versions over time",
            8,
            versions_over_time(VERSIONS),
            loads(f'{SERVICE}, model=~"$model"'),
        ),
    )
    return dashboard


def write(folder: Path) -> None:
    """Write both dashboards into a folder, each named by its identity."""
    for dashboard in (overview().build(), models().build()):
        text = json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True)
        (folder / f"{dashboard.uid}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
