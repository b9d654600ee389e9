from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.training_range import OutOfRange
from pigeonhole.service.serving.metrics import BUCKETS_S, METRICS, Metrics, MetricsCollector
from pigeonhole.service.serving.observation import Observation
from pigeonhole.service.serving.shared_state import KEY_BYTES, SharedState


@pytest.fixture
def model(tmp_path, write_model) -> Model:
    return load_model(write_model(tmp_path), name="bodymass", version=3, threads=1, max_bytes=2**20)


def exposition(counters: SharedState) -> str:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(counters, "1.2.3"))
    return generate_latest(registry).decode("utf-8")


@pytest.mark.parametrize("used", [False, True])
def test_every_metric_is_told_with_its_kind_and_help(counters, used) -> None:
    if used:
        Metrics(counters.worker(0)).request_ended("predict", "m", "1", 200, 0.1)
    families = {f.name: f for f in text_string_to_metric_families(exposition(counters))}
    assert len(families) == len(METRICS)
    for name in METRICS:
        family = families[name.metric.removesuffix("_total")]
        assert (family.type, family.documentation) == (name.kind, name.help)


def test_names_and_helps_keep_the_conventions() -> None:
    for name in METRICS:
        # The second are Prometheus's own names for what every program has.
        assert name.metric.startswith(("pigeonhole_", "process_"))
        assert name.metric.endswith("_total") == (name.kind == "counter")
        assert name.help.endswith(".")
    assert len({name.metric for name in METRICS}) == len(METRICS)
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))


def test_requests_are_counted_by_route_model_version_and_code(counters, scrape) -> None:
    metrics = Metrics(counters.worker(0))
    for code in (200, 200, 400):
        metrics.request_ended("predict", "m", 1, code, 0.01)
    metrics.request_ended("predict", "", None, 404, 0.01)
    metrics.flush()
    figures = scrape(counters)
    total = "pigeonhole_requests_total"
    assert {key: value for key, value in figures.items() if key[0] == total} == {
        (total, "predict", "m", "1", "200"): 2,
        (total, "predict", "m", "1", "400"): 1,
        (total, "predict", "", "", "404"): 1,
    }


def test_nothing_is_counted_twice_however_often_it_is_settled(counters, scrape) -> None:
    metrics = Metrics(counters.worker(0))
    for _ in range(2):
        metrics.request_ended("predict", "m", 1, 200, 0.01)
        metrics.flush()
        metrics.flush()
    assert scrape(counters)["pigeonhole_requests_total", "predict", "m", "1", "200"] == 2


def test_requests_in_flight_are_those_of_all_workers(counters, scrape) -> None:
    first, second = Metrics(counters.worker(0)), Metrics(counters.worker(1))
    for metrics in (first, first, second):
        metrics.in_flight(1)
    assert scrape(counters)["pigeonhole_requests_in_flight",] == 3
    first.in_flight(-1)
    assert scrape(counters)["pigeonhole_requests_in_flight",] == 2


def test_durations_are_in_cumulative_buckets_with_their_count_and_sum(counters, scrape) -> None:
    durations = [0.0, 0.0001, 0.00011, 0.3, 10.0, 10.5, 1000.0]
    for index, seconds in enumerate(durations):
        metrics = Metrics(counters.worker(index % 2))
        metrics.request_ended("predict", "m", 1, 200 + index, seconds)
        metrics.flush()
    figures = scrape(counters)
    name = "pigeonhole_request_duration_seconds"
    where = ("predict", "m", "1")
    for bound in BUCKETS_S:
        expected = sum(seconds <= bound for seconds in durations)
        assert figures[(f"{name}_bucket", *where, str(bound))] == expected
    assert figures[(f"{name}_bucket", *where, "+Inf")] == 7
    assert figures[(f"{name}_count", *where)] == 7
    assert figures[(f"{name}_sum", *where)] == pytest.approx(sum(durations))


def test_runs_of_a_model_are_counted_with_their_time_and_that_of_waiting(counters, scrape) -> None:
    metrics = Metrics(counters.worker(0))
    metrics.model_ran("m", 1, 0.25, 0.0)
    assert "pigeonhole_queue_seconds_total" not in {
        name for (name, *_), value in scrape(counters).items() if value
    }
    metrics.model_ran("m", 1, 0.25, 2.0)
    figures = scrape(counters)
    assert figures["pigeonhole_model_runs_total", "m", "1"] == 2
    assert figures["pigeonhole_model_run_seconds_total", "m", "1"] == 0.5
    assert figures["pigeonhole_queue_seconds_total", "m", "1"] == 2


def test_a_version_is_live_everywhere_when_every_living_worker_serves_it(counters, model) -> None:
    first, second = Metrics(counters.worker(0)), Metrics(counters.worker(1))
    first.model_live(model)
    assert not first.is_live_everywhere("bodymass", 3)
    second.model_live(model)
    assert first.is_live_everywhere("bodymass", 3)
    assert not first.is_live_everywhere("bodymass", 4)
    second.model_gone("bodymass", 3)
    assert not first.is_live_everywhere("bodymass", 3)
    counters.release(1)
    assert first.is_live_everywhere("bodymass", 3)


def test_rows_labels_and_unusual_values_are_counted(counters, scrape, model) -> None:
    metrics = Metrics(counters.worker(0))
    rows = Columns(np.array([[172.0, 95], [172, 40], [172, 90]]), np.empty((3, 0), object))
    warned = [OutOfRange(0, "height_cm", 1, []), OutOfRange(2, "height_cm", 1, [])]
    nothing = Columns(rows.numbers[:0], rows.categories[:0])
    metrics.predicted(
        [
            *[Observation(model, model.session.run(rows), warned)] * 2,
            Observation(model, model.session.run(nothing), []),
        ]
    )
    figures = scrape(counters)
    assert figures["pigeonhole_rows_total", "bodymass", "3"] == 6
    assert figures["pigeonhole_predictions_total", "bodymass", "3", "overweight"] == 4
    assert figures["pigeonhole_predictions_total", "bodymass", "3", "underweight"] == 2
    assert figures["pigeonhole_unusual_values_total", "bodymass", "3", "height_cm"] == 4


def test_rows_are_counted_by_the_label_that_the_threshold_gave_them(
    counters, scrape, write_careful_model, tmp_path
) -> None:
    path = write_careful_model(tmp_path)
    careful = load_model(path, name="careful", version=1, threads=1, max_bytes=2**20)
    rows = Columns(np.array([[172.0, 70], [172, 95]]), np.empty((2, 0), object))
    Metrics(counters.worker(0)).predicted([Observation(careful, careful.session.run(rows), [])])
    figures = scrape(counters)
    for label in ("underweight", "overweight"):
        assert figures["pigeonhole_predictions_total", "careful", "1", label] == 1


def test_each_worker_that_serves_or_refuses_a_version_is_counted(counters, scrape, model) -> None:
    first, second = Metrics(counters.worker(0)), Metrics(counters.worker(1))
    first.model_live(model)
    second.model_live(model)
    second.model_rejected("bodymass", 4)
    where = ("bodymass", "3")
    assert scrape(counters)[("pigeonhole_model_live", *where)] == 2
    assert scrape(counters)["pigeonhole_model_rejected", "bodymass", "4"] == 1
    second.model_gone("bodymass", 3)
    second.rejection_over("bodymass", 4)
    figures = scrape(counters)
    assert figures[("pigeonhole_model_live", *where)] == 1
    assert figures["pigeonhole_model_rejected", "bodymass", "4"] == 0
    assert figures["pigeonhole_model_loads_total", "bodymass", "live"] == 2
    assert figures["pigeonhole_model_loads_total", "bodymass", "rejected"] == 1
    # The slowest of the workers, and not their sum.
    assert figures[("pigeonhole_model_load_seconds", *where)] == model.load_seconds


def test_workers_are_counted_as_started_alive_and_ready(counters, scrape) -> None:
    first, second = Metrics(counters.worker(0)), Metrics(counters.worker(1))
    first.ready(True)
    second.ready(True)
    first.ready(False)
    figures = scrape(counters)
    assert figures["pigeonhole_worker_starts_total",] == 2
    assert figures["pigeonhole_workers",] == 2
    assert figures["pigeonhole_workers_ready",] == 1
    counters.release(1)
    figures = scrape(counters)
    assert figures["pigeonhole_worker_starts_total",] == 2
    assert figures["pigeonhole_workers",] == 1
    assert figures["pigeonhole_workers_ready",] == 0


def test_the_version_of_the_service_is_told(counters, scrape) -> None:
    assert scrape(counters)["pigeonhole_build_info", "1.2.3"] == 1


@pytest.mark.parametrize("label", ['a"b', "a\\b", "a\nb", "é日", "{x}", ""])
def test_any_label_is_written_so_that_it_reads_back(counters, scrape, label) -> None:
    metrics = Metrics(counters.worker(0))
    metrics.request_ended("predict", label, 1, 200, 0.1)
    metrics.flush()
    assert scrape(counters)["pigeonhole_requests_total", "predict", label, "1", "200"] == 1


def test_a_full_map_refuses_new_series_says_so_and_stops_nothing(counters, scrape, model) -> None:
    metrics = Metrics(counters.worker(0))
    metrics.request_ended("predict", "m", 1, 200, 0.1)
    long = "x" * 10_000
    for number in range(KEY_BYTES // 10_000):
        metrics.request_ended("predict", f"{long}{number}", 1, 200, 0.1)
    metrics.flush()
    refused = scrape(counters)["pigeonhole_series_refused",]
    assert refused > 0
    metrics.request_ended("predict", "m", 1, 200, 0.1)
    metrics.flush()
    metrics.model_rejected(long, 1)
    figures = scrape(counters)
    assert figures["pigeonhole_requests_total", "predict", "m", "1", "200"] == 2
    assert figures["pigeonhole_series_refused",] > refused
