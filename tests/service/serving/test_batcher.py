"""The pool of run threads and the batches of each model."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.errors import (
    DeadlineExceeded,
    InvalidRows,
    Overloaded,
    PigeonholeError,
    PredictionFailed,
    Problem,
)
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.columns import Columns, Prediction
from pigeonhole.service.model.validation import PROBLEM_LIMIT
from pigeonhole.service.serving.batcher import Batcher, PendingCall, Running, RunPool

PATIENCE_S = 30
"""Seconds that a test waits for an event."""


def rows(*values: float) -> Columns:
    """Return rows that identify themselves by a number, which is also their category."""
    texts = np.array([[f"{value:g}"] for value in values], dtype=object).reshape(-1, 1)
    return Columns(np.array(values, dtype=np.float64).reshape(-1, 1), texts)


def read(prediction: Prediction) -> list[float]:
    """Return which rows a prediction is of; fail if label and probability differ."""
    values = prediction.probabilities[:, 0].tolist()
    assert prediction.labels == [f"{value:g}" for value in values]
    return values


@dataclass
class EchoModel:
    """A model whose prediction of a row identifies the row.

    Attributes:
        bad: rows that it rejects.
        failing: rows on which its runtime fails.
        max_rows: the largest run that does not fail.
        runs: the rows of every run, in order.
        inputs: the columns of every run.
    """

    bad: frozenset[float] = frozenset()
    failing: frozenset[float] = frozenset()
    max_rows: float = float("inf")
    runs: list[list[float]] = field(default_factory=list)
    inputs: list[Columns] = field(default_factory=list)

    def __call__(self, columns: Columns) -> Prediction:
        values = columns.numbers[:, 0].tolist()
        self.runs.append(values)
        self.inputs.append(columns)
        if self.failing & set(values) or len(values) > self.max_rows:
            raise PredictionFailed("the runtime is on fire")
        rejected = [index for index, value in enumerate(values) if value in self.bad]
        if rejected:
            listed = rejected[:PROBLEM_LIMIT]
            raise InvalidRows([Problem(index, None, None, "x", f"{index}") for index in listed])
        return Prediction(columns.categories[:, 0].tolist(), columns.numbers.astype(np.float32))


class BlockedRun:
    """A run that blocks a thread until the test releases it.

    Args:
        pool: the pool of the thread.
        model: the model's name.
        version: its version.
    """

    def __init__(self, pool: RunPool, model: str = "blocked", version: int = 1) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        batcher = Batcher(self._run, pool, max_rows=1, model=model, version=version)
        self.call = batcher.submit(rows(0), None, lambda outcome: None)
        assert self._begun.wait(PATIENCE_S)

    def _run(self, columns: Columns) -> Prediction:
        self._begun.set()
        assert self._go_on.wait(PATIENCE_S)
        return EchoModel()(columns)

    def release(self) -> None:
        """Let the run end."""
        self._go_on.set()


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """Collects the outcomes of its calls."""

    def __init__(self) -> None:
        self._outcomes: SimpleQueue[Prediction | Exception] = SimpleQueue()
        self.on_outcome = self._outcomes.put

    def outcome(self) -> Prediction | Exception:
        """Wait for the next outcome and return it."""
        return self._outcomes.get(timeout=PATIENCE_S)

    def rows(self) -> list[float]:
        """Return the rows of the next outcome, a prediction."""
        outcome = self.outcome()
        assert isinstance(outcome, Prediction), outcome
        return read(outcome)

    @property
    def has_no_outcome(self) -> bool:
        """Whether no further outcome has arrived."""
        return self._outcomes.empty()


MakePool = Callable[..., RunPool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """Make pools, of one thread by default; close them after the test."""
    pools: list[RunPool] = []

    def make(threads: int = 1, **settings: Any) -> RunPool:
        pools.append(RunPool(threads, **{"max_waiting": 1000, "max_wait_s": 60.0} | settings))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close(PATIENCE_S)


@pytest.fixture
def pool(make_pool: MakePool) -> RunPool:
    """A pool of one thread with a long queue."""
    return make_pool()


def wait_together(pool: RunPool, batcher: Batcher, *calls: Columns) -> list[Caller]:
    """Queue calls behind a run of another model, then end that run."""
    blocked = BlockedRun(pool)
    callers = [Caller() for _ in calls]
    for caller, columns in zip(callers, calls, strict=True):
        batcher.submit(columns, None, caller.on_outcome)
    blocked.release()
    return callers


def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


# Batches


def test_call_that_finds_a_free_thread_runs_at_once_and_uncopied(pool: RunPool) -> None:
    echo = EchoModel()
    columns = rows(1, 2)
    assert read(Batcher(echo, pool, max_rows=100).run(columns)) == [1, 2]
    assert len(echo.inputs) == 1
    assert echo.inputs[0] is columns


def test_calls_that_wait_together_become_one_batch(pool: RunPool) -> None:
    echo = EchoModel()
    callers = wait_together(
        pool, Batcher(echo, pool, max_rows=100), rows(1, 2), rows(3), rows(), rows(4, 5)
    )
    assert [caller.rows() for caller in callers] == [[1, 2], [3], [], [4, 5]]
    assert echo.runs == [[1, 2, 3, 4, 5]]


def test_batched_calls_get_the_predictions_of_their_own_rows(
    tmp_path: Path, write_model, pool: RunPool
) -> None:
    path = write_model(tmp_path)
    model: Model = load_model(path, name="m", version=1, threads=1, max_bytes=2**20)
    calls = [
        Columns(np.array([[150.0 + n, 40.0 + 2 * n]]), np.empty((1, 0), object)) for n in range(32)
    ]
    batcher = Batcher(model.session.run, pool, max_rows=100)
    callers = wait_together(pool, batcher, *calls)
    for columns, caller in zip(calls, callers, strict=True):
        alone, batched = model.session.run(columns), caller.outcome()
        assert isinstance(batched, Prediction)
        assert batched.labels == alone.labels
        np.testing.assert_allclose(batched.probabilities, alone.probabilities, rtol=1e-5)


def test_batch_keeps_to_its_limit_and_to_the_order_of_calls(pool: RunPool) -> None:
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=3)
    callers = wait_together(pool, batcher, rows(1), rows(2, 3), rows(4, 5), rows(6, 7), rows(8))
    assert [caller.rows() for caller in callers] == [[1], [2, 3], [4, 5], [6, 7], [8]]
    assert echo.runs == [[1, 2, 3], [4, 5], [6, 7, 8]]


def test_call_larger_than_the_limit_runs_alone(pool: RunPool) -> None:
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=3)
    callers = wait_together(pool, batcher, rows(1), rows(2, 3, 4, 5), rows(6))
    assert [caller.rows() for caller in callers] == [[1], [2, 3, 4, 5], [6]]
    assert echo.runs == [[1], [2, 3, 4, 5], [6]]


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=40),
    threads=st.integers(1, 3),
    max_rows=st.integers(1, 20),
)
def test_callers_in_many_threads_get_their_own_rows_back(
    sizes: list[int], threads: int, max_rows: int
) -> None:
    pool = RunPool(threads, max_waiting=len(sizes), max_wait_s=60)
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=max_rows)
    received: dict[int, list[float]] = {}

    def call(number: int, size: int) -> None:
        values = [number * 10.0 + row for row in range(size)]
        received[number] = read(batcher.run(rows(*values)))

    callers = [threading.Thread(target=call, args=pair) for pair in enumerate(sizes)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE_S)
    pool.close(PATIENCE_S)
    assert received == {n: [n * 10.0 + row for row in range(s)] for n, s in enumerate(sizes)}
    assert all(len(run) <= max(max_rows, *sizes) for run in echo.runs)


@given(
    sizes=st.lists(st.integers(0, 5), min_size=2, max_size=30),
    share_bad=st.floats(0, 1),
    share_failing=st.floats(0, 0.3),
    seed=st.integers(0, 2**16),
)
def test_batched_call_has_the_outcome_that_it_would_have_alone(
    sizes: list[int], share_bad: float, share_failing: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    values = iter(range(sum(sizes)))
    calls = [rows(*(next(values) for _ in range(size))) for size in sizes]
    chance = generator.random(sum(sizes))
    bad = frozenset(np.flatnonzero(chance < share_bad).tolist())
    failing = frozenset(np.flatnonzero(chance > 1 - share_failing).tolist())
    echo = EchoModel(bad, failing)
    pool = RunPool(1, max_waiting=len(sizes), max_wait_s=60)
    callers = wait_together(pool, Batcher(echo, pool, max_rows=1000), *calls)
    for columns, caller in zip(calls, callers, strict=True):
        assert comparable(caller.outcome()) == comparable(alone_outcome(echo, columns))
    pool.close(PATIENCE_S)
    assert all(caller.has_no_outcome for caller in callers)


def alone_outcome(run: EchoModel, columns: Columns) -> Prediction | Exception:
    try:
        return EchoModel(run.bad, run.failing)(columns)
    except PigeonholeError as error:
        return error


def comparable(outcome: Prediction | Exception) -> Any:
    if isinstance(outcome, Prediction):
        return read(outcome)
    if isinstance(outcome, InvalidRows):
        return [problem.row for problem in outcome.problems]
    return type(outcome)


# Turns


def test_models_take_turns(pool: RunPool) -> None:
    order: list[str] = []
    done = [Caller() for _ in range(5)]

    def named(name: str) -> Batcher:
        def run(columns: Columns) -> Prediction:
            order.append(name)
            return EchoModel()(columns)

        return Batcher(run, pool, max_rows=1)

    busy, quiet = named("busy"), named("quiet")
    blocked = BlockedRun(pool)
    for caller in done[:4]:
        busy.submit(rows(1), None, caller.on_outcome)
    quiet.submit(rows(2), None, done[4].on_outcome)
    blocked.release()
    for caller in done:
        caller.outcome()
    assert order == ["busy", "quiet", "busy", "busy", "busy"]


def test_each_thread_runs_one_batch_at_a_time(make_pool: MakePool) -> None:
    meet = threading.Barrier(3)

    def run(columns: Columns) -> Prediction:
        meet.wait(PATIENCE_S)
        return EchoModel()(columns)

    pool = make_pool(threads=2)
    batcher = Batcher(run, pool, max_rows=1)
    callers = [Caller() for _ in range(4)]
    for caller in callers:
        batcher.submit(rows(1), None, caller.on_outcome)
    for _ in range(2):
        meet.wait(PATIENCE_S)  # needs two runs and this test at once
    assert [caller.rows() for caller in callers] == [[1]] * 4


def test_rest_of_a_queue_goes_to_the_next_free_thread(make_pool: MakePool) -> None:
    pool = make_pool(threads=2)
    first, second = BlockedRun(pool), BlockedRun(pool)
    stuck = threading.Event()

    def run(columns: Columns) -> Prediction:
        if columns.numbers[0, 0] == 1:
            stuck.wait(PATIENCE_S)
        return EchoModel()(columns)

    batcher = Batcher(run, pool, max_rows=1)
    callers = [Caller(), Caller()]
    for number, caller in enumerate(callers, start=1):
        batcher.submit(rows(number), None, caller.on_outcome)
    first.release()
    second.release()
    assert callers[1].rows() == [2]
    assert callers[0].has_no_outcome
    stuck.set()
    assert callers[0].rows() == [1]


# Limits


def test_call_beyond_the_queue_length_is_rejected_at_once(make_pool: MakePool) -> None:
    pool = make_pool(max_waiting=2)
    blocked = BlockedRun(pool)
    echo = EchoModel()
    batchers = [Batcher(echo, pool, max_rows=10) for _ in range(3)]
    callers = [Caller() for _ in batchers]
    for batcher, caller in zip(batchers[:2], callers, strict=False):
        batcher.submit(rows(1), None, caller.on_outcome)
    assert pool.waiting == 2
    with pytest.raises(Overloaded) as rejected:
        batchers[2].submit(rows(1), None, callers[2].on_outcome)
    assert rejected.value.limit == 2
    blocked.release()
    assert [caller.rows() for caller in callers[:2]] == [[1], [1]]
    assert pool.waiting == 0
    assert batchers[2].run(rows(3)).labels == ["3"]
    assert callers[2].has_no_outcome


def test_every_change_of_the_queue_length_is_reported(make_pool: MakePool) -> None:
    lengths: list[int] = []
    pool = make_pool(max_waiting=4, on_change=lengths.append)
    blocked = BlockedRun(pool)
    lengths.clear()
    batcher = Batcher(EchoModel(), pool, max_rows=10)
    callers = [Caller() for _ in range(3)]
    calls = [batcher.submit(rows(1), None, caller.on_outcome) for caller in callers]
    calls[0].cancel()
    assert lengths == [1, 2, 3, 2]
    blocked.release()
    assert [caller.rows() for caller in callers[1:]] == [[1], [1]]
    assert lengths[-1] == 0


def test_call_past_its_deadline_is_rejected_at_once(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(clock=clock)
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=10)
    for deadline in (99.0, 100.0):
        with pytest.raises(DeadlineExceeded):
            batcher.submit(rows(1), deadline, Caller().on_outcome)
    assert pool.waiting == 0
    assert read(batcher.run(rows(2), 100.001)) == [2]
    assert echo.runs == [[2]]


def test_call_whose_deadline_passes_in_the_queue_never_runs(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(clock=clock)
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=10)
    blocked = BlockedRun(pool)
    early, late, free = Caller(), Caller(), Caller()
    batcher.submit(rows(1), 101.0, early.on_outcome)
    batcher.submit(rows(2), 103.0, late.on_outcome)
    batcher.submit(rows(3), None, free.on_outcome)
    clock.now = 102.0
    blocked.release()
    assert isinstance(early.outcome(), DeadlineExceeded)
    assert late.rows() == [2]
    assert free.rows() == [3]
    assert echo.runs == [[2, 3]]


def test_call_that_has_waited_too_long_is_rejected_and_never_runs(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(clock=clock, max_wait_s=5.0, max_waiting=7)
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=10)
    blocked = BlockedRun(pool)
    old, young = Caller(), Caller()
    batcher.submit(rows(1), 1000.0, old.on_outcome)
    clock.now = 100.5
    batcher.submit(rows(2), 1000.0, young.on_outcome)
    clock.now = 105.5
    blocked.release()
    outcome = old.outcome()
    assert isinstance(outcome, Overloaded)
    assert outcome.limit == 7
    assert young.rows() == [2]
    assert echo.runs == [[2]]


def test_stuck_run_is_reported_with_its_model(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(threads=2, clock=clock)
    assert pool.stuck(0) is None
    first = BlockedRun(pool, "first", 1)
    clock.now = 103.0
    second = BlockedRun(pool, "second", 2)
    clock.now = 104.0
    assert pool.stuck(3) == (100.0, "first", 1)
    assert pool.stuck(4) is None
    first.release()
    until(lambda: pool.stuck(0) == (103.0, "second", 2))
    second.release()
    until(lambda: pool.stuck(0) is None)


def test_run_in_the_callers_own_thread_can_be_reported_as_stuck(pool: RunPool) -> None:
    stuck: list[Running | None] = []

    def run(columns: Columns) -> Prediction:
        stuck.append(pool.stuck(-1))
        return EchoModel()(columns)

    pool.run(run, rows(1), "mine", 3)
    assert [(found.model, found.version) for found in stuck if found] == [("mine", 3)]
    assert pool.stuck(-1) is None


# Failures


def test_rejected_rows_fail_only_their_own_calls_with_own_row_numbers(
    pool: RunPool,
) -> None:
    echo = EchoModel(bad=frozenset({3.0, 6.0, 7.0}))
    batcher = Batcher(echo, pool, max_rows=100)
    good, bad, empty, worse, last = wait_together(
        pool, batcher, rows(1), rows(2, 3), rows(), rows(5, 6, 7), rows(8)
    )
    assert good.rows() == [1]
    assert comparable(bad.outcome()) == [1]
    assert empty.rows() == []
    assert comparable(worse.outcome()) == [1, 2]
    assert last.rows() == [8]
    assert echo.runs == [[1, 2, 3, 5, 6, 7, 8], [1, 8]]


def test_more_rejected_rows_than_are_listed_fail_only_their_own_calls(
    pool: RunPool,
) -> None:
    bad = [float(value) for value in range(100, 100 + PROBLEM_LIMIT + 10)]
    echo = EchoModel(bad=frozenset(bad))
    batcher = Batcher(echo, pool, max_rows=100)
    halves = bad[: len(bad) // 2], bad[len(bad) // 2 :]
    first, good, second = wait_together(
        pool, batcher, rows(*halves[0]), rows(1, 2), rows(*halves[1])
    )
    assert comparable(first.outcome()) == list(range(len(halves[0])))
    assert good.rows() == [1, 2]
    assert comparable(second.outcome()) == list(range(len(halves[1])))


def test_failed_batch_fails_only_the_call_at_fault(
    pool: RunPool, caplog: pytest.LogCaptureFixture
) -> None:
    echo = EchoModel(failing=frozenset({2.0}))
    batcher = Batcher(echo, pool, max_rows=100)
    for _ in range(2):
        before, failing, after = wait_together(pool, batcher, rows(1), rows(2), rows(3, 4))
        assert before.rows() == [1]
        assert isinstance(failing.outcome(), PredictionFailed)
        assert after.rows() == [3, 4]
    assert echo.runs == [[1, 2, 3, 4], [1], [2], [3, 4]] * 2
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "the runtime is on fire" in caplog.text


def test_model_that_takes_only_single_rows_answers_all_calls(pool: RunPool) -> None:
    callers = wait_together(
        pool, Batcher(EchoModel(max_rows=1), pool, max_rows=9), rows(1), rows(2)
    )
    assert [caller.rows() for caller in callers] == [[1], [2]]


def test_rows_of_another_width_fail_only_their_own_call(pool: RunPool) -> None:
    wide = Columns(np.ones((1, 3)), np.array([["1"]], dtype=object))

    def run(columns: Columns) -> Prediction:
        if columns.numbers.shape[1] != 1:
            raise PredictionFailed("too wide")
        return EchoModel()(columns)

    first, wrong, last = wait_together(pool, Batcher(run, pool, max_rows=9), rows(1), wide, rows(2))
    assert first.rows() == [1]
    assert isinstance(wrong.outcome(), PredictionFailed)
    assert last.rows() == [2]


@pytest.mark.parametrize("error", [PredictionFailed("no"), InvalidRows([]), MemoryError("none")])
def test_waiting_caller_gets_the_exception_of_the_run(pool: RunPool, error: Exception) -> None:
    def run(columns: Columns) -> Prediction:
        raise error

    with pytest.raises(type(error)) as raised:
        Batcher(run, pool, max_rows=9).run(rows(1))
    assert raised.value is error
    assert pool.stuck(-1) is None


def test_failing_callback_stops_no_other_call(
    pool: RunPool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(outcome: Prediction | Exception) -> None:
        raise ConnectionResetError("the caller is gone")

    batcher = Batcher(EchoModel(), pool, max_rows=100)
    blocked, last = BlockedRun(pool), Caller()
    batcher.submit(rows(1), None, fail)
    batcher.submit(rows(2), None, last.on_outcome)
    blocked.release()
    assert last.rows() == [2]
    assert "the caller is gone" in caplog.text
    assert read(batcher.run(rows(3))) == [3]


def test_callback_may_submit_another_call(pool: RunPool) -> None:
    batcher = Batcher(EchoModel(), pool, max_rows=100)
    second = Caller()
    batcher.submit(rows(1), None, lambda outcome: batcher.submit(rows(2), None, second.on_outcome))
    assert second.rows() == [2]


# Cancelled calls


def test_cancelled_call_is_not_run_counted_or_reported(make_pool: MakePool) -> None:
    pool = make_pool(max_waiting=2)
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=100)
    blocked = BlockedRun(pool)
    gone, early, late = Caller(), Caller(), Caller()
    call = batcher.submit(rows(1), None, gone.on_outcome)
    batcher.submit(rows(2), None, early.on_outcome)
    assert call.cancel()
    assert pool.waiting == 1
    assert not call.cancel()
    assert pool.waiting == 1
    batcher.submit(rows(3), None, late.on_outcome)
    blocked.release()
    assert early.rows() == [2]
    assert late.rows() == [3]
    assert gone.has_no_outcome
    assert echo.runs == [[2, 3]]


def test_cancelled_calls_give_their_model_no_extra_turn(pool: RunPool) -> None:
    order: list[float] = []

    def run(columns: Columns) -> Prediction:
        order.extend(columns.numbers[:, 0])
        return EchoModel()(columns)

    fickle, steady = Batcher(run, pool, max_rows=1), Batcher(run, pool, max_rows=1)
    blocked = BlockedRun(pool)
    for _ in range(3):
        assert fickle.submit(rows(0), None, Caller().on_outcome).cancel()
    callers = [Caller() for _ in range(3)]
    for batcher, number in ((fickle, 1), (fickle, 3), (steady, 2)):
        batcher.submit(rows(number), None, callers[number - 1].on_outcome)
    blocked.release()
    assert [caller.rows() for caller in callers] == [[1], [2], [3]]
    assert order == [1, 2, 3]


def test_running_call_can_not_be_cancelled(pool: RunPool) -> None:
    blocked = BlockedRun(pool)
    assert not blocked.call.cancel()
    blocked.release()


@given(cancelled=st.lists(st.booleans(), min_size=1, max_size=30))
def test_call_is_either_cancelled_or_finished_exactly_once(
    cancelled: Sequence[bool],
) -> None:
    pool = RunPool(2, max_waiting=len(cancelled), max_wait_s=60)
    batcher = Batcher(EchoModel(), pool, max_rows=2)
    finished: Counter[int] = Counter()

    def submit(number: int) -> PendingCall:
        return batcher.submit(rows(number), None, lambda _: finished.update([number]))

    calls = [submit(number) for number in range(len(cancelled))]
    gone = {n for n, wanted in enumerate(cancelled) if wanted and calls[n].cancel()}
    pool.close(PATIENCE_S)
    assert dict(finished) == dict.fromkeys(set(range(len(cancelled))) - gone, 1)
    assert pool.waiting == 0


# Closing


def test_closing_pool_runs_queued_calls_and_ends_its_threads() -> None:
    others = set(threading.enumerate())
    pool = RunPool(2, max_waiting=10, max_wait_s=60)
    threads = set(threading.enumerate()) - others
    assert len(threads) == 2
    blocked = [BlockedRun(pool), BlockedRun(pool)]
    caller = Caller()
    batcher = Batcher(EchoModel(), pool, max_rows=10)
    batcher.submit(rows(1), None, caller.on_outcome)
    closing = threading.Thread(target=pool.close, args=(PATIENCE_S,))
    closing.start()
    for run in blocked:
        run.release()
    closing.join(PATIENCE_S)
    assert caller.rows() == [1]
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(Overloaded):
        batcher.run(rows(2))
    pool.close()


def test_closing_pool_rejects_calls_queued_behind_a_stuck_run() -> None:
    others = set(threading.enumerate())
    pool = RunPool(1, max_waiting=10, max_wait_s=60)
    (thread,) = set(threading.enumerate()) - others
    blocked, caller = BlockedRun(pool), Caller()
    echo = EchoModel()
    call = Batcher(echo, pool, max_rows=10).submit(rows(1), None, caller.on_outcome)
    pool.close(wait_s=0.01)
    assert thread.is_alive()
    assert isinstance(caller.outcome(), Overloaded)
    assert pool.waiting == 0
    assert not call.cancel()
    blocked.release()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert echo.runs == []
    assert caller.has_no_outcome


STUCK = """
import threading
import numpy as np
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.serving.batcher import Batcher, Running, RunPool

begun = threading.Event()

def run(columns):
    begun.set()
    threading.Event().wait()

columns = Columns(np.ones((1, 1)), np.empty((1, 0), object))
Batcher(run, RunPool(1, max_waiting=1, max_wait_s=60), max_rows=1).submit(columns, None, print)
begun.wait()
"""


@pytest.mark.slow
def test_stuck_run_does_not_keep_the_process_from_ending(repository: Path) -> None:
    subprocess.run([sys.executable, "-c", STUCK], cwd=repository, timeout=60, check=True)


def test_idle_pool_keeps_no_released_model_alive(pool: RunPool) -> None:
    echo = EchoModel()
    batcher = Batcher(echo, pool, max_rows=10)
    batcher.run(rows(1))
    released = weakref.ref(echo)
    del echo, batcher

    def is_gone() -> bool:
        gc.collect()
        return released() is None

    until(is_gone)
