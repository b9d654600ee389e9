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
    """What the small model answers for a height of 172 cm."""
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
    serving.look()
    return Predictor(serving.live, pool)


def slowed(model: Model) -> Model:
    """The same model, said to take a second a row."""
    return replace(model, run_seconds=1.0)


def test_rows_get_their_labels_whether_quick_or_in_turn(predictor) -> None:
    quick = predictor.find("bodymass", "1")
    slow = slowed(quick)
    assert predictor.is_quick(quick, 1)
    assert not predictor.is_quick(slow, 1)
    rows = columns((172, 95), (172, 40))
    for model in (quick, slow):
        assert predictor.run(model, rows).prediction.labels == ["overweight", "underweight"]


def test_a_large_call_of_a_quick_model_is_not_quick(predictor) -> None:
    assert not predictor.is_quick(predictor.find("bodymass", "1"), 10_000_000)


def test_a_call_that_does_not_wait_is_told_what_comes_of_it(predictor) -> None:
    outcomes: SimpleQueue = SimpleQueue()
    model = slowed(predictor.find(None, None))
    give_up = predictor.submit(model, columns((172, 95)), None, outcomes.put)
    assert outcomes.get(timeout=10).prediction.labels == ["overweight"]
    assert not give_up()


def test_nothing_is_begun_after_its_deadline(predictor) -> None:
    quick = predictor.find(None, None)
    for model in (quick, slowed(quick)):
        with pytest.raises(DeadlineExceeded):
            predictor.run(model, columns((172, 95)), time.monotonic() - 1)
        assert predictor.run(model, columns((172, 95)), time.monotonic() + 60).prediction.labels


class Watched:
    """A session that looks, while it runs, which run the pool would call stuck."""

    def __init__(self, session: Session, pool: RunPool) -> None:
        self._session, self._pool = session, pool
        self.seen: list[tuple[str, int]] = []

    def run(self, rows: Columns) -> Prediction:
        running = self._pool.stuck(-1)
        self.seen += [(running.model, running.version)] if running else []
        return self._session.run(rows)


def test_runs_are_watched_by_their_models_name_whether_quick_or_in_turn(predictor, pool) -> None:
    model = predictor.find(None, None)
    session = Watched(model.session, pool)
    quick = replace(model, session=session, memo={})
    for watched in (quick, replace(quick, run_seconds=1.0, memo={})):
        assert predictor.run(watched, columns((172, 95))).prediction.labels == ["overweight"]
    assert session.seen == [("bodymass", 1)] * 2
    assert pool.stuck(-1) is None


def test_what_is_unusual_in_rows_is_told_with_them(predictor) -> None:
    model = predictor.find(None, None)
    seen = predictor.run(model, columns((172, 95), (1.72, 40)))
    assert seen.model is model
    assert [(w.row, w.feature, w.value, w.seen) for w in seen.out_of_range] == [
        (1, "height_cm", 1.72, [140, 200])
    ]


PARTS = [columns((172, 95)), columns(), columns((172, 40), (172, 95))]


@pytest.mark.parametrize("independent", [True, False])
def test_calls_that_are_run_together_get_their_own_rows(predictor, independent) -> None:
    model = replace(predictor.find(None, None), rows_are_independent=independent)
    outcomes = predictor.run_together(model, PARTS)
    labels = [seen.prediction.labels for seen in outcomes]
    assert labels == [["overweight"], [], ["underweight", "overweight"]]
    for part, seen in zip(PARTS, outcomes, strict=True):
        same = model.session.run(part)
        np.testing.assert_allclose(seen.prediction.probabilities, same.probabilities, rtol=1e-6)


def test_calls_that_are_run_together_are_warned_each_of_its_own_rows(predictor) -> None:
    model = predictor.find(None, None)
    odd = columns((172, 95), (1.72, 40))
    outcomes = predictor.run_together(model, [PARTS[0], odd, odd])
    assert [[(w.row, w.value) for w in seen.out_of_range] for seen in outcomes] == [
        [],
        [(1, 1.72)],
        [(1, 1.72)],
    ]


class Fussy:
    """A session that has no answer to somebody of no weight."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, rows: Columns) -> Prediction:
        if len(bad := np.flatnonzero(rows.numbers[:, 1] == 0)):
            raise InvalidRows([Problem(int(row), None, None, "an answer", "none") for row in bad])
        return self._session.run(rows)


def test_a_call_that_has_no_answer_takes_none_from_those_that_run_with_it(predictor) -> None:
    known = predictor.find(None, None)
    model = replace(known, session=Fussy(known.session))
    bad = columns((172, 95), (172, 0))
    first, failed, last = predictor.run_together(model, [PARTS[0], bad, PARTS[2]])
    assert isinstance(failed, InvalidRows)
    assert [problem.row for problem in failed.problems] == [1]
    assert first.prediction.labels == ["overweight"]
    assert last.prediction.labels == ["underweight", "overweight"]


@pytest.mark.parametrize("odd", [False, True])
def test_every_observer_is_told_once_of_every_row(serving, predictor, pool, odd) -> None:
    told: list[list[Observation]] = []
    predictor = Predictor(serving.live, pool, [told.append] * 2)
    model = predictor.find(None, None)
    predictor.run(model, PARTS[2])
    parts = [*PARTS, columns((1, 95))] if odd else PARTS
    predictor.run_together(model, parts)
    predictor.tell_observers()
    predictor.tell_observers()
    assert told == [told[0]] * 2
    labels = [label for seen in told[0] for label in seen.prediction.labels]
    expected = ["underweight", "overweight", "overweight", "underweight", "overweight"]
    assert labels == expected + ["overweight"] * odd
    assert sum(len(seen.out_of_range) for seen in told[0]) == odd


def test_an_observer_that_fails_is_logged_and_the_others_are_told(
    serving, predictor, pool, caplog
) -> None:
    told = []

    def fail(_seen) -> None:
        raise OSError("the disk is full")

    predictor = Predictor(serving.live, pool, [fail, told.append])
    predictor.run(predictor.find(None, None), columns((172, 95)))
    with caplog.at_level(logging.ERROR):
        predictor.tell_observers()
    assert len(told) == 1
    (record,) = caplog.records
    assert record.getMessage() == "an observer failed"
    assert "the disk is full" in caplog.text


def test_what_the_runtime_cannot_do_is_told_as_such(predictor) -> None:
    three = Columns(np.zeros((1, 3)), np.empty((1, 0), object))
    model = predictor.find(None, None)
    for each in (model, slowed(model)):
        with pytest.raises(PredictionFailed):
            predictor.run(each, three)


def test_what_cannot_be_found_is_told_as_the_live_models_tell_it(
    serving, write_model, predictor
) -> None:
    write_model(serving.folder, "bad", metadata={"pigeonhole": "99"})
    serving.look()
    with pytest.raises(UnknownModel):
        predictor.find("none", None)
    with pytest.raises(UnknownVersion):
        predictor.find("bodymass", "2")
    with pytest.raises(ModelNotReady):
        predictor.find("bad", None)


def test_requests_during_swaps_are_answered_by_one_version_by_its_own_signature(
    serving, write_model, pool
) -> None:
    """Versions differ in their bias, and in turns in the names of their features."""
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
    serving.look()
    predictor = Predictor(serving.live, pool)
    done = threading.Event()
    answers: list[list[tuple[int, float]]] = [[], [], []]
    failures: list[Exception] = []

    def ask(given: list[tuple[int, float]]) -> None:
        try:
            while not done.is_set():
                model = predictor.find(None, None)
                row = dict(zip(names[model.version % 2], (172, 66), strict=True))
                rows = columns_from_values(model.signature, [row])
                prediction = predictor.run(model, rows).prediction
                given.append((model.version, float(prediction.probabilities[0, 1])))
        except Exception as error:  # noqa: BLE001 - whatever it was, it is the test's result
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(given,)) for given in answers]
    for thread in threads:
        thread.start()
    for version in range(2, 13):
        publish(version)
        serving.look(2)
        assert serving.versions() == [version]
        until(lambda version=version: failures or all(g and g[-1][0] == version for g in answers))
        shutil.rmtree(serving.folder / "bodymass" / str(version - 1))
        serving.look()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    for given in answers:
        versions = [version for version, _ in given]
        assert versions == sorted(versions)
        for version, probability in given:
            assert probability == pytest.approx(overweight(66, version), abs=1e-6)
