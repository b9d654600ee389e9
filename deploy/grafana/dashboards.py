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
"""Where figures are coloured: `deploy/prometheus/rules/objectives.yml` says the same. Lines in the
panels are drawn from what it records."""

NEARLY_FULL, FULL = 0.7, 0.9
"""Where the share of something bounded is coloured."""

ALERTS = 'alertname=~"Pigeonhole.*"'

VERSION = "{{model}} {{version}}"


def requests_by_route(selected: str) -> timeseries.Panel:
    """Requests a second, stacked by route."""
    return course(
        "Requests by route",
        "Requests answered a second, whatever the answer, on all routes. One that grows or falls "
        "silent without a reason is worth a word with its callers.",
        "reqps",
        Query(ask.rate(REQUESTS, selected, "route"), "{{route}}"),
        stacked=True,
    )


def requests_by_code(selected: str) -> timeseries.Panel:
    """Requests a second, stacked by status, in the colours of their hundreds."""
    made = course(
        "Answers by status",
        "Green were answered. Orange is the caller's own fault, or it went away (499). Red is the "
        "service's: 503 refused for overload or not ready, 504 too late for the caller, 500 a fault.",
        "reqps",
        Query(ask.rate(REQUESTS, selected, "code"), "{{code}}"),
        stacked=True,
    )
    for codes, color in (("2..", GREEN), ("3..", BLUE), ("4..", ORANGE), ("5..", RED)):
        made.override_by_regexp(f"/^{codes}$/", shades_of(color))
    return made


def failures(selected: str, by: str = "", suffix: str = "") -> timeseries.Panel:
    """The share of failures, with the objective."""
    return course(
        "Failed and refused",
        "The share of requests that failed by the service's fault, and of those that were refused "
        "for overload or because their time was over. What fails above the dashed line uses up "
        "the error budget; what is refused asks for more instances.",
        "percentunit",
        Query(ask.failed(selected, by), f"failed{suffix}"),
        Query(ask.refused(selected, by), f"refused{suffix}"),
        Query(ask.OBJECTIVE, OBJECTIVE),
    )


def latencies(selected: str) -> heatmap.Panel:
    """The histogram over time."""
    return heat_map(
        "Latency",
        "How many requests a second took how long, from their body being there to their answer "
        "being ready. Two bands are two kinds of requests; a band that climbs is a queue.",
        ask.rate(ask.SECONDS, selected, "le"),
    )


def versions_over_time(selected: str) -> statetimeline.Panel:
    """Which version served when."""
    live = ask.total("pigeonhole_model_live", selected, BY_VERSION)
    rejected = ask.total("pigeonhole_model_rejected", selected, BY_VERSION)
    return states(
        "Versions",
        "Which versions the workers serve, and which they refuse. A new one is in some workers "
        "only for a second or two; longer means that some don't follow.",
        "percentunit",
        Query(f"({live} > 0) / scalar({ask.total('pigeonhole_workers')})", VERSION),
        Query(f"-1 * ({rejected} > 0)", f"{VERSION} (refused)"),
        named={
            "-1000000..-1": ("refused", RED),
            "0..0.999999": ("in some workers", YELLOW),
            "1..1000000": ("in all workers", GREEN),
        },
    )


def loads(selected: str) -> timeseries.Panel:
    """Models loaded or refused of late."""
    return course(
        "Loads by outcome",
        "Versions that workers loaded or refused lately; each worker counts. Loads without a "
        "start or a publication mean that something else writes into the models folder.",
        "none",
        Query(
            ask.begun("pigeonhole_model_loads_total", selected, "model, outcome"),
            "{{model}} {{outcome}}",
        ),
        stepped=True,
    )


def add_marks(made: build.Dashboard) -> None:
    """Mark in every panel when services started, and versions became live or were refused."""
    started = f"process_start_time_seconds{{{SERVICE}}} * 1000"
    made.annotation(mark("Starts", BLUE, started, "{{instance}} started").use_value_for_time(True))
    for metric, name, color, became in (
        ("pigeonhole_model_live", "Versions live", GREEN, "is live"),
        ("pigeonhole_model_rejected", "Versions refused", RED, "is refused"),
    ):
        now = ask.total(metric, by=BY_VERSION)
        before = f"sum by ({BY_VERSION}) ({metric}{{{SERVICE}}} offset 1m)"
        made.annotation(
            mark(name, color, f"({now} > 0) unless ({before} > 0)", f"{VERSION} {became}")
        )


def add_choices(made: build.Dashboard) -> None:
    """The variables of both dashboards."""
    made.with_variable(choice("job", "Job", "pigeonhole_build_info"))
    made.with_variable(choice("instance", "Instance", 'pigeonhole_build_info{job=~"$job"}'))


def add_routes(made: build.Dashboard) -> None:
    """The variable of the routes that predict."""
    series = f'{REQUESTS}{{{SERVICE}, route=~"{ask.PREDICTING}"}}'
    made.with_variable(choice("route", "Route", series, everything=ask.PREDICTING))


def overview() -> build.Dashboard:
    """The service as a whole: one instance or twenty."""
    made = dashboard(
        "Pigeonhole",
        OVERVIEW_UID,
        "The service as a whole: what is asked of it, how it answers, and how full it is.",
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
                "Instances that Prometheus reaches, and those that it does not.",
                "none",
                Query(ask.total("up"), "up"),
                Query(f"sum(1 - up{{{SERVICE}}})", "down"),
            ).override_by_name("down", steps_from((1, RED))),
            figure(
                "Workers",
                "Workers that take requests, and those that live and do not: they load, or a "
                "model that is expected is not there.",
                "none",
                Query(ready, "ready"),
                Query(f"{workers} - {ready}", "not ready"),
            ).override_by_name("not ready", steps_from((1, ORANGE))),
            figure(
                "Predictions asked for",
                "Requests for predictions answered a second, whatever the answer.",
                "reqps",
                Query(ask.rate(REQUESTS, ROUTES), "requests"),
            ),
            figure(
                "Failed",
                f"The share of them that failed by the service's fault: at most "
                f"{OBJECTIVE_FAILED:.1%} should.",
                "percentunit",
                Query(ask.failed(ROUTES), "failed"),
                steps=[(OBJECTIVE_FAILED, ORANGE), (10 * OBJECTIVE_FAILED, RED)],
            ),
            figure(
                "Latency, p99",
                f"What 99 of 100 took at most: it should be {OBJECTIVE_S} s or less.",
                "s",
                Query(ask.latency(0.99, ANSWERS), "p99"),
                steps=[(OBJECTIVE_S, RED)],
            ),
            figure(
                "Rows",
                "Rows predicted a second, over all models.",
                "rowsps",
                Query(ask.rate("pigeonhole_rows_total", SERVICE), "rows"),
            ),
            figure(
                "Processor",
                "The share of the cores granted that is used, over all instances.",
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
                "Alerts of this service that fire now. Which ones is told below.",
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
                "Alerts of this service over time. What each means and what to do about it is in "
                "docs/monitoring.md.",
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
                "What 50, 90 and 99 of 100 requests took at most. A p99 that leaves the p50 behind "
                "tells of waiting, or of a few large bodies.",
                "s",
                *(Query(ask.latency(q, ANSWERS), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)),
                Query(ask.SLOW, OBJECTIVE),
                logarithmic=True,
            ),
            course(
                "p99 by model",
                "What 99 of 100 requests of a model took at most. Compare each with its own past.",
                "s",
                Query(ask.latency(0.99, ANSWERS, "model"), "{{model}}"),
                logarithmic=True,
            ),
            course(
                "p99 by instance",
                "The same by instance. If all are slow, look at models and callers; if one is, "
                "look at its machine.",
                "s",
                Query(ask.latency(0.99, ANSWERS, "instance"), "{{instance}}"),
            ),
        ),
        section("Models", 8, versions_now(), width=24),
        section(
            "How full it is",
            8,
            course(
                "Nearest to a limit",
                "Of each bound the share in use, in the instance where it is fullest. When calls "
                "waiting are at 100%, the next one is refused with 503.",
                "percentunit",
                Query(f"max({ask.CPU})", "processor"),
                Query(f"max({ask.WAITING})", "calls waiting"),
                Query(f"max({ask.CONNECTIONS})", "connections"),
                Query(f"max({ask.FILES})", "open files"),
                Query(f"max({ask.DISK})", "disk of models"),
                maximum=1,
            ),
            course(
                "Processor",
                "The share of its cores that each instance uses. Near 100% for long asks for more "
                "instances, or cores.",
                "percentunit",
                Query(ask.CPU, "{{instance}}"),
                maximum=1,
            ),
            course(
                "Calls at work and waiting",
                "Calls being answered, and calls of heavy models that wait for their turn. Quick "
                "calls, which are made at once, are in neither.",
                "none",
                Query(ask.total("pigeonhole_requests_in_flight"), "in flight"),
                Query(ask.total("pigeonhole_calls_waiting"), "waiting"),
            ),
            course(
                "Time waited for each run",
                "How long the calls of a run had waited for it together, on the average. When it "
                "grows, calls of heavy models come faster than they can be answered.",
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
                "What all processes of an instance hold in memory. It levels off once all models "
                "are loaded and the largest bodies have come; steady growth is worth a look.",
                "bytes",
                Query(f"process_resident_memory_bytes{{{SERVICE}}}", "{{instance}}"),
            ),
            course(
                "Connections",
                "Connections open. At its bound an instance closes the longest silent ones first.",
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
                "Workers that take requests. Dips are restarts; an instance that stays low does "
                "not get its models loaded.",
                "none",
                Query(f"pigeonhole_workers_ready{{{SERVICE}}}", "{{instance}}"),
                stepped=True,
            ),
            course(
                "Worker starts",
                "Workers started lately. More than at a start or a reload means that workers die; "
                "the log says why.",
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
                "Which releases of the service run. Two at a time are a rolling release under way; "
                "two for long are one that got stuck.",
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
    """Every version that is live or refused, with a way to the dashboard of its model."""
    load_time = f"max by ({BY_VERSION}) (pigeonhole_model_load_seconds{{{SERVICE}}})"
    requests, rows = (
        ask.rate(REQUESTS, ANSWERS, BY_VERSION),
        ask.rate("pigeonhole_rows_total", SERVICE, BY_VERSION),
    )
    failed = ask.failed(ANSWERS, BY_VERSION)
    half, slowest = (ask.latency(quantile, ANSWERS, BY_VERSION) for quantile in (0.5, 0.99))
    made = listing(
        "Models and versions",
        "Every version that workers serve or refuse now. A click on a model shows more of it.",
        {"model": "Model", "version": "Version"},
        Column("Workers", ask.LIVE),
        Column("Refusing", ask.REJECTED, "none", [(1, RED)]),
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
    """Every instance in a line."""
    by = "instance"
    return listing(
        "Instances",
        "Every instance. They should be alike: the same release, the same load, the same memory. "
        "The one that differs is the one to look at.",
        {"instance": "Instance"},
        Column("Up", ask.total("up", by=by)),
        Column("Age", f"time() - max by ({by}) (process_start_time_seconds{{{SERVICE}}})", "s"),
        Column("Workers ready", ask.total("pigeonhole_workers_ready", by=by)),
        Column("Versions", f"count by ({by}) (pigeonhole_model_live{{{SERVICE}}} > 0)"),
        Column("Requests", ask.rate(REQUESTS, ROUTES, by), "reqps"),
        Column("Failed", ask.failed(ROUTES, by), "percentunit", [(OBJECTIVE_FAILED, RED)]),
        Column("p99", ask.latency(0.99, ANSWERS, by), "s", [(OBJECTIVE_S, RED)]),
        Column("Processor", ask.CPU, "percentunit", [(NEARLY_FULL, ORANGE), (FULL, RED)]),
        Column("Memory", ask.total("process_resident_memory_bytes", by=by), "bytes"),
        Column("Connections", ask.total("pigeonhole_connections", by=by)),
    )


def models() -> build.Dashboard:
    """Models by version: what is asked of them and what they say."""
    made = dashboard(
        "Pigeonhole models",
        MODELS_UID,
        "Models by version: what is asked of them, how long it takes, and what they say.",
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
                "Predictions asked for",
                "Requests for predictions of these models answered a second, whatever the answer.",
                "reqps",
                Query(ask.rate(REQUESTS, CALLS), "requests"),
            ),
            figure(
                "Rows",
                "Rows predicted a second.",
                "rowsps",
                Query(ask.rate(rows, VERSIONS), "rows"),
            ),
            figure(
                "Failed",
                f"The share of requests that failed by the service's fault: at most "
                f"{OBJECTIVE_FAILED:.1%} should.",
                "percentunit",
                Query(ask.failed(CALLS), "failed"),
                steps=[(OBJECTIVE_FAILED, ORANGE), (10 * OBJECTIVE_FAILED, RED)],
            ),
            figure(
                "Latency, p99",
                f"What 99 of 100 took at most: it should be {OBJECTIVE_S} s or less.",
                "s",
                Query(ask.latency(0.99, CALLS), "p99"),
                steps=[(OBJECTIVE_S, RED)],
            ),
            figure(
                "Unusual values",
                "Values outside what training saw, for each row. When it grows, the world has "
                "moved away from what the model learned, or a sender changed a unit.",
                "percentunit",
                Query(
                    f"({ask.rate(unusual, VERSIONS)} or 0 * {ask.rate(rows, VERSIONS)})"
                    f" / ({ask.rate(rows, VERSIONS)} > 0)",
                    "values a row",
                ),
                steps=[(0.05, ORANGE), (0.2, RED)],
            ),
            figure(
                "Versions refused",
                "Versions that a worker refuses now. Why is in /health/ready and in the log.",
                "none",
                Query(
                    f"count(sum by ({BY_VERSION}) (pigeonhole_model_rejected{{{VERSIONS}}}) > 0)"
                    " or vector(0)",
                    "refused",
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
                "Rows predicted a second. After a publication the new version takes over within "
                "two seconds.",
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
                "What 50 and 99 of 100 requests took at most. Compare a new version with the one "
                "before it.",
                "s",
                Query(ask.latency(0.5, CALLS, BY_VERSION), f"p50 {VERSION}"),
                Query(ask.latency(0.99, CALLS, BY_VERSION), f"p99 {VERSION}"),
                logarithmic=True,
            ),
            course(
                "Time of a run",
                "What a run of the model takes on the average, however many calls are joined in "
                "it. It grows with the rows of a run, and when processors are short.",
                "s",
                Query(
                    ask.per("pigeonhole_model_run_seconds_total", "pigeonhole_model_runs_total"),
                    VERSION,
                ),
                logarithmic=True,
            ),
            course(
                "Rows of a run",
                "How many rows run together on the average: those of one call, and of calls that "
                "were joined because they came, or waited, together.",
                "none",
                Query(ask.per(rows, "pigeonhole_model_runs_total"), VERSION),
            ),
        ),
        section(
            "What the models say",
            9,
            course(
                "Classes of $model",
                "The share of the rows that each class was given. A share that drifts or jumps "
                "without a new version means other inputs: see which values are unusual.",
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
                "Rows by class over the time shown. Two versions of a model should differ as much "
                "as their reports say, and no more.",
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
                "Values outside what training saw, for each row: the fifteen features that have "
                "most. One alone is often a sender, or a unit, that changed.",
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
    """Write both, each called by its identity, into a folder."""
    for made in (overview().build(), models().build()):
        text = json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True)
        (folder / f"{made.uid}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
