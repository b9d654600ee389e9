from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from pathlib import Path

from pigeonhole.service.model.per_model import PerModel


class Made:
    """A value that a weak reference can point to."""


def test_value_is_made_once_for_each_model(load, write_model, tmp_path: Path) -> None:
    first, second = (load(write_model(tmp_path, version=version)) for version in (1, 2))
    calls = []
    holder = PerModel(calls.append)
    for model in (first, second, first, second):
        holder(model)
    assert calls == [first, second]


def test_call_returns_the_value_made_for_its_model(load, write_model, tmp_path: Path) -> None:
    first, second = (load(write_model(tmp_path, version=version)) for version in (1, 2))
    holder = PerModel(lambda _model: Made())
    assert holder(first) is holder(first)
    assert holder(first) is not holder(second)


def test_holders_do_not_share_values(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    assert [PerModel(lambda _model, n=n: n)(model) for n in range(2)] == [0, 1]


def test_replaced_model_gets_a_value_of_its_own(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    seconds = PerModel(lambda model: model.run_seconds)
    assert seconds(replace(model, run_seconds=1.0)) == 1.0
    assert seconds(replace(model, run_seconds=2.0)) == 2.0


def test_threads_that_make_at_once_get_the_same_value(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    barrier = threading.Barrier(2, timeout=10)

    def make(_model: object) -> Made:
        barrier.wait()  # both threads are making
        return Made()

    holder = PerModel(make)
    values: list[Made] = []
    threads = [threading.Thread(target=lambda: values.append(holder(model))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [holder(model)] * 2


def test_failed_make_is_tried_again(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    attempts = iter([ValueError("too early"), None])

    def make(_model: object) -> str:
        if error := next(attempts):
            raise error
        return "made"

    holder = PerModel(make)
    results = []
    for _ in range(2):
        try:
            results.append(holder(model))
        except ValueError as error:
            results.append(str(error))
    assert results == ["too early", "made"]


def test_value_is_released_with_its_model(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    holder = PerModel(lambda model: (model, Made()))  # the value refers to its model
    made = weakref.ref(holder(model)[1])
    del model
    gc.collect()
    assert made() is None
    assert holder is not None
