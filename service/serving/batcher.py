"""Calls of heavy models: run in a few threads, and joined into one run where they wait together.

Nobody waits for company. A call that finds a thread free is run at once, alone and as it came; the
calls that come while the threads are busy make up the next run. So an idle service adds no delay,
there is no delay to tune, and a busy one makes fewer and larger runs: the rows of a large network
cost a fraction of what they cost one by one.

A model answers each row by itself, whatever stands in the others: without that, nothing could be
joined.
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

Run = Callable[[Columns], Prediction]
"""Answers every row; raises as `Session.run` does."""

Ran = Callable[[float, float], object]
"""Told of a run that went well: its seconds, and those that its calls had waited for it, all
together."""

Done = Callable[[Prediction | Exception], None]
"""Told of a call's outcome, in a thread of the pool: it should only hand it on."""


class Running(NamedTuple):
    """A run that is under way: since when, on the pool's clock, and of which model."""

    since: float
    model: str
    version: int


CLOSE_S = 1.0
"""How long a pool that is closed goes on with what waits."""


class RunPool:
    """The threads that run the heavy models of a worker, and the bounds on what waits for them.

    The threads start at once, so a pool is made in the process that uses it, after the fork. They
    are daemons: a run that is stuck can't keep the process from ending.

    Args:
        threads: how many runs there may be at one time; onnxruntime runs without Python's lock.
        max_waiting: how many calls may wait, over all models; from 1 on, for a call waits until a
            thread that is free has woken up.
        max_wait_s: a call that has waited longer is refused when its turn comes.
        clock: seconds, the scale of every deadline.
        told: of how many calls wait, whenever that changes; quick, for it has the pool's lock.
    """

    def __init__(
        self,
        threads: int,
        *,
        max_waiting: int,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[int], object] = lambda _waiting: None,
    ) -> None:
        self._max_waiting, self._max_wait_s, self._clock = max_waiting, max_wait_s, clock
        self._told = told
        self._changed = threading.Condition(threading.Lock())
        # The models with calls that wait, in the order of their turns; each stands here once.
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
        """How many calls wait now; those being run don't."""
        return self._waiting

    def stuck(self, seconds: float) -> Running | None:
        """The run that began first of those under way, if that is longer ago; else None."""
        running = list(self._running.values())  # one step under Python's lock: runs come and go
        oldest = min(running, default=None)
        return oldest if oldest and self._clock() - oldest.since > seconds else None

    def add(self, call: Call) -> None:
        """Let a call wait for its turn.

        Raises:
            DeadlineExceeded: when its deadline is over.
            Overloaded: when as many wait as may, or the pool is closed.
        """
        batcher = call.batcher
        call.since = self._clock()
        if call.deadline <= call.since:
            raise DeadlineExceeded
        with self._changed:
            if self._closed or self._waiting >= self._max_waiting:
                raise Overloaded(self._max_waiting)
            self._wait(1)
            batcher.waiting.append(call)
            if len(batcher.waiting) == 1:
                self._turns.append(batcher)
                self._changed.notify()

    def cancel(self, call: Call) -> bool:
        """Let a call wait no longer; False when its turn has come already."""
        batcher = call.batcher
        with self._changed:
            try:
                batcher.waiting.remove(call)
            except ValueError:
                return False
            self._wait(-1)
            if not batcher.waiting:
                self._turns.remove(batcher)
        return True

    def run(self, run: Run, columns: Columns, model: str = "", version: int = 0) -> Prediction:
        """Run a model in this thread, under the eyes of ``stuck``; raises what the run raises."""
        thread = threading.get_ident()
        self._running[thread] = Running(self._clock(), model, version)
        try:
            return run(columns)
        finally:
            del self._running[thread]

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Take no more calls, and end the threads when those that wait have been run.

        Not to be called by a thread of the pool.

        Args:
            wait_s: how long that may take; calls that wait even then are refused.
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
            self._wait(-self._waiting)
        for call in left:
            call.end(Overloaded(self._max_waiting))

    def _wait(self, change: int) -> None:
        """Count calls that begin to wait, or no longer do; under the lock."""
        self._waiting += change
        self._told(self._waiting)

    def _work(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Answer the calls of the model whose turn it is; False when the pool has ended.

        A method of its own, so that a thread that waits holds on to no model and to no rows.
        """
        with self._changed:
            while not self._turns:
                if self._closed:
                    return False
                self._changed.wait()
            batcher = self._turns.popleft()
            now = self._clock()
            calls, late = batcher.take(now, self._max_wait_s)
            self._wait(-len(calls) - len(late))
            if batcher.waiting:
                self._turns.append(batcher)
                self._changed.notify()
        for call in late:
            call.end(DeadlineExceeded() if call.deadline <= now else Overloaded(self._max_waiting))
        batcher.answer(calls, now)
        return True


class Batcher:
    """One model's calls. Made with each loaded model, and cheap: the threads are the pool's.

    Args:
        run: what answers rows, mostly the model's `Session.run`.
        pool: the worker's pool, shared by its models, which take turns.
        max_rows: calls are joined up to this many rows; a larger call is run whole, alone.
        ran: told of each run.
        model: the model's name.
        version: its version.

    Attributes:
        pool: the pool.
        waiting: the calls that wait, the oldest first; the pool touches it, under its lock.
    """

    def __init__(
        self,
        run: Run,
        pool: RunPool,
        *,
        max_rows: int,
        ran: Ran = lambda _seconds, _waited_s: None,
        model: str = "",
        version: int = 0,
    ) -> None:
        self._run, self.pool, self._max_rows, self._ran = run, pool, max_rows, ran
        self._model, self._version = model, version
        self.waiting: deque[Call] = deque()
        self._warned = False

    def submit(self, columns: Columns, deadline: float | None, done: Done) -> Call:
        """Have rows answered; returns at once, from any thread.

        Args:
            columns: the rows, (rows, numbers) and (rows, categories).
            deadline: on the pool's clock; a call whose turn comes later is not run. None for none.
            done: called once with the prediction, or with what the run raised; with
                DeadlineExceeded or Overloaded when the call waited too long. Never called when the
                call was cancelled.

        Returns:
            The call, which can be cancelled while it waits.

        Raises:
            DeadlineExceeded: when the deadline is over.
            Overloaded: when as many calls wait as may.
        """
        call = Call(self, columns, math.inf if deadline is None else deadline, done)
        self.pool.add(call)
        return call

    def run(self, columns: Columns, deadline: float | None = None) -> Prediction:
        """As ``submit``, and wait for the outcome: the prediction, or raises what it is."""
        outcomes: SimpleQueue[Prediction | Exception] = SimpleQueue()
        self.submit(columns, deadline, outcomes.put)
        outcome = outcomes.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def take(self, now: float, max_wait_s: float) -> tuple[list[Call], list[Call]]:
        """The calls of the next run, and those that came to their turn too late; under the lock.

        Args:
            now: on the pool's clock.
            max_wait_s: calls that have waited longer are late, as those past their deadline are.
        """
        calls: list[Call] = []
        late: list[Call] = []
        rows = 0
        while self.waiting:
            call = self.waiting[0]
            if call.deadline <= now or now - call.since > max_wait_s:
                late.append(self.waiting.popleft())
                continue
            rows += len(call.columns)
            if calls and rows > self._max_rows:
                break
            calls.append(self.waiting.popleft())
        return calls, late

    def answer(self, calls: Sequence[Call], now: float) -> None:
        """Run calls as one, and end each with the outcome that it would have had alone.

        Args:
            calls: whose turn it is.
            now: when that came, on the pool's clock.
        """
        waited_s = [now - call.since for call in calls]
        outcomes = self.outcomes([call.columns for call in calls], waited_s)
        for call, outcome in zip(calls, outcomes, strict=True):
            call.end(outcome)

    def outcomes(
        self, parts: Sequence[Columns], waited_s: Sequence[float]
    ) -> list[Prediction | Exception]:
        """What comes of the rows of several calls, run as one in this thread.

        Where the run names rows that have no answer, their calls get that error, and the others are
        run again; where it fails otherwise, each call is run alone.

        Args:
            parts: the rows of each call.
            waited_s: how long each call waited.

        Returns:
            For each call what it would have got alone.
        """
        outcomes: list[Prediction | Exception | None] = [None] * len(parts)
        left = list(range(len(parts)))
        while len(left) > 1:
            among = [parts[place] for place in left]
            try:
                waited = sum(waited_s[place] for place in left)
                prediction = self._timed(waited, concatenate(among))
            except InvalidRows as error:
                named = _named(error, among)
                if not named:
                    break
                for which, refusal in named.items():
                    outcomes[left[which]] = refusal
                left = [place for which, place in enumerate(left) if which not in named]
            except Exception:
                # Said once: a model that takes one row at a time only fails here for ever.
                if not self._warned:
                    self._warned = True
                    log.warning("a joined run failed; its calls are run alone", exc_info=True)
                break
            else:
                for place, own in zip(left, split_by_call(prediction, among), strict=True):
                    outcomes[place] = own
                left = []
        for place in left:
            outcomes[place] = alone(partial(self._timed, waited_s[place]), parts[place])
        return [outcome for outcome in outcomes if outcome is not None]

    def _timed(self, waited_s: float, columns: Columns) -> Prediction:
        """Run, and tell how long that took and how long its calls had waited."""
        started = time.perf_counter()
        prediction = self.pool.run(self._run, columns, self._model, self._version)
        self._ran(time.perf_counter() - started, waited_s)
        return prediction


@dataclass(eq=False, slots=True)
class Call:
    """Rows that wait for their answer.

    Attributes:
        batcher: the model's that it means.
        columns: the rows.
        deadline: on the pool's clock; infinity for none.
        done: told of the outcome.
        since: when it began to wait, on the pool's clock.
    """

    batcher: Batcher
    columns: Columns
    deadline: float
    done: Done
    since: float = 0.0

    def cancel(self) -> bool:
        """Wait no longer, as when the caller is gone; False when the call's turn has come."""
        return self.batcher.pool.cancel(self)

    def end(self, outcome: Prediction | Exception) -> None:
        """Tell the caller; one that fails at it is logged and stops nobody else's answer."""
        try:
            self.done(outcome)
        except Exception:
            log.exception("an answer could not be handed over")


def alone(run: Run, columns: Columns) -> Prediction | Exception:
    """What comes of one call's rows."""
    try:
        return run(columns)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to know
        return error


def _named(error: InvalidRows, parts: Sequence[Columns]) -> dict[int, InvalidRows]:
    """The calls whose rows are named, each with its own problems by its own row numbers.

    A full list may leave out some: then nobody is named, and each call has to be run alone. That
    bounds what many calls with many bad rows can cost.
    """
    if len(error.problems) >= PROBLEM_LIMIT:
        return {}
    starts = [0, *accumulate(len(columns) for columns in parts[:-1])]
    named: dict[int, list[Problem]] = defaultdict(list)
    for problem in error.problems:
        which = bisect_right(starts, problem.row) - 1
        named[which].append(replace(problem, row=problem.row - starts[which]))
    return {which: InvalidRows(problems) for which, problems in named.items()}
