"""Every metric: how a worker counts it and how a scrape reports it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.training_range import OutOfRange
from pigeonhole.service.serving.metric_specs import BUCKETS_S, METRICS
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.metrics_collector import MetricsCollector
from pigeonhole.service.serving.observation import Observation
from pigeonhole.service.serving.shared_state import METRICS as METRICS_TABLE
from pigeonhole.service.serving.shared_state import SharedState


class Version(NamedTuple):
    """The part of a model that identifies its requests."""

    name: str
    version: int


@pytest.fixture
def model(tmp_path, write_model) -> Model:
    return load_model(write_model(tmp_path), name="bodymass", version=3, threads=1, max_bytes=2**20)


def exposition(shared: SharedState) -> str:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(shared, "1.2.3"))
    return generate_latest(registry).decode("utf-8")


@pytest.mark.parametrize("used", [False, True])
def test_scrape_has_every_metric_with_its_kind_and_help(shared, used) -> None:
    if used:
        Metrics(shared.worker(0)).request_ended("predict", Version("m", 1), 200, 0.1)
    families = {f.name: f for f in text_string_to_metric_families(exposition(shared))}
    assert len(families) == len(METRICS)
    for spec in METRICS:
        family = families[spec.metric.removesuffix("_total")]
        assert (family.type, family.documentation) == (spec.kind, spec.help)


def test_names_and_help_follow_the_conventions() -> None:
    for spec in METRICS:
        # process_ is Prometheus's own prefix for metrics that every program has.
        assert spec.metric.startswith(("pigeonhole_", "process_"))
        assert spec.metric.endswith("_total") == (spec.kind == "counter")
        assert spec.help.endswith(".")
    assert len({spec.metric for spec in METRICS}) == len(METRICS)
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))


def test_requests_are_counted_by_route_model_version_and_code(shared, scrape) -> None:
    metrics = Metrics(shared.worker(0))
    for code in (200, 200, 400):
        metrics.request_ended("predict", Version("m", 1), code, 0.01)
    metrics.request_ended("predict", None, 404, 0.01)
    metrics.flush()
    samples = scrape(shared)
    total = "pigeonhole_requests_total"
    assert {key: value for key, value in samples.items() if key[0] == total} == {
        (total, "predict", "m", "1", "200"): 2,
        (total, "predict", "m", "1", "400"): 1,
        (total, "predict", "", "", "404"): 1,
    }


def test_repeated_flush_counts_each_request_once(shared, scrape) -> None:
    metrics = Metrics(shared.worker(0))
    for _ in range(2):
        metrics.request_ended("predict", Version("m", 1), 200, 0.01)
        metrics.flush()
        metrics.flush()
    assert scrape(shared)["pigeonhole_requests_total", "predict", "m", "1", "200"] == 2


def test_requests_in_flight_are_summed_over_workers(shared, scrape) -> None:
    first, second = Metrics(shared.worker(0)), Metrics(shared.worker(1))
    for metrics in (first, first, second):
        metrics.in_flight(1)
    assert scrape(shared)["pigeonhole_requests_in_flight",] == 3
    first.in_flight(-1)
    assert scrape(shared)["pigeonhole_requests_in_flight",] == 2


def test_durations_are_cumulative_buckets_with_count_and_sum(shared, scrape) -> None:
    durations = [0.0, 0.0001, 0.00011, 0.3, 10.0, 10.5, 1000.0]
    for index, seconds in enumerate(durations):
        metrics = Metrics(shared.worker(index % 2))
        metrics.request_ended("predict", Version("m", 1), 200 + index, seconds)
        metrics.flush()
    samples = scrape(shared)
    name = "pigeonhole_request_duration_seconds"
    where = ("predict", "m", "1")
    for bound in BUCKETS_S:
        expected = sum(seconds <= bound for seconds in durations)
        assert samples[(f"{name}_bucket", *where, str(bound))] == expected
    assert samples[(f"{name}_bucket", *where, "+Inf")] == 7
    assert samples[(f"{name}_count", *where)] == 7
    assert samples[(f"{name}_sum", *where)] == pytest.approx(sum(durations))


def test_model_runs_are_counted_with_run_and_queue_time(shared, scrape) -> None:
    metrics = Metrics(shared.worker(0))
    metrics.model_ran("m", 1, 0.25, 0.0)
    assert "pigeonhole_queue_seconds_total" not in {
        name for (name, *_), value in scrape(shared).items() if value
    }
    metrics.model_ran("m", 1, 0.25, 2.0)
    samples = scrape(shared)
    assert samples["pigeonhole_model_runs_total", "m", "1"] == 2
    assert samples["pigeonhole_model_run_seconds_total", "m", "1"] == 0.5
    assert samples["pigeonhole_queue_seconds_total", "m", "1"] == 2


def test_version_is_live_everywhere_when_every_living_worker_serves_it(shared, model) -> None:
    first, second = Metrics(shared.worker(0)), Metrics(shared.worker(1))
    first.model_live(model)
    assert not first.is_live_everywhere("bodymass", 3)
    second.model_live(model)
    assert first.is_live_everywhere("bodymass", 3)
    assert not first.is_live_everywhere("bodymass", 4)
    second.model_retired("bodymass", 3)
    assert not first.is_live_everywhere("bodymass", 3)
    shared.release(1)
    assert first.is_live_everywhere("bodymass", 3)


def test_rows_are_counted_by_label_and_out_of_range_feature(shared, scrape, model) -> None:
    metrics = Metrics(shared.worker(0))
    rows = Columns(np.array([[172.0, 95], [172, 40], [172, 90]]), np.empty((3, 0), object))
    out_of_range = [OutOfRange(0, "height_cm", 1, []), OutOfRange(2, "height_cm", 1, [])]
    no_rows = Columns(rows.numbers[:0], rows.categories[:0])
    metrics.predicted(
        [
            *[Observation(model, model.session.run(rows), out_of_range)] * 2,
            Observation(model, model.session.run(no_rows), []),
        ]
    )
    samples = scrape(shared)
    assert samples["pigeonhole_rows_total", "bodymass", "3"] == 6
    assert samples["pigeonhole_predictions_total", "bodymass", "3", "overweight"] == 4
    assert samples["pigeonhole_predictions_total", "bodymass", "3", "underweight"] == 2
    assert samples["pigeonhole_unusual_values_total", "bodymass", "3", "height_cm"] == 4


def test_rows_are_counted_by_the_label_after_the_threshold(
    shared, scrape, write_careful_model, tmp_path
) -> None:
    path = write_careful_model(tmp_path)
    careful = load_model(path, name="careful", version=1, threads=1, max_bytes=2**20)
    rows = Columns(np.array([[172.0, 70], [172, 95]]), np.empty((2, 0), object))
    Metrics(shared.worker(0)).predicted([Observation(careful, careful.session.run(rows), [])])
    samples = scrape(shared)
    for label in ("underweight", "overweight"):
        assert samples["pigeonhole_predictions_total", "careful", "1", label] == 1


def test_workers_that_serve_or_reject_a_version_are_counted(shared, scrape, model) -> None:
    first, second = Metrics(shared.worker(0)), Metrics(shared.worker(1))
    first.model_live(model)
    second.model_live(model)
    second.model_rejected("bodymass", 4)
    where = ("bodymass", "3")
    assert scrape(shared)[("pigeonhole_model_live", *where)] == 2
    assert scrape(shared)["pigeonhole_model_rejected", "bodymass", "4"] == 1
    second.model_retired("bodymass", 3)
    second.rejection_cleared("bodymass", 4)
    samples = scrape(shared)
    assert samples[("pigeonhole_model_live", *where)] == 1
    assert samples["pigeonhole_model_rejected", "bodymass", "4"] == 0
    assert samples["pigeonhole_model_loads_total", "bodymass", "live"] == 2
    assert samples["pigeonhole_model_loads_total", "bodymass", "rejected"] == 1
    # The maximum over the workers, not the sum.
    assert samples[("pigeonhole_model_load_seconds", *where)] == model.load_seconds


def test_workers_are_counted_as_started_alive_and_ready(shared, scrape) -> None:
    first, second = Metrics(shared.worker(0)), Metrics(shared.worker(1))
    first.ready(True)
    second.ready(True)
    first.ready(False)
    samples = scrape(shared)
    assert samples["pigeonhole_worker_starts_total",] == 2
    assert samples["pigeonhole_workers",] == 2
    assert samples["pigeonhole_workers_ready",] == 1
    shared.release(1)
    samples = scrape(shared)
    assert samples["pigeonhole_worker_starts_total",] == 2
    assert samples["pigeonhole_workers",] == 1
    assert samples["pigeonhole_workers_ready",] == 0


def test_scrape_has_the_version_of_the_service(shared, scrape) -> None:
    assert scrape(shared)["pigeonhole_build_info", "1.2.3"] == 1


@pytest.mark.parametrize("label", ['a"b', "a\\b", "a\nb", "é日", "{x}", ""])
def test_any_label_text_survives_a_scrape(shared, scrape, label) -> None:
    metrics = Metrics(shared.worker(0))
    metrics.request_ended("predict", Version(label, 1), 200, 0.1)
    metrics.flush()
    assert scrape(shared)["pigeonhole_requests_total", "predict", label, "1", "200"] == 1


def test_full_map_rejects_new_series_counts_them_and_stops_nothing(shared, scrape, model) -> None:
    metrics = Metrics(shared.worker(0))
    metrics.request_ended("predict", Version("m", 1), 200, 0.1)
    long = "x" * 10_000
    for number in range(METRICS_TABLE.key_bytes // 10_000):
        metrics.request_ended("predict", Version(f"{long}{number}", 1), 200, 0.1)
    metrics.flush()
    rejected = scrape(shared)["pigeonhole_series_refused",]
    assert rejected > 0
    metrics.request_ended("predict", Version("m", 1), 200, 0.1)
    metrics.flush()
    metrics.model_rejected(long, 1)
    samples = scrape(shared)
    assert samples["pigeonhole_requests_total", "predict", "m", "1", "200"] == 2
    assert samples["pigeonhole_series_refused",] > rejected
