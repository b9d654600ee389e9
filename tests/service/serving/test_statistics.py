"""The work of each model version, over several workers."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pytest

from pigeonhole.service.model.artifact import load_model
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.serving.batcher import RunPool
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.predictor import Predictor
from pigeonhole.service.serving.statistics import Statistics, read_statistics


class Version(NamedTuple):
    """The part of a model that identifies its requests."""

    name: str
    version: int


@pytest.fixture
def workers(shared) -> list[Metrics]:
    return [Metrics(shared.worker(slot)) for slot in range(2)]


def test_request_without_a_model_has_no_statistics(shared, workers) -> None:
    workers[0].request_ended("infer", None, 404, 0.1)
    workers[0].flush()
    assert read_statistics(shared) == {}


def test_requests_are_summed_over_workers_and_routes_by_outcome(shared, workers) -> None:
    for metrics in workers:
        metrics.request_ended("infer", Version("m", 1), 200, 0.5, 0.125, 0.25)
        metrics.request_ended("predict", Version("m", 1), 200, 1.5, 0.25, 0.125)
        metrics.request_ended("infer", Version("m", 1), 400, 2.0, 0.0, 0.5)
        metrics.request_ended("infer", Version("m", 2), 503, 4.0)
        metrics.flush()
    found = read_statistics(shared)
    assert set(found) == {("m", 1), ("m", 2)}
    first, second = found["m", 1], found["m", 2]
    assert (first.successes, first.success_s) == (4, 4.0)
    assert (first.failures, first.failed_s) == (2, 4.0)
    assert (first.reading_s, first.writing_s) == (0.75, 0.75)
    assert (second.successes, second.success_s, second.failures) == (0, 0.0, 2)


def test_last_request_is_the_newest_of_any_worker(shared, workers) -> None:
    before = int(time.time() * 1000)
    for metrics in workers:
        metrics.request_ended("infer", Version("m", 1), 200, 0.1)
        metrics.flush()
        time.sleep(0.005)
    middle = int(time.time() * 1000)
    assert before <= read_statistics(shared)["m", 1].last_ms <= middle
    workers[0].request_ended("infer", Version("m", 1), 400, 0.1)
    workers[0].flush()
    assert middle <= read_statistics(shared)["m", 1].last_ms <= int(time.time() * 1000)


def test_runs_are_summed_with_run_and_queue_time(shared, workers) -> None:
    for metrics in workers:
        metrics.model_ran("m", 1, 0.5, 0.0)
        metrics.model_ran("m", 1, 0.25, 3.0)
    assert read_statistics(shared) == {("m", 1): Statistics(runs=4, run_s=1.5, waited_s=6.0)}


def test_work_of_an_ended_worker_counts(shared, workers) -> None:
    workers[1].request_ended("infer", Version("m", 1), 200, 0.5)
    workers[1].flush()
    workers[1].model_ran("m", 1, 0.5, 0.0)
    shared.release(1)
    done = read_statistics(shared)["m", 1]
    assert (done.successes, done.runs, done.last_ms > 0) == (1, 1, True)


@pytest.mark.parametrize("heavy", [False, True])
def test_batch_of_calls_is_one_run(shared, workers, serve, write_model, heavy) -> None:
    serving = serve()
    path = write_model(serving.folder)
    model = load_model(path, name="bodymass", version=1, threads=1, max_bytes=2**20)
    pool = RunPool(1, max_waiting=8, max_wait_s=10)
    predictor = Predictor(serving.live, pool, on_run=workers[0].model_ran)
    parts = [Columns(np.array([[172.0, 95.0]]), np.empty((1, 0), object))] * 3
    if heavy:
        batcher = predictor._batcher(model)
        assert len(batcher.outcomes(parts, [0.25, 0.5, 0.25])) == 3
    else:
        assert len(predictor.run_together(model, parts)) == 3
        predictor.run(model, parts[0])
    pool.close()
    done = read_statistics(shared)["bodymass", 1]
    assert done.runs == (1 if heavy else 2)
    assert 0 < done.run_s < 10
    assert done.waited_s == (1.0 if heavy else 0.0)


def test_failed_run_is_not_counted(shared, workers, serve, write_model) -> None:
    serving = serve()
    path = write_model(serving.folder)
    model = load_model(path, name="bodymass", version=1, threads=1, max_bytes=2**20)
    pool = RunPool(1, max_waiting=8, max_wait_s=10)
    predictor = Predictor(serving.live, pool, on_run=workers[0].model_ran)
    wrong = Columns(np.array([[172.0]]), np.empty((1, 0), object))
    (outcome,) = predictor.run_together(model, [wrong])
    assert isinstance(outcome, Exception)
    pool.close()
    assert read_statistics(shared) == {}
