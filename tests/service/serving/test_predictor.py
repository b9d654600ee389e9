"""Predictions of the live models, in the calling thread or in the queue."""

from __future__ import annotations

import json
import logging
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue

import numpy as np
import pytest

from pigeonhole.service.errors import (
    DeadlineExceeded,
    InvalidRows,
    ModelNotReady,
    PredictionFailed,
    Problem,
    UnknownModel,
    UnknownVersion,
)
from pigeonhole.service.model.artifact import Model
from pigeonhole.service.model.columns import Columns, Prediction
from pigeonhole.service.model.session import Session
from pigeonhole.service.model.validation import columns_from_values
from pigeonhole.service.serving.batcher import RunPool
from pigeonhole.service.serving.observation import Observation
from pigeonhole.service.serving.predictor import Predictor


def columns(*rows: tuple[float, float]) -> Columns:
    return Columns(np.array(rows, np.float64).reshape(-1, 2), np.empty((len(rows), 0), object))


def overweight(weight_kg: float, bias: float) -> float:
    """Return the small model's probability for a height of 172 cm."""
    return 1 / (1 + math.exp(-(weight_kg - 65 + bias) / 5))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def pool() -> Iterator[RunPool]:
    pool = RunPool(1, max_waiting=8, max_wait_s=10)
    yield pool
    pool.close()


@pytest.fixture
def predictor(serving, write_model, pool) -> Predictor:
    write_model(serving.folder)
    serving.refresh()
    return Predictor(serving.live, pool)


def slowed(model: Model) -> Model:
    """Return the same model with an expected time of a second per row."""
    return replace(model, run_seconds=1.0)


def test_quick_and_queued_calls_get_their_labels(predictor) -> None:
    quick = predictor.find("bodymass", "1")
    slow = slowed(quick)
    assert predictor.is_quick(quick, 1)
    assert not predictor.is_quick(slow, 1)
    rows = columns((172, 95), (172, 40))
    for model in (quick, slow):
        assert predictor.run(model, rows).prediction.labels == ["overweight", "underweight"]


def test_large_call_of_a_quick_model_is_not_quick(predictor) -> None:
    assert not predictor.is_quick(predictor.find("bodymass", "1"), 10_000_000)


def test_submitted_call_gets_its_outcome_in_a_callback(predictor) -> None:
    outcomes: SimpleQueue = SimpleQueue()
    model = slowed(predictor.find(None, None))
    cancel = predictor.submit(model, columns((172, 95)), None, outcomes.put)
    assert outcomes.get(timeout=10).prediction.labels == ["overweight"]
    assert not cancel()


def test_no_run_begins_after_its_deadline(predictor) -> None:
    quick = predictor.find(None, None)
    for model in (quick, slowed(quick)):
        with pytest.raises(DeadlineExceeded):
            predictor.run(model, columns((172, 95)), time.monotonic() - 1)
        assert predictor.run(model, columns((172, 95)), time.monotonic() + 60).prediction.labels


class WatchedSession:
    """A session that records, while it runs, which run the pool would report as stuck."""

    def __init__(self, session: Session, pool: RunPool) -> None:
        self._session, self._pool = session, pool
        self.stuck: list[tuple[str, int]] = []

    def run(self, rows: Columns) -> Prediction:
        running = self._pool.stuck(-1)
        self.stuck += [(running.model, running.version)] if running else []
        return self._session.run(rows)


def test_quick_and_queued_runs_can_be_reported_as_stuck(predictor, pool) -> None:
    model = predictor.find(None, None)
    session = WatchedSession(model.session, pool)
    quick = replace(model, session=session)
    for watched in (quick, replace(quick, run_seconds=1.0)):
        assert predictor.run(watched, columns((172, 95))).prediction.labels == ["overweight"]
    assert session.stuck == [("bodymass", 1)] * 2
    assert pool.stuck(-1) is None


def test_observation_has_the_values_out_of_range(predictor) -> None:
    model = predictor.find(None, None)
    observation = predictor.run(model, columns((172, 95), (1.72, 40)))
    assert observation.model is model
    assert [(w.row, w.feature, w.value, w.seen) for w in observation.out_of_range] == [
        (1, "height_cm", 1.72, [140, 200])
    ]


PARTS = [columns((172, 95)), columns(), columns((172, 40), (172, 95))]


@pytest.mark.parametrize("independent", [True, False])
def test_calls_run_together_get_their_own_rows(predictor, independent) -> None:
    model = replace(predictor.find(None, None), rows_are_independent=independent)
    outcomes = predictor.run_together(model, PARTS)
    labels = [outcome.prediction.labels for outcome in outcomes]
    assert labels == [["overweight"], [], ["underweight", "overweight"]]
    for part, outcome in zip(PARTS, outcomes, strict=True):
        alone = model.session.run(part)
        np.testing.assert_allclose(outcome.prediction.probabilities, alone.probabilities, rtol=1e-6)


def test_calls_run_together_get_their_own_values_out_of_range(predictor) -> None:
    model = predictor.find(None, None)
    odd = columns((172, 95), (1.72, 40))
    outcomes = predictor.run_together(model, [PARTS[0], odd, odd])
    assert [[(w.row, w.value) for w in outcome.out_of_range] for outcome in outcomes] == [
        [],
        [(1, 1.72)],
        [(1, 1.72)],
    ]


class RejectingSession:
    """A session that rejects rows with a weight of 0."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, rows: Columns) -> Prediction:
        if len(bad := np.flatnonzero(rows.numbers[:, 1] == 0)):
            raise InvalidRows([Problem(int(row), None, None, "an answer", "none") for row in bad])
        return self._session.run(rows)


def test_rejected_call_fails_no_other_call_run_with_it(predictor) -> None:
    known = predictor.find(None, None)
    model = replace(known, session=RejectingSession(known.session))
    bad = columns((172, 95), (172, 0))
    first, failed, last = predictor.run_together(model, [PARTS[0], bad, PARTS[2]])
    assert isinstance(failed, InvalidRows)
    assert [problem.row for problem in failed.problems] == [1]
    assert first.prediction.labels == ["overweight"]
    assert last.prediction.labels == ["underweight", "overweight"]


@pytest.mark.parametrize("odd", [False, True])
def test_observers_see_every_row_once(serving, predictor, pool, odd) -> None:
    observed: list[list[Observation]] = []
    predictor = Predictor(serving.live, pool, [observed.append] * 2)
    model = predictor.find(None, None)
    predictor.run(model, PARTS[2])
    parts = [*PARTS, columns((1, 95))] if odd else PARTS
    predictor.run_together(model, parts)
    predictor.notify_observers()
    predictor.notify_observers()
    assert observed == [observed[0]] * 2
    labels = [label for each in observed[0] for label in each.prediction.labels]
    expected = ["underweight", "overweight", "overweight", "underweight", "overweight"]
    assert labels == expected + ["overweight"] * odd
    assert sum(len(each.out_of_range) for each in observed[0]) == odd


def test_failing_observer_is_logged_and_stops_no_other(serving, predictor, pool, caplog) -> None:
    observed = []

    def fail(_observations) -> None:
        raise OSError("the disk is full")

    predictor = Predictor(serving.live, pool, [fail, observed.append])
    predictor.run(predictor.find(None, None), columns((172, 95)))
    with caplog.at_level(logging.ERROR):
        predictor.notify_observers()
    assert len(observed) == 1
    (record,) = caplog.records
    assert record.getMessage() == "an observer failed"
    assert "the disk is full" in caplog.text


def test_error_of_the_runtime_is_raised(predictor) -> None:
    three = Columns(np.zeros((1, 3)), np.empty((1, 0), object))
    model = predictor.find(None, None)
    for each in (model, slowed(model)):
        with pytest.raises(PredictionFailed):
            predictor.run(each, three)


def test_unknown_models_and_versions_are_not_found(serving, write_model, predictor) -> None:
    write_model(serving.folder, "bad", metadata={"pigeonhole": "99"})
    serving.refresh()
    with pytest.raises(UnknownModel):
        predictor.find("none", None)
    with pytest.raises(UnknownVersion):
        predictor.find("bodymass", "2")
    with pytest.raises(ModelNotReady):
        predictor.find("bad", None)


def test_request_during_a_swap_is_read_and_predicted_by_one_version(
    serving, write_model, pool
) -> None:
    """Versions differ in their bias; every second one has other feature names."""
    names = {1: ("height_cm", "weight_kg"), 0: ("h", "w")}

    def publish(version: int) -> None:
        height, weight = names[version % 2]
        features = [{"name": name, "kind": "number"} for name in (height, weight)]
        signature = {"features": features, "classes": ["underweight", "overweight"]}
        p = overweight(95, version)
        golden = {
            "row": {height: 172, weight: 95},
            "label": "overweight",
            "probabilities": {"underweight": 1 - p, "overweight": p},
        }
        metadata = {"signature": json.dumps(signature), "golden": json.dumps([golden])}
        write_model(serving.folder, version=version, bias=version, metadata=metadata)

    publish(1)
    serving.refresh()
    predictor = Predictor(serving.live, pool)
    done = threading.Event()
    answers: list[list[tuple[int, float]]] = [[], [], []]
    failures: list[Exception] = []

    def ask(received: list[tuple[int, float]]) -> None:
        try:
            while not done.is_set():
                model = predictor.find(None, None)
                row = dict(zip(names[model.version % 2], (172, 66), strict=True))
                rows = columns_from_values(model.signature, [row])
                prediction = predictor.run(model, rows).prediction
                received.append((model.version, float(prediction.probabilities[0, 1])))
        except Exception as error:  # noqa: BLE001 - any error fails the test
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(received,)) for received in answers]
    for thread in threads:
        thread.start()
    for version in range(2, 13):
        publish(version)
        serving.refresh(2)
        assert serving.versions() == [version]
        until(lambda version=version: failures or all(g and g[-1][0] == version for g in answers))
        shutil.rmtree(serving.folder / "bodymass" / str(version - 1))
        serving.refresh()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    for received in answers:
        versions = [version for version, _ in received]
        assert versions == sorted(versions)
        for version, probability in received:
            assert probability == pytest.approx(overweight(66, version), abs=1e-6)
