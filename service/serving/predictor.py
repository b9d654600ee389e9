"""The use case: find the live model, run it, tell those who watch."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ..errors import DeadlineExceeded, PigeonholeError
from ..model.artifact import Model
from ..model.columns import Columns, Prediction, concatenate, split_by_call
from .batcher import Batcher, RunPool, alone
from .live_models import LiveModels
from .observation import ModelRan, Observation, Observer

log = logging.getLogger(__name__)

QUICK_S = 0.001
"""A run that takes no longer is made where the call stands: handing it to a thread and back costs
some 50 us, and other calls wait no longer for it than for a large answer."""

JOINED_ROWS = 256
"""Rows that calls are joined up to: from there on a row costs what it costs."""


class Predictor:
    """Answers rows with the live models.

    Args:
        live: the models.
        pool: the threads that run what is not quick.
        observers: told of every prediction; one that fails is logged and fails nothing.
        ran: told of every run.
    """

    def __init__(
        self,
        live: LiveModels,
        pool: RunPool,
        observers: Sequence[Observer] = (),
        ran: ModelRan = lambda _name, _version, _seconds, _waited_s: None,
    ) -> None:
        self._live, self._pool, self._observers = live, pool, tuple(observers)
        self._ran = ran
        self._untold: deque[Observation] = deque()

    def find(self, name: str | None, version: str | None) -> Model:
        """The live model that a request means; raises as `LiveModels.find` does.

        It is the caller's from here on, so that rows are read by the signature of the very version
        that answers them, whatever is swapped in meanwhile.
        """
        return self._live.find(name, version)

    def is_quick(self, model: Model, rows: int) -> bool:
        """Whether so many rows may be run where the call stands, an event loop too."""
        return model.expected_seconds(rows) <= QUICK_S

    def run(self, model: Model, columns: Columns, deadline: float | None = None) -> Observation:
        """What the model says of each row; waits for its turn where it is not quick.

        Args:
            model: as found.
            columns: the rows.
            deadline: on ``time.monotonic``'s scale; nothing is begun after it.

        Raises:
            InvalidRows: for rows that the model has no finite answer to.
            PredictionFailed: when the runtime fails.
            DeadlineExceeded, Overloaded: as they say.
        """
        if self.is_quick(model, len(columns)):
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded
            # Watched, for it may stand in a thread; an event loop that stands still is missed anyway.
            started = time.perf_counter()
            prediction = self._pool.run(model.session.run, columns, model.name, model.version)
            self._ran(model.name, model.version, time.perf_counter() - started, 0.0)
            return self._observed(model, columns, prediction)
        return self._observed(model, columns, self._batcher(model).run(columns, deadline))

    def submit(
        self,
        model: Model,
        columns: Columns,
        deadline: float | None,
        done: Callable[[Observation | Exception], None],
    ) -> Callable[[], bool]:
        """The same without waiting.

        Args:
            model: as found.
            columns: the rows.
            deadline: as in `run`.
            done: called with what comes of it, from another thread.

        Returns:
            What gives the call up: False when it has begun.

        Raises:
            DeadlineExceeded, Overloaded: as they say.
        """

        def observe(outcome: Prediction | Exception) -> None:
            if isinstance(outcome, Exception):
                done(outcome)
            else:
                done(self._observed(model, columns, outcome))

        return self._batcher(model).submit(columns, deadline, observe).cancel

    def run_together(
        self, model: Model, parts: Sequence[Columns]
    ) -> Sequence[Observation | Exception]:
        """Run the rows of calls that are quick as one, here and now.

        Args:
            model: as found by all of them.
            parts: the rows of each call.

        Returns:
            For each call what it would have got alone.
        """
        outcomes: Sequence[Prediction | Exception]
        if len(parts) > 1 and model.rows_are_independent:
            columns = concatenate(parts)
            try:
                prediction = self._timed(model, columns)
            except PigeonholeError:  # whoever it is, he is found out
                outcomes = self._batcher(model).outcomes(parts, [0.0] * len(parts))
            else:
                outcomes = split_by_call(prediction, parts)
                if not model.watch.out_of_range(columns):
                    self._untold.append(Observation(model, prediction, ()))
                    return [Observation(model, own, ()) for own in outcomes]
        else:
            run = partial(self._timed, model)
            outcomes = [alone(run, columns) for columns in parts]
        return [
            outcome if isinstance(outcome, Exception) else self._observed(model, columns, outcome)
            for columns, outcome in zip(parts, outcomes, strict=True)
        ]

    def _timed(self, model: Model, columns: Columns) -> Prediction:
        """Run here and now, and tell how long that took."""
        started = time.perf_counter()
        prediction = model.session.run(columns)
        self._ran(model.name, model.version, time.perf_counter() - started, 0.0)
        return prediction

    def _observed(self, model: Model, columns: Columns, prediction: Prediction) -> Observation:
        """A prediction with what was unusual in its rows, kept for the observers."""
        observation = Observation(model, prediction, model.watch.out_of_range(columns))
        self._untold.append(observation)
        return observation

    def tell_observers(self) -> None:
        """Tell them, of all predictions since the last time at once."""
        untold: list[Observation] = []
        while self._untold:
            try:
                untold.append(self._untold.popleft())
            except IndexError:  # another thread tells of that one
                break
        if not untold:
            return
        for observer in self._observers:
            try:
                observer(untold)
            except Exception:
                log.exception("an observer failed")

    def _batcher(self, model: Model) -> Batcher:
        batcher: Batcher | None = model.memo.get(self._pool)
        if batcher is None:
            rows = JOINED_ROWS if model.rows_are_independent else 1
            name, version = model.name, model.version
            made = Batcher(
                model.session.run,
                self._pool,
                max_rows=rows,
                ran=partial(self._ran, name, version),
                model=name,
                version=version,
            )
            batcher = model.memo.setdefault(self._pool, made)  # another thread may be quicker
        return batcher
