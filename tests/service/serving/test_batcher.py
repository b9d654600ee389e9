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
from hypothesis import given, settings
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
from pigeonhole.service.serving.batcher import Batcher, Call, Running, RunPool

PATIENCE_S = 30
"""How long a test waits for what has to come."""


def rows(*values: float) -> Columns:
    """Rows that identify themselves: a number, and the same as text."""
    texts = np.array([[f"{value:g}"] for value in values], dtype=object).reshape(-1, 1)
    return Columns(np.array(values, dtype=np.float64).reshape(-1, 1), texts)


def read(prediction: Prediction) -> list[float]:
    """Which rows a prediction is of; fails where label and probabilities are of different ones."""
    values = prediction.probabilities[:, 0].tolist()
    assert prediction.labels == [f"{value:g}" for value in values]
    return values


@dataclass
class Echo:
    """A model that says of each row which row it is.

    Attributes:
        bad: rows that it has no answer to.
        failing: rows on which its runtime fails.
        most: the largest run that it survives.
        ran: the rows of every run, in order.
        given: the columns of every run.
    """

    bad: frozenset[float] = frozenset()
    failing: frozenset[float] = frozenset()
    most: float = float("inf")
    ran: list[list[float]] = field(default_factory=list)
    given: list[Columns] = field(default_factory=list)

    def __call__(self, columns: Columns) -> Prediction:
        values = columns.numbers[:, 0].tolist()
        self.ran.append(values)
        self.given.append(columns)
        if self.failing & set(values) or len(values) > self.most:
            raise PredictionFailed("the runtime is on fire")
        named = [index for index, value in enumerate(values) if value in self.bad]
        if named:
            listed = named[:PROBLEM_LIMIT]
            raise InvalidRows([Problem(index, None, None, "x", f"{index}") for index in listed])
        return Prediction(columns.categories[:, 0].tolist(), columns.numbers.astype(np.float32))


class Held:
    """A run that keeps a thread busy for as long as a test wants.

    Args:
        pool: whose thread it is.
        model: the model's name.
        version: its version.
    """

    def __init__(self, pool: RunPool, model: str = "held", version: int = 1) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        batcher = Batcher(self._run, pool, max_rows=1, model=model, version=version)
        self.call = batcher.submit(rows(0), None, lambda outcome: None)
        assert self._begun.wait(PATIENCE_S)

    def _run(self, columns: Columns) -> Prediction:
        self._begun.set()
        assert self._go_on.wait(PATIENCE_S)
        return Echo()(columns)

    def release(self) -> None:
        """Let it end."""
        self._go_on.set()


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self._outcomes: SimpleQueue[Prediction | Exception] = SimpleQueue()
        self.told = self._outcomes.put

    def outcome(self) -> Prediction | Exception:
        """The next outcome; waits for it."""
        return self._outcomes.get(timeout=PATIENCE_S)

    def rows(self) -> list[float]:
        """The rows that it got an answer to."""
        outcome = self.outcome()
        assert isinstance(outcome, Prediction), outcome
        return read(outcome)

    @property
    def knows_nothing(self) -> bool:
        """Whether it has not been told anything (more)."""
        return self._outcomes.empty()


MakePool = Callable[..., RunPool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """Makes pools of one thread, or as asked, and closes them."""
    pools: list[RunPool] = []

    def made(threads: int = 1, **settings: Any) -> RunPool:
        pools.append(RunPool(threads, **{"max_waiting": 1000, "max_wait_s": 60.0} | settings))
        return pools[-1]

    yield made
    for pool in pools:
        pool.close(PATIENCE_S)


@pytest.fixture
def pool(make_pool: MakePool) -> RunPool:
    """A pool of one thread, with room."""
    return make_pool()


def wait_together(pool: RunPool, batcher: Batcher, *calls: Columns) -> list[Caller]:
    """Let calls wait while a run of another model is going on, then let them have their turn."""
    held = Held(pool)
    callers = [Caller() for _ in calls]
    for caller, columns in zip(callers, calls, strict=True):
        batcher.submit(columns, None, caller.told)
    held.release()
    return callers


def until(true: Callable[[], bool]) -> None:
    """Look again and again."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


# Who is joined with whom


def test_a_call_that_finds_a_free_thread_is_run_at_once_and_as_it_came(pool: RunPool) -> None:
    echo = Echo()
    columns = rows(1, 2)
    assert read(Batcher(echo, pool, max_rows=100).run(columns)) == [1, 2]
    assert len(echo.given) == 1
    assert echo.given[0] is columns


def test_calls_that_wait_while_a_run_goes_on_are_joined_into_one(pool: RunPool) -> None:
    echo = Echo()
    callers = wait_together(
        pool, Batcher(echo, pool, max_rows=100), rows(1, 2), rows(3), rows(), rows(4, 5)
    )
    assert [caller.rows() for caller in callers] == [[1, 2], [3], [], [4, 5]]
    assert echo.ran == [[1, 2, 3, 4, 5]]


def test_joined_calls_get_the_answers_of_the_model_to_their_own_rows(
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
        alone, answer = model.session.run(columns), caller.outcome()
        assert isinstance(answer, Prediction)
        assert answer.labels == alone.labels
        np.testing.assert_allclose(answer.probabilities, alone.probabilities, rtol=1e-5)


def test_no_run_is_larger_than_the_limit_and_the_order_stays(pool: RunPool) -> None:
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=3)
    callers = wait_together(pool, batcher, rows(1), rows(2, 3), rows(4, 5), rows(6, 7), rows(8))
    assert [caller.rows() for caller in callers] == [[1], [2, 3], [4, 5], [6, 7], [8]]
    assert echo.ran == [[1, 2, 3], [4, 5], [6, 7, 8]]


def test_a_call_larger_than_the_limit_is_run_whole_and_alone(pool: RunPool) -> None:
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=3)
    callers = wait_together(pool, batcher, rows(1), rows(2, 3, 4, 5), rows(6))
    assert [caller.rows() for caller in callers] == [[1], [2, 3, 4, 5], [6]]
    assert echo.ran == [[1], [2, 3, 4, 5], [6]]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=40),
    threads=st.integers(1, 3),
    max_rows=st.integers(1, 20),
)
def test_whatever_comes_from_many_threads_each_gets_its_own_rows_back(
    sizes: list[int], threads: int, max_rows: int
) -> None:
    pool = RunPool(threads, max_waiting=len(sizes), max_wait_s=60)
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=max_rows)
    answers: dict[int, list[float]] = {}

    def call(number: int, size: int) -> None:
        values = [number * 10.0 + row for row in range(size)]
        answers[number] = read(batcher.run(rows(*values)))

    callers = [threading.Thread(target=call, args=pair) for pair in enumerate(sizes)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE_S)
    pool.close(PATIENCE_S)
    assert answers == {n: [n * 10.0 + row for row in range(s)] for n, s in enumerate(sizes)}
    assert all(len(run) <= max(max_rows, *sizes) for run in echo.ran)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=2, max_size=30),
    share_bad=st.floats(0, 1),
    share_failing=st.floats(0, 0.3),
    seed=st.integers(0, 2**16),
)
def test_every_call_has_the_outcome_that_it_would_have_had_alone(
    sizes: list[int], share_bad: float, share_failing: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    values = iter(range(sum(sizes)))
    calls = [rows(*(next(values) for _ in range(size))) for size in sizes]
    chance = generator.random(sum(sizes))
    bad = frozenset(np.flatnonzero(chance < share_bad).tolist())
    failing = frozenset(np.flatnonzero(chance > 1 - share_failing).tolist())
    echo = Echo(bad, failing)
    pool = RunPool(1, max_waiting=len(sizes), max_wait_s=60)
    callers = wait_together(pool, Batcher(echo, pool, max_rows=1000), *calls)
    for columns, caller in zip(calls, callers, strict=True):
        assert said(caller.outcome()) == said(outcome_alone(echo, columns))
    pool.close(PATIENCE_S)
    assert all(caller.knows_nothing for caller in callers)


def outcome_alone(run: Echo, columns: Columns) -> Prediction | Exception:
    try:
        return Echo(run.bad, run.failing)(columns)
    except PigeonholeError as error:
        return error


def said(outcome: Prediction | Exception) -> Any:
    if isinstance(outcome, Prediction):
        return read(outcome)
    if isinstance(outcome, InvalidRows):
        return [problem.row for problem in outcome.problems]
    return type(outcome)


# Whose turn it is


def test_models_that_wait_take_turns(pool: RunPool) -> None:
    order: list[str] = []
    done = [Caller() for _ in range(5)]

    def named(name: str) -> Batcher:
        def run(columns: Columns) -> Prediction:
            order.append(name)
            return Echo()(columns)

        return Batcher(run, pool, max_rows=1)

    busy, quiet = named("busy"), named("quiet")
    held = Held(pool)
    for caller in done[:4]:
        busy.submit(rows(1), None, caller.told)
    quiet.submit(rows(2), None, done[4].told)
    held.release()
    for caller in done:
        caller.outcome()
    assert order == ["busy", "quiet", "busy", "busy", "busy"]


def test_as_many_runs_go_on_at_one_time_as_there_are_threads(make_pool: MakePool) -> None:
    meet = threading.Barrier(3)

    def run(columns: Columns) -> Prediction:
        meet.wait(PATIENCE_S)
        return Echo()(columns)

    pool = make_pool(threads=2)
    batcher = Batcher(run, pool, max_rows=1)
    callers = [Caller() for _ in range(4)]
    for caller in callers:
        batcher.submit(rows(1), None, caller.told)
    for _ in range(2):
        meet.wait(PATIENCE_S)  # two runs and this test: else nobody gets through
    assert [caller.rows() for caller in callers] == [[1]] * 4


def test_what_does_not_fit_a_run_goes_to_the_next_free_thread(make_pool: MakePool) -> None:
    pool = make_pool(threads=2)
    first, second = Held(pool), Held(pool)
    stuck = threading.Event()

    def run(columns: Columns) -> Prediction:
        if columns.numbers[0, 0] == 1:
            stuck.wait(PATIENCE_S)
        return Echo()(columns)

    batcher = Batcher(run, pool, max_rows=1)
    callers = [Caller(), Caller()]
    for number, caller in enumerate(callers, start=1):
        batcher.submit(rows(number), None, caller.told)
    first.release()
    second.release()
    assert callers[1].rows() == [2]
    assert callers[0].knows_nothing
    stuck.set()
    assert callers[0].rows() == [1]


# Bounds


def test_a_call_beyond_those_that_may_wait_is_refused_at_once(make_pool: MakePool) -> None:
    pool = make_pool(max_waiting=2)
    held = Held(pool)
    echo = Echo()
    batchers = [Batcher(echo, pool, max_rows=10) for _ in range(3)]
    callers = [Caller() for _ in batchers]
    for batcher, caller in zip(batchers[:2], callers, strict=False):
        batcher.submit(rows(1), None, caller.told)
    assert pool.waiting == 2
    with pytest.raises(Overloaded) as refused:
        batchers[2].submit(rows(1), None, callers[2].told)
    assert refused.value.limit == 2
    held.release()
    assert [caller.rows() for caller in callers[:2]] == [[1], [1]]
    assert pool.waiting == 0
    assert batchers[2].run(rows(3)).labels == ["3"]
    assert callers[2].knows_nothing


def test_how_many_wait_is_told_whenever_it_changes(make_pool: MakePool) -> None:
    told: list[int] = []
    pool = make_pool(max_waiting=4, told=told.append)
    held = Held(pool)
    told.clear()
    batcher = Batcher(Echo(), pool, max_rows=10)
    callers = [Caller() for _ in range(3)]
    calls = [batcher.submit(rows(1), None, caller.told) for caller in callers]
    calls[0].cancel()
    assert told == [1, 2, 3, 2]
    held.release()
    assert [caller.rows() for caller in callers[1:]] == [[1], [1]]
    assert told[-1] == 0


def test_a_call_whose_deadline_is_over_is_refused_at_once(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(clock=clock)
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=10)
    for deadline in (99.0, 100.0):
        with pytest.raises(DeadlineExceeded):
            batcher.submit(rows(1), deadline, Caller().told)
    assert pool.waiting == 0
    assert read(batcher.run(rows(2), 100.001)) == [2]
    assert echo.ran == [[2]]


def test_a_call_whose_deadline_passes_while_it_waits_is_never_run(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(clock=clock)
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=10)
    held = Held(pool)
    early, late, free = Caller(), Caller(), Caller()
    batcher.submit(rows(1), 101.0, early.told)
    batcher.submit(rows(2), 103.0, late.told)
    batcher.submit(rows(3), None, free.told)
    clock.now = 102.0
    held.release()
    assert isinstance(early.outcome(), DeadlineExceeded)
    assert late.rows() == [2]
    assert free.rows() == [3]
    assert echo.ran == [[2, 3]]


def test_a_call_that_has_waited_too_long_is_refused_and_never_run(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(clock=clock, max_wait_s=5.0, max_waiting=7)
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=10)
    held = Held(pool)
    old, young = Caller(), Caller()
    batcher.submit(rows(1), 1000.0, old.told)
    clock.now = 100.5
    batcher.submit(rows(2), 1000.0, young.told)
    clock.now = 105.5
    held.release()
    outcome = old.outcome()
    assert isinstance(outcome, Overloaded)
    assert outcome.limit == 7
    assert young.rows() == [2]
    assert echo.ran == [[2]]


def test_a_run_that_lasts_too_long_is_known_with_its_model(make_pool: MakePool) -> None:
    clock = Clock(100.0)
    pool = make_pool(threads=2, clock=clock)
    assert pool.stuck(0) is None
    first = Held(pool, "first", 1)
    clock.now = 103.0
    second = Held(pool, "second", 2)
    clock.now = 104.0
    assert pool.stuck(3) == (100.0, "first", 1)
    assert pool.stuck(4) is None
    first.release()
    until(lambda: pool.stuck(0) == (103.0, "second", 2))
    second.release()
    until(lambda: pool.stuck(0) is None)


def test_the_thread_of_a_caller_is_watched_too(pool: RunPool) -> None:
    seen: list[Running | None] = []

    def run(columns: Columns) -> Prediction:
        seen.append(pool.stuck(-1))
        return Echo()(columns)

    pool.run(run, rows(1), "mine", 3)
    assert [(found.model, found.version) for found in seen if found] == [("mine", 3)]
    assert pool.stuck(-1) is None


# Rows and runs that fail


def test_only_callers_of_rows_without_an_answer_are_told_so_by_their_own_row_numbers(
    pool: RunPool,
) -> None:
    echo = Echo(bad=frozenset({3.0, 6.0, 7.0}))
    batcher = Batcher(echo, pool, max_rows=100)
    good, bad, empty, worse, last = wait_together(
        pool, batcher, rows(1), rows(2, 3), rows(), rows(5, 6, 7), rows(8)
    )
    assert good.rows() == [1]
    assert said(bad.outcome()) == [1]
    assert empty.rows() == []
    assert said(worse.outcome()) == [1, 2]
    assert last.rows() == [8]
    assert echo.ran == [[1, 2, 3, 5, 6, 7, 8], [1, 8]]


def test_more_bad_rows_than_are_listed_are_still_told_to_their_own_callers_alone(
    pool: RunPool,
) -> None:
    bad = [float(value) for value in range(100, 100 + PROBLEM_LIMIT + 10)]
    echo = Echo(bad=frozenset(bad))
    batcher = Batcher(echo, pool, max_rows=100)
    halves = bad[: len(bad) // 2], bad[len(bad) // 2 :]
    first, good, second = wait_together(
        pool, batcher, rows(*halves[0]), rows(1, 2), rows(*halves[1])
    )
    assert said(first.outcome()) == list(range(len(halves[0])))
    assert good.rows() == [1, 2]
    assert said(second.outcome()) == list(range(len(halves[1])))


def test_a_failing_run_fails_the_call_at_fault_alone(
    pool: RunPool, caplog: pytest.LogCaptureFixture
) -> None:
    echo = Echo(failing=frozenset({2.0}))
    batcher = Batcher(echo, pool, max_rows=100)
    for _ in range(2):
        before, failing, after = wait_together(pool, batcher, rows(1), rows(2), rows(3, 4))
        assert before.rows() == [1]
        assert isinstance(failing.outcome(), PredictionFailed)
        assert after.rows() == [3, 4]
    assert echo.ran == [[1, 2, 3, 4], [1], [2], [3, 4]] * 2
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "the runtime is on fire" in caplog.text


def test_a_model_that_survives_single_rows_only_answers_all_calls(pool: RunPool) -> None:
    callers = wait_together(pool, Batcher(Echo(most=1), pool, max_rows=9), rows(1), rows(2))
    assert [caller.rows() for caller in callers] == [[1], [2]]


def test_rows_of_another_width_fail_only_themselves(pool: RunPool) -> None:
    wide = Columns(np.ones((1, 3)), np.array([["1"]], dtype=object))

    def run(columns: Columns) -> Prediction:
        if columns.numbers.shape[1] != 1:
            raise PredictionFailed("too wide")
        return Echo()(columns)

    first, wrong, last = wait_together(pool, Batcher(run, pool, max_rows=9), rows(1), wide, rows(2))
    assert first.rows() == [1]
    assert isinstance(wrong.outcome(), PredictionFailed)
    assert last.rows() == [2]


@pytest.mark.parametrize("error", [PredictionFailed("no"), InvalidRows([]), MemoryError("none")])
def test_waiting_for_the_outcome_raises_what_the_run_raised(
    pool: RunPool, error: Exception
) -> None:
    def run(columns: Columns) -> Prediction:
        raise error

    with pytest.raises(type(error)) as raised:
        Batcher(run, pool, max_rows=9).run(rows(1))
    assert raised.value is error
    assert pool.stuck(-1) is None


def test_a_caller_that_fails_to_take_its_answer_stops_nobody_elses(
    pool: RunPool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(outcome: Prediction | Exception) -> None:
        raise ConnectionResetError("the caller is gone")

    batcher = Batcher(Echo(), pool, max_rows=100)
    held, last = Held(pool), Caller()
    batcher.submit(rows(1), None, fail)
    batcher.submit(rows(2), None, last.told)
    held.release()
    assert last.rows() == [2]
    assert "the caller is gone" in caplog.text
    assert read(batcher.run(rows(3))) == [3]


def test_a_caller_may_ask_again_while_it_is_told(pool: RunPool) -> None:
    batcher = Batcher(Echo(), pool, max_rows=100)
    second = Caller()
    batcher.submit(rows(1), None, lambda outcome: batcher.submit(rows(2), None, second.told))
    assert second.rows() == [2]


# Callers that are gone


def test_a_cancelled_call_is_neither_run_nor_counted_nor_told(make_pool: MakePool) -> None:
    pool = make_pool(max_waiting=2)
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=100)
    held = Held(pool)
    gone, stays, comes = Caller(), Caller(), Caller()
    call = batcher.submit(rows(1), None, gone.told)
    batcher.submit(rows(2), None, stays.told)
    assert call.cancel()
    assert pool.waiting == 1
    assert not call.cancel()
    assert pool.waiting == 1
    batcher.submit(rows(3), None, comes.told)
    held.release()
    assert stays.rows() == [2]
    assert comes.rows() == [3]
    assert gone.knows_nothing
    assert echo.ran == [[2, 3]]


def test_cancelled_calls_earn_their_model_no_more_turns(pool: RunPool) -> None:
    order: list[float] = []

    def run(columns: Columns) -> Prediction:
        order.extend(columns.numbers[:, 0])
        return Echo()(columns)

    fickle, steady = Batcher(run, pool, max_rows=1), Batcher(run, pool, max_rows=1)
    held = Held(pool)
    for _ in range(3):
        assert fickle.submit(rows(0), None, Caller().told).cancel()
    callers = [Caller() for _ in range(3)]
    for batcher, number in ((fickle, 1), (fickle, 3), (steady, 2)):
        batcher.submit(rows(number), None, callers[number - 1].told)
    held.release()
    assert [caller.rows() for caller in callers] == [[1], [2], [3]]
    assert order == [1, 2, 3]


def test_a_call_whose_run_has_begun_is_not_cancelled(pool: RunPool) -> None:
    held = Held(pool)
    assert not held.call.cancel()
    held.release()


@settings(max_examples=30, deadline=None)
@given(cancelled=st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_call_is_either_cancelled_or_told_once_whatever_the_moment(
    cancelled: Sequence[bool],
) -> None:
    pool = RunPool(2, max_waiting=len(cancelled), max_wait_s=60)
    batcher = Batcher(Echo(), pool, max_rows=2)
    told: Counter[int] = Counter()

    def asked(number: int) -> Call:
        return batcher.submit(rows(number), None, lambda _: told.update([number]))

    calls = [asked(number) for number in range(len(cancelled))]
    gone = {n for n, wanted in enumerate(cancelled) if wanted and calls[n].cancel()}
    pool.close(PATIENCE_S)
    assert dict(told) == dict.fromkeys(set(range(len(cancelled))) - gone, 1)
    assert pool.waiting == 0


# The end


def test_closing_runs_what_waits_and_ends_the_threads() -> None:
    others = set(threading.enumerate())
    pool = RunPool(2, max_waiting=10, max_wait_s=60)
    threads = set(threading.enumerate()) - others
    assert len(threads) == 2
    held = [Held(pool), Held(pool)]
    caller = Caller()
    batcher = Batcher(Echo(), pool, max_rows=10)
    batcher.submit(rows(1), None, caller.told)
    closing = threading.Thread(target=pool.close, args=(PATIENCE_S,))
    closing.start()
    for one in held:
        one.release()
    closing.join(PATIENCE_S)
    assert caller.rows() == [1]
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(Overloaded):
        batcher.run(rows(2))
    pool.close()


def test_closing_does_not_wait_for_a_stuck_run_and_refuses_what_waits_behind_it() -> None:
    others = set(threading.enumerate())
    pool = RunPool(1, max_waiting=10, max_wait_s=60)
    (thread,) = set(threading.enumerate()) - others
    held, caller = Held(pool), Caller()
    echo = Echo()
    call = Batcher(echo, pool, max_rows=10).submit(rows(1), None, caller.told)
    pool.close(wait_s=0.01)
    assert thread.is_alive()
    assert isinstance(caller.outcome(), Overloaded)
    assert pool.waiting == 0
    assert not call.cancel()
    held.release()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert echo.ran == []
    assert caller.knows_nothing


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


@pytest.mark.alone
def test_a_stuck_run_does_not_keep_the_process_from_ending(repository: Path) -> None:
    subprocess.run([sys.executable, "-c", STUCK], cwd=repository, timeout=60, check=True)


def test_a_pool_that_waits_keeps_no_model_that_was_let_go(pool: RunPool) -> None:
    echo = Echo()
    batcher = Batcher(echo, pool, max_rows=10)
    batcher.run(rows(1))
    let_go = weakref.ref(echo)
    del echo, batcher

    def is_gone() -> bool:
        gc.collect()
        return let_go() is None

    until(is_gone)
