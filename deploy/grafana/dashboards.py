"""Two dashboards: the service as a whole, and its models by version."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import queries as ask
from deploy.grafana.panels import (
    BLUE,
    GREEN,
    OBJECTIVE,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Query,
    changed,
    choice,
    course,
    dashboard,
    figure,
    fill,
    heat_map,
    listing,
    mark,
    section,
    shades_of,
    states,
    steps_from,
)
from deploy.grafana.queries import ANSWERS, BY_VERSION, CALLS, REQUESTS, ROUTES, SERVICE, VERSIONS

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
    return course(
        "Requests by route",
        "Requests per second on all routes, whatever the response. Ask the callers when a "
        "route grows or falls silent.",
        "reqps",
        Query(ask.rate(REQUESTS, selected, "route"), "{{route}}"),
        stacked=True,
    )


def requests_by_code(selected: str) -> timeseries.Panel:
    """Return the panel of requests per second, stacked and colored by status."""
    made = course(
        "Responses by status",
        "Green: answered. Orange: caused by the caller, or the client left (499). Red: "
        "caused by the service: 503 overloaded or not ready, 504 deadline passed, 500 a "
        "fault.",
        "reqps",
        Query(ask.rate(REQUESTS, selected, "code"), "{{code}}"),
        stacked=True,
    )
    for codes, color in (("2..", GREEN), ("3..", BLUE), ("4..", ORANGE), ("5..", RED)):
        made.override_by_regexp(f"/^{codes}$/", shades_of(color))
    return made


def failures(selected: str, by: str = "", suffix: str = "") -> timeseries.Panel:
    """Return the panel of error and rejection shares, with the objective."""
    return course(
        "Errors and rejections",
        "Shares of requests that failed because of the service, and that were rejected "
        "for overload or a passed deadline. Errors above the dashed line spend the error "
        "budget. Rejections ask for more instances.",
        "percentunit",
        Query(ask.failed(selected, by), f"failed{suffix}"),
        Query(ask.refused(selected, by), f"rejected{suffix}"),
        Query(ask.OBJECTIVE, OBJECTIVE),
    )


def latencies(selected: str) -> heatmap.Panel:
    """Return the latency histogram over time."""
    return heat_map(
        "Latency",
        "Requests per second by latency, from the complete body to the response. Two "
        "bands are two kinds of requests; a rising band is a queue.",
        ask.rate(ask.SECONDS, selected, "le"),
    )


def versions_over_time(selected: str) -> statetimeline.Panel:
    """Return the panel of live and rejected versions over time."""
    live = ask.total("pigeonhole_model_live", selected, BY_VERSION)
    rejected = ask.total("pigeonhole_model_rejected", selected, BY_VERSION)
    return states(
        "Versions",
        "Versions that the workers serve or reject. A new version reaches all workers "
        "within two seconds; a longer time means that some workers do not follow.",
        "percentunit",
        Query(f"({live} > 0) / scalar({ask.total('pigeonhole_workers')})", VERSION),
        Query(f"-1 * ({rejected} > 0)", f"{VERSION} (rejected)"),
        named={
            "-1000000..-1": ("rejected", RED),
            "0..0.999999": ("in some workers", YELLOW),
            "1..1000000": ("in all workers", GREEN),
        },
    )


def loads(selected: str) -> timeseries.Panel:
    """Return the panel of loads by outcome."""
    return course(
        "Loads by outcome",
        "Versions that workers loaded or rejected; each worker counts. Loads without a "
        "start or a publication mean that another program writes to the model folder.",
        "none",
        Query(
            ask.begun("pigeonhole_model_loads_total", selected, "model, outcome"),
            "{{model}} {{outcome}}",
        ),
        stepped=True,
    )


def add_marks(made: build.Dashboard) -> None:
    """Mark starts, and versions that became live or were rejected, in every panel."""
    started = f"process_start_time_seconds{{{SERVICE}}} * 1000"
    made.annotation(mark("Starts", BLUE, started, "{{instance}} started").use_value_for_time(True))
    for metric, name, color, became in (
        ("pigeonhole_model_live", "Versions live", GREEN, "is live"),
        ("pigeonhole_model_rejected", "Versions rejected", RED, "is rejected"),
    ):
        now = ask.total(metric, by=BY_VERSION)
        before = f"sum by ({BY_VERSION}) ({metric}{{{SERVICE}}} offset 1m)"
        made.annotation(
            mark(name, color, f"({now} > 0) unless ({before} > 0)", f"{VERSION} {became}")
        )


def add_choices(made: build.Dashboard) -> None:
    """Add the variables of both dashboards."""
    made.with_variable(choice("job", "Job", "pigeonhole_build_info"))
    made.with_variable(choice("instance", "Instance", 'pigeonhole_build_info{job=~"$job"}'))


def add_routes(made: build.Dashboard) -> None:
    """Add the variable of the prediction routes."""
    series = f'{REQUESTS}{{{SERVICE}, route=~"{ask.PREDICTING}"}}'
    made.with_variable(choice("route", "Route", series, everything=ask.PREDICTING))


def overview() -> build.Dashboard:
    """Return the dashboard of the service as a whole."""
    made = dashboard(
        "Pigeonhole",
        OVERVIEW_UID,
        "The service as a whole: traffic, errors, latency and saturation.",
    )
    add_choices(made)
    add_routes(made)
    add_marks(made)
    ready, workers = ask.total("pigeonhole_workers_ready"), ask.total("pigeonhole_workers")
    fill(
        made,
        section(
            "Now",
            4,
            figure(
                "Instances",
                "Instances that Prometheus reaches, and instances that it does not reach.",
                "none",
                Query(ask.total("up"), "up"),
                Query(f"sum(1 - up{{{SERVICE}}})", "down"),
            ).override_by_name("down", steps_from((1, RED))),
            figure(
                "Workers",
                "Workers that accept requests, and living workers that do not: they are "
                "loading, or an expected model is missing.",
                "none",
                Query(ready, "ready"),
                Query(f"{workers} - {ready}", "not ready"),
            ).override_by_name("not ready", steps_from((1, ORANGE))),
            figure(
                "Requests",
                "Prediction requests per second, whatever the response.",
                "reqps",
                Query(ask.rate(REQUESTS, ROUTES), "requests"),
            ),
            figure(
                "Failed",
                f"Share of requests that failed because of the service; the objective is at most {OBJECTIVE_FAILED:.1%}.",
                "percentunit",
                Query(ask.failed(ROUTES), "failed"),
                steps=[(OBJECTIVE_FAILED, ORANGE), (10 * OBJECTIVE_FAILED, RED)],
            ),
            figure(
                "Latency, p99",
                f"99 of 100 requests took at most this long; the objective is {OBJECTIVE_S} s.",
                "s",
                Query(ask.latency(0.99, ANSWERS), "p99"),
                steps=[(OBJECTIVE_S, RED)],
            ),
            figure(
                "Rows",
                "Predicted rows per second.",
                "rowsps",
                Query(ask.rate("pigeonhole_rows_total", SERVICE), "rows"),
            ),
            figure(
                "CPU",
                "Used share of the granted cores. Near 100% for long, add instances or cores.",
                "percentunit",
                Query(
                    f"{ask.rate('process_cpu_seconds_total', SERVICE)}"
                    f" / {ask.total('pigeonhole_cores')}",
                    "used",
                ),
                steps=[(NEARLY_FULL, ORANGE), (FULL, RED)],
            ),
            figure(
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
            states(
                "Alerts",
                "Alerts of this service over time. docs/monitoring.md explains each and "
                "the first steps.",
                "none",
                Query(
                    f'max by (alertname) (2 * ALERTS{{alertstate="firing", {ALERTS}}} '
                    f'or ALERTS{{alertstate="pending", {ALERTS}}})',
                    "{{alertname}}",
                ),
                named={"1": ("pending", YELLOW), "2": ("firing", RED)},
            ).no_value("No alert is pending or firing."),
        ),
        section(
            "Latency",
            8,
            latencies(ANSWERS),
            course(
                "Latency of all",
                "50, 90 and 99 of 100 requests took at most this long. A p99 far above "
                "the p50 means queueing, or a few large bodies.",
                "s",
                *(Query(ask.latency(q, ANSWERS), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)),
                Query(ask.SLOW, OBJECTIVE),
                logarithmic=True,
            ),
            course(
                "p99 by model",
                "99 of 100 requests of a model took at most this long. Compare each model "
                "with its own past.",
                "s",
                Query(ask.latency(0.99, ANSWERS, "model"), "{{model}}"),
                logarithmic=True,
            ),
            course(
                "p99 by instance",
                "The same by instance. If all are slow, look at models and callers; if "
                "one is slow, look at its machine.",
                "s",
                Query(ask.latency(0.99, ANSWERS, "instance"), "{{instance}}"),
            ),
        ),
        section("Models", 8, versions_now(), width=24),
        section(
            "Saturation",
            8,
            course(
                "Nearest to a limit",
                "Used share of each limit, in the fullest instance. When the queue is at "
                "100%, the next call gets 503.",
                "percentunit",
                Query(f"max({ask.CPU})", "CPU"),
                Query(f"max({ask.WAITING})", "queued calls"),
                Query(f"max({ask.CONNECTIONS})", "connections"),
                Query(f"max({ask.FILES})", "open files"),
                Query(f"max({ask.DISK})", "disk of models"),
                maximum=1,
            ),
            course(
                "CPU",
                "Used share of the granted cores. Near 100% for long, add instances or cores.",
                "percentunit",
                Query(ask.CPU, "{{instance}}"),
                maximum=1,
            ),
            course(
                "Calls in flight and queued",
                "Calls in flight, and queued calls of heavy models. Quick calls run at "
                "once and are in neither.",
                "none",
                Query(ask.total("pigeonhole_requests_in_flight"), "in flight"),
                Query(ask.total("pigeonhole_calls_waiting"), "queued"),
            ),
            course(
                "Queue time",
                "Mean queue time before a run. When it grows, calls of heavy models "
                "arrive faster than they run.",
                "s",
                Query(
                    ask.per(
                        "pigeonhole_queue_seconds_total",
                        "pigeonhole_model_runs_total",
                        SERVICE,
                        "model",
                    ),
                    "{{model}}",
                ),
            ),
            course(
                "Memory",
                "Memory of all processes of an instance. It levels off after all models "
                "are loaded and the largest bodies have arrived; steady growth is a "
                "problem.",
                "bytes",
                Query(f"process_resident_memory_bytes{{{SERVICE}}}", "{{instance}}"),
            ),
            course(
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
            course(
                "Workers ready",
                "Workers that accept requests. Dips are restarts; an instance that stays "
                "low can't load its models.",
                "none",
                Query(f"pigeonhole_workers_ready{{{SERVICE}}}", "{{instance}}"),
                stepped=True,
            ),
            course(
                "Worker starts",
                "Started workers. More than at a start or a reload means that workers "
                "die; the log says why.",
                "none",
                Query(
                    ask.begun("pigeonhole_worker_starts_total", SERVICE, "instance"), "{{instance}}"
                ),
                stepped=True,
            ),
        ),
        section(
            "Instances",
            8,
            instances_now(),
            course(
                "Instances by release",
                "Releases of the service. Two at a time are a rolling release; two for "
                "long are a stuck release.",
                "none",
                Query(ask.total("pigeonhole_build_info", by="version"), "{{version}}"),
                stacked=True,
                stepped=True,
            ),
            width=24,
        ),
    )
    return made


def versions_now() -> table.Panel:
    """Return the table of live and rejected versions, with links to their models."""
    load_time = f"max by ({BY_VERSION}) (pigeonhole_model_load_seconds{{{SERVICE}}})"
    requests, rows = (
        ask.rate(REQUESTS, ANSWERS, BY_VERSION),
        ask.rate("pigeonhole_rows_total", SERVICE, BY_VERSION),
    )
    failed = ask.failed(ANSWERS, BY_VERSION)
    half, slowest = (ask.latency(quantile, ANSWERS, BY_VERSION) for quantile in (0.5, 0.99))
    made = listing(
        "Models and versions",
        "Every version that workers serve or reject now. Click a model to see more of it.",
        {"model": "Model", "version": "Version"},
        Column("Workers", ask.LIVE),
        Column("Rejecting", ask.REJECTED, "none", [(1, RED)]),
        Column("Load time", ask.present(load_time), "s"),
        Column("Requests", ask.present(requests), "reqps"),
        Column("Rows", ask.present(rows), "rowsps"),
        Column("Failed", ask.present(failed), "percentunit", [(OBJECTIVE_FAILED, RED)]),
        Column("p50", ask.present(half), "s"),
        Column("p99", ask.present(slowest), "s", [(OBJECTIVE_S, RED)]),
    )
    kept = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
    link = {
        "title": "More of this model",
        "url": f"/d/{MODELS_UID}?var-model=${{__value.raw}}&{kept}",
    }
    return made.override_by_name("Model", changed(links=[link]))


def instances_now() -> table.Panel:
    """Return the table of instances."""
    by = "instance"
    return listing(
        "Instances",
        "Every instance. Release, load and memory should be alike; look at the instance that differs.",
        {"instance": "Instance"},
        Column("Up", ask.total("up", by=by)),
        Column("Age", f"time() - max by ({by}) (process_start_time_seconds{{{SERVICE}}})", "s"),
        Column("Workers ready", ask.total("pigeonhole_workers_ready", by=by)),
        Column("Versions", f"count by ({by}) (pigeonhole_model_live{{{SERVICE}}} > 0)"),
        Column("Requests", ask.rate(REQUESTS, ROUTES, by), "reqps"),
        Column("Failed", ask.failed(ROUTES, by), "percentunit", [(OBJECTIVE_FAILED, RED)]),
        Column("p99", ask.latency(0.99, ANSWERS, by), "s", [(OBJECTIVE_S, RED)]),
        Column("CPU", ask.CPU, "percentunit", [(NEARLY_FULL, ORANGE), (FULL, RED)]),
        Column("Memory", ask.total("process_resident_memory_bytes", by=by), "bytes"),
        Column("Connections", ask.total("pigeonhole_connections", by=by)),
    )


def models() -> build.Dashboard:
    """Return the dashboard of models by version."""
    made = dashboard(
        "Pigeonhole models",
        MODELS_UID,
        "Models by version: traffic, latency, predicted classes and inputs.",
    )
    add_choices(made)
    tried = f'__name__=~"pigeonhole_model_(live|rejected)", {SERVICE}'
    made.with_variable(choice("model", "Model", f"{{{tried}}}", everything=".+"))
    of_model = f'{{{tried}, model=~"$model"}}'
    made.with_variable(choice("version", "Version", of_model, everything=".+"))
    add_routes(made)
    add_marks(made)
    rows, unusual = "pigeonhole_rows_total", "pigeonhole_unusual_values_total"
    counted = f"increase(pigeonhole_predictions_total{{{VERSIONS}}}[$__range])"
    by_class = f"sum by ({BY_VERSION}, label) ({counted})"
    fill(
        made,
        section(
            "Now",
            4,
            figure(
                "Requests",
                "Prediction requests per second, whatever the response.",
                "reqps",
                Query(ask.rate(REQUESTS, CALLS), "requests"),
            ),
            figure(
                "Rows",
                "Predicted rows per second.",
                "rowsps",
                Query(ask.rate(rows, VERSIONS), "rows"),
            ),
            figure(
                "Failed",
                f"Share of requests that failed because of the service; the objective is at most {OBJECTIVE_FAILED:.1%}.",
                "percentunit",
                Query(ask.failed(CALLS), "failed"),
                steps=[(OBJECTIVE_FAILED, ORANGE), (10 * OBJECTIVE_FAILED, RED)],
            ),
            figure(
                "Latency, p99",
                f"99 of 100 requests took at most this long; the objective is {OBJECTIVE_S} s.",
                "s",
                Query(ask.latency(0.99, CALLS), "p99"),
                steps=[(OBJECTIVE_S, RED)],
            ),
            figure(
                "Unusual values",
                "Values outside the training range, per row. Growth means that the world "
                "has changed, or a sender changed a unit.",
                "percentunit",
                Query(
                    f"({ask.rate(unusual, VERSIONS)} or 0 * {ask.rate(rows, VERSIONS)})"
                    f" / ({ask.rate(rows, VERSIONS)} > 0)",
                    "values a row",
                ),
                steps=[(0.05, ORANGE), (0.2, RED)],
            ),
            figure(
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
            course(
                "Rows by version",
                "Predicted rows per second. A new version takes over within two seconds.",
                "rowsps",
                Query(ask.rate(rows, VERSIONS, BY_VERSION), VERSION),
                stacked=True,
            ),
            failures(CALLS, BY_VERSION, f" {VERSION}"),
        ),
        section(
            "Latency",
            8,
            latencies(CALLS),
            course(
                "Latency by version",
                "50 and 99 of 100 requests took at most this long. Compare a new version "
                "with the one before.",
                "s",
                Query(ask.latency(0.5, CALLS, BY_VERSION), f"p50 {VERSION}"),
                Query(ask.latency(0.99, CALLS, BY_VERSION), f"p99 {VERSION}"),
                logarithmic=True,
            ),
            course(
                "Run time",
                "Mean time of a run, whatever its number of calls. It grows with the rows "
                "per run, and when CPU is short.",
                "s",
                Query(
                    ask.per("pigeonhole_model_run_seconds_total", "pigeonhole_model_runs_total"),
                    VERSION,
                ),
                logarithmic=True,
            ),
            course(
                "Rows per run",
                "Mean number of rows per run. Calls that arrive together, or wait "
                "together, are one run.",
                "none",
                Query(ask.per(rows, "pigeonhole_model_runs_total"), VERSION),
            ),
        ),
        section(
            "Predictions",
            9,
            course(
                "Classes of $model",
                "Share of rows by predicted class. A drift or jump without a new version "
                "means different inputs: look at the unusual values.",
                "percentunit",
                Query(ask.per_row("pigeonhole_predictions_total", "label"), "{{label}}"),
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
            listing(
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
            course(
                "Unusual values by feature",
                "Values outside the training range, per row, for the fifteen features "
                "with most. A single feature often means one sender, or a changed unit.",
                "percentunit",
                Query(f"topk(15, {ask.per_row(unusual, 'feature')})", "{{model}} {{feature}}"),
            ),
        ),
        section(
            "Versions over time",
            8,
            versions_over_time(VERSIONS),
            loads(f'{SERVICE}, model=~"$model"'),
        ),
    )
    return made


def write(folder: Path) -> None:
    """Write both dashboards into a folder, each named by its identity."""
    for made in (overview().build(), models().build()):
        text = json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True)
        (folder / f"{made.uid}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
