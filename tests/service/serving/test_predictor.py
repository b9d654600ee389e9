from __future__ import annotations

import json
import logging
import math
import shutil
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from service.errors import ModelNotReady, PredictionFailed, UnknownModel, UnknownVersion
from service.model.columns import Columns
from service.model.problems import columns_from_values
from service.serving.predictor import Predictor


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


def test_rows_get_their_labels_and_what_was_unusual_in_them(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    predictor = Predictor(serving.live)
    model = predictor.find("bodymass", "1")
    prediction, unusual = predictor.predict(model, columns((172, 95), (1.72, 40)))
    assert prediction.labels == ["overweight", "overweight"]
    assert [(w.row, w.feature, w.value, w.seen) for w in unusual] == [
        (1, "height_cm", 1.72, [140, 200])
    ]


def test_every_observer_is_told_of_every_prediction(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    told: list[tuple] = []
    predictor = Predictor(serving.live, [lambda *args: told.append(args)] * 2)
    model = predictor.find(None, None)
    prediction, unusual = predictor.predict(model, columns((1, 95)))
    assert told == [(model, prediction, unusual)] * 2
    predictor.predict(model, columns())
    assert len(told) == 4


def test_an_observer_that_fails_is_logged_and_fails_nothing(serving, write_model, caplog) -> None:
    write_model(serving.folder)
    serving.look()
    told = []

    def fail(*_args) -> None:
        raise OSError("the disk is full")

    predictor = Predictor(serving.live, [fail, lambda *args: told.append(args)])
    with caplog.at_level(logging.ERROR):
        prediction, _ = predictor.predict(predictor.find(None, None), columns((172, 95)))
    assert prediction.labels == ["overweight"]
    assert len(told) == 1
    (record,) = caplog.records
    assert record.getMessage() == "an observer failed"
    assert record.model == "bodymass"
    assert "the disk is full" in caplog.text


def test_observers_are_not_told_of_what_failed(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    told = []
    predictor = Predictor(serving.live, [lambda *args: told.append(args)])
    three = Columns(np.zeros((1, 3)), np.empty((1, 0), object))
    with pytest.raises(PredictionFailed):
        predictor.predict(predictor.find(None, None), three)
    assert told == []


def test_what_cannot_be_found_is_told_as_the_live_models_tell_it(serving, write_model) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "bad", metadata={"pigeonhole": "99"})
    serving.look()
    predictor = Predictor(serving.live)
    with pytest.raises(UnknownModel):
        predictor.find("none", None)
    with pytest.raises(UnknownVersion):
        predictor.find("bodymass", "2")
    with pytest.raises(ModelNotReady):
        predictor.find("bad", None)


def test_requests_during_swaps_are_answered_by_one_version_by_its_own_signature(
    serving, write_model
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
    predictor = Predictor(serving.live)
    done = threading.Event()
    answers: list[list[tuple[int, float]]] = [[], [], []]
    failures: list[Exception] = []

    def ask(given: list[tuple[int, float]]) -> None:
        try:
            while not done.is_set():
                model = predictor.find(None, None)
                row = dict(zip(names[model.version % 2], (172, 66), strict=True))
                rows = columns_from_values(model.signature, [row])
                prediction, _ = predictor.predict(model, rows)
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
