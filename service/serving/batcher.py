"""Calls of heavy models: a few threads run them, and calls that wait together become one batch.

No call waits to be batched. A call that finds a free thread runs at once, alone. Calls that arrive
while all threads are busy form the next batch. So an idle service adds no delay, there is no delay
to tune, and a busy service makes fewer and larger runs: in a large network, rows of one run cost a
fraction of what they cost one by one.

Only models that answer each row independently of the other rows can be batched.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from queue import SimpleQueue
from typing import NamedTuple

from ..errors import DeadlineExceeded, InvalidRows, Overloaded, Problem
from ..model.columns import Columns, Prediction, concatenate, split_by_call
from ..model.validation import PROBLEM_LIMIT

log = logging.getLogger(__name__)

Outcome = Prediction | Exception

PredictColumns = Callable[[Columns], Prediction]
"""Predicts every row; raises as `Session.run` does."""

OnRun = Callable[[float, float], object]
"""Called after each successful run with its seconds and the sum of the seconds its calls waited."""

OnOutcome = Callable[[Outcome], None]
"""Called with a call's outcome in a thread of the pool, so it should only hand it on."""

CLOSE_S = 1.0
"""Seconds that a closed pool continues with the calls in its queues."""


class Running(NamedTuple):
    """A run in progress.

    Attributes:
        since: its start, on the pool's clock.
        model: the model's name.
        version: the model's version.
    """

    since: float
    model: str
    version: int


class RunPool:
    """The threads that run the heavy models of a worker, and the limits of their queues.

    The threads start at once, so the worker makes its pool after the fork. They are daemons: a stuck
    run can't keep the process from ending.

    Args:
        threads: most runs at one time; onnxruntime releases Python's lock during a run.
        max_waiting: most calls in the queues of all models, at least 1: even for a free thread a
            call waits until that thread has woken up.
        max_wait_s: most seconds in a queue; a call that has waited longer is rejected.
        clock: returns seconds; the scale of every deadline.
        on_change: called with the number of queued calls whenever it changes. Must be quick: the
            pool's lock is held.
    """

    def __init__(
        self,
        threads: int,
        *,
        max_waiting: int,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[int], object] = lambda _waiting: None,
    ) -> None:
        self._max_waiting, self._max_wait_s, self._clock = max_waiting, max_wait_s, clock
        self._on_change = on_change
        self._changed = threading.Condition(threading.Lock())
        # Each model with queued calls stands here once, in the order of their turns.
        self._turns: deque[Batcher] = deque()
        self._waiting = 0
        self._closed = False
        self._running: dict[int, Running] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"run-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """The number of queued calls; calls that run now don't count."""
        return self._waiting

    def stuck(self, seconds: float) -> Running | None:
        """Return the oldest run in progress if it has lasted longer than this, else None."""
        running = list(self._running.values())  # atomic in CPython; runs start and end meanwhile
        oldest = min(running, default=None)
        return oldest if oldest and self._clock() - oldest.since > seconds else None

    def add(self, call: PendingCall) -> None:
        """Queue a call.

        Raises:
            DeadlineExceeded: its deadline has passed.
            Overloaded: the queues are full, or the pool is closed.
        """
        batcher = call.batcher
        call.since = self._clock()
        if call.deadline <= call.since:
            raise DeadlineExceeded
        with self._changed:
            if self._closed or self._waiting >= self._max_waiting:
                raise Overloaded(self._max_waiting)
            self._count_waiting(1)
            batcher.waiting.append(call)
            if len(batcher.waiting) == 1:
                self._turns.append(batcher)
                self._changed.notify()

    def cancel(self, call: PendingCall) -> bool:
        """Take a call out of its queue; return False if its run has begun."""
        batcher = call.batcher
        with self._changed:
            try:
                batcher.waiting.remove(call)
            except ValueError:
                return False
            self._count_waiting(-1)
            if not batcher.waiting:
                self._turns.remove(batcher)
        return True

    def run(
        self, predict: PredictColumns, columns: Columns, model: str = "", version: int = 0
    ) -> Prediction:
        """Run a model in the calling thread, visible to `stuck`; raises what the run raises."""
        thread = threading.get_ident()
        self._running[thread] = Running(self._clock(), model, version)
        try:
            return predict(columns)
        finally:
            del self._running[thread]

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Accept no more calls; end the threads after the queued calls have run.

        Must not be called from a thread of the pool.

        Args:
            wait_s: most seconds for that. Calls that are still queued then are rejected.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._changed:
            left = [call for batcher in self._turns for call in batcher.waiting]
            for batcher in self._turns:
                batcher.waiting.clear()
            self._turns.clear()
            self._count_waiting(-self._waiting)
        for call in left:
            call.finish(Overloaded(self._max_waiting))

    def _count_waiting(self, change: int) -> None:
        """Change the number of queued calls; under the lock."""
        self._waiting += change
        self._on_change(self._waiting)

    def _work(self) -> None:
        while self._run_next_batch():
            pass

    def _run_next_batch(self) -> bool:
        """Run the next batch of the model whose turn it is; return False when the pool has ended.

        A method of its own, so that a waiting thread keeps no model and no rows alive.
        """
        with self._changed:
            while not self._turns:
                if self._closed:
                    return False
                self._changed.wait()
            batcher = self._turns.popleft()
            now = self._clock()
            batch, late = batcher.next_batch(now, self._max_wait_s)
            self._count_waiting(-len(batch) - len(late))
            if batcher.waiting:
                self._turns.append(batcher)
                self._changed.notify()
        for call in late:
            is_past = call.deadline <= now
            call.finish(DeadlineExceeded() if is_past else Overloaded(self._max_waiting))
        batcher.run_batch(batch, now)
        return True


class Batcher:
    """One model's queue of calls. Made with each loaded model, and cheap: the pool has the threads.

    Args:
        predict: predicts rows, usually the model's `Session.run`.
        pool: the worker's pool; its models take turns.
        max_rows: most rows of a batch. A larger call runs alone.
        on_run: called after each run.
        model: the model's name.
        version: its version.

    Attributes:
        pool: the pool.
        waiting: the queued calls, oldest first; the pool changes it, under its lock.
    """

    def __init__(
        self,
        predict: PredictColumns,
        pool: RunPool,
        *,
        max_rows: int,
        on_run: OnRun = lambda _seconds, _waited_s: None,
        model: str = "",
        version: int = 0,
    ) -> None:
        self._predict, self.pool, self._max_rows, self._on_run = predict, pool, max_rows, on_run
        self._model, self._version = model, version
        self.waiting: deque[PendingCall] = deque()
        self._has_warned = False

    def submit(
        self, columns: Columns, deadline: float | None, on_outcome: OnOutcome
    ) -> PendingCall:
        """Queue rows for prediction; return at once. May be called from any thread.

        Args:
            columns: the rows, (rows, numbers) and (rows, categories).
            deadline: on the pool's clock; a call whose turn comes later does not run. None for none.
            on_outcome: called once with the prediction or the exception of the run, or with
                DeadlineExceeded or Overloaded if the call waited too long. Never called after a
                successful cancel.

        Returns:
            The call, which can be cancelled while it is queued.

        Raises:
            DeadlineExceeded: the deadline has passed.
            Overloaded: the queues are full.
        """
        call = PendingCall(self, columns, math.inf if deadline is None else deadline, on_outcome)
        self.pool.add(call)
        return call

    def run(self, columns: Columns, deadline: float | None = None) -> Prediction:
        """As `submit`, and wait: return the prediction, or raise the exception."""
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.submit(columns, deadline, outcomes.put)
        outcome = outcomes.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def next_batch(
        self, now: float, max_wait_s: float
    ) -> tuple[list[PendingCall], list[PendingCall]]:
        """Take the calls of the next run out of the queue, and the late calls before them.

        The pool calls this under its lock.

        Args:
            now: on the pool's clock.
            max_wait_s: most seconds in the queue. Calls past it or past their deadline are late.
        """
        batch: list[PendingCall] = []
        late: list[PendingCall] = []
        rows = 0
        while self.waiting:
            call = self.waiting[0]
            if call.deadline <= now or now - call.since > max_wait_s:
                late.append(self.waiting.popleft())
                continue
            rows += len(call.columns)
            if batch and rows > self._max_rows:
                break
            batch.append(self.waiting.popleft())
        return batch, late

    def run_batch(self, batch: Sequence[PendingCall], now: float) -> None:
        """Run calls as one; finish each with the outcome that it would have had alone.

        Args:
            batch: the calls.
            now: the time when they left the queue, on the pool's clock.
        """
        waited_s = [now - call.since for call in batch]
        outcomes = self.outcomes([call.columns for call in batch], waited_s)
        for call, outcome in zip(batch, outcomes, strict=True):
            call.finish(outcome)

    def outcomes(self, parts: Sequence[Columns], waited_s: Sequence[float]) -> list[Outcome]:
        """Run the rows of several calls as one in the calling thread; return each call's outcome.

        If the run rejects some rows, their calls get that error and the others run again. If it
        fails otherwise, each call runs alone.

        Args:
            parts: the rows of each call.
            waited_s: the seconds that each call waited.
        """
        outcomes: list[Outcome | None] = [None] * len(parts)
        left = list(range(len(parts)))
        while len(left) > 1:
            joined = [parts[place] for place in left]
            try:
                waited = sum(waited_s[place] for place in left)
                prediction = self._timed(waited, concatenate(joined))
            except InvalidRows as error:
                rejected = _errors_by_call(error, joined)
                if not rejected:
                    break
                for index, own_error in rejected.items():
                    outcomes[left[index]] = own_error
                left = [place for index, place in enumerate(left) if index not in rejected]
            except Exception:
                # Logged once: a model that takes only single rows would fail here every time.
                if not self._has_warned:
                    self._has_warned = True
                    log.warning("a batch failed; its calls run one by one", exc_info=True)
                break
            else:
                for place, own in zip(left, split_by_call(prediction, joined), strict=True):
                    outcomes[place] = own
                left = []
        for place in left:
            outcomes[place] = outcome_of(partial(self._timed, waited_s[place]), parts[place])
        return [outcome for outcome in outcomes if outcome is not None]

    def _timed(self, waited_s: float, columns: Columns) -> Prediction:
        """Run the model and report the run's duration and the time its calls waited."""
        started = time.perf_counter()
        prediction = self.pool.run(self._predict, columns, self._model, self._version)
        self._on_run(time.perf_counter() - started, waited_s)
        return prediction


@dataclass(eq=False, slots=True)
class PendingCall:
    """Rows that wait for their prediction.

    Attributes:
        batcher: the model's batcher.
        columns: the rows.
        deadline: on the pool's clock; infinity for none.
        on_outcome: called with the outcome.
        since: start of the wait, on the pool's clock.
    """

    batcher: Batcher
    columns: Columns
    deadline: float
    on_outcome: OnOutcome
    since: float = 0.0

    def cancel(self) -> bool:
        """Leave the queue, as when the client has disconnected; return False if the run has begun."""
        return self.batcher.pool.cancel(self)

    def finish(self, outcome: Outcome) -> None:
        """Pass the outcome to the caller. A callback that fails is logged and stops no other call."""
        try:
            self.on_outcome(outcome)
        except Exception:
            log.exception("the outcome of a call could not be delivered")


def outcome_of(predict: PredictColumns, columns: Columns) -> Outcome:
    """Return the prediction of one call's rows, or the exception."""
    try:
        return predict(columns)
    except Exception as error:  # noqa: BLE001 - every error belongs to the caller
        return error


def _errors_by_call(error: InvalidRows, parts: Sequence[Columns]) -> dict[int, InvalidRows]:
    """Return an error for each call with rejected rows, by its own row numbers.

    A full list of problems may omit calls. Then the result is empty and each call has to run alone,
    which bounds the cost of many calls with many bad rows.
    """
    if len(error.problems) >= PROBLEM_LIMIT:
        return {}
    starts = [0, *accumulate(len(columns) for columns in parts[:-1])]
    by_call: dict[int, list[Problem]] = defaultdict(list)
    for problem in error.problems:
        index = bisect_right(starts, problem.row) - 1
        by_call[index].append(replace(problem, row=problem.row - starts[index]))
    return {index: InvalidRows(problems) for index, problems in by_call.items()}
