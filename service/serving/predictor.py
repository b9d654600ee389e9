"""Find the live model, run it, and notify the observers."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ..errors import DeadlineExceeded, PigeonholeError
from ..model.artifact import Model
from ..model.columns import Columns, Prediction, concatenate, split_by_call
from ..model.per_model import PerModel
from .batcher import Batcher, Outcome, RunPool, outcome_of
from .live_models import LiveModels
from .observation import Observation, Observer, OnModelRun

log = logging.getLogger(__name__)

QUICK_S = 0.001
"""A run expected to be shorter stays in the calling thread: a hand-over to another thread and back
costs some 50 us, and other calls wait no longer for the run than for a large response."""

BATCH_ROWS = 256
"""Most rows of a batch: beyond that, a row costs the same in a batch as alone."""


class Predictor:
    """Predicts rows with the live models.

    Args:
        live: the models.
        pool: the threads that run heavy models.
        observers: called with every prediction. An observer that fails is logged.
        on_run: called after every run.
    """

    def __init__(
        self,
        live: LiveModels,
        pool: RunPool,
        observers: Sequence[Observer] = (),
        on_run: OnModelRun = lambda _name, _version, _seconds, _waited_s: None,
    ) -> None:
        self._live, self._pool, self._observers = live, pool, tuple(observers)
        self._on_run = on_run
        self._batcher = PerModel(self._make_batcher)
        self._unobserved: deque[Observation] = deque()

    def find(self, name: str | None, version: str | None) -> Model:
        """Return the live model for a request; raises as `LiveModels.find` does.

        The request keeps the model until it is answered. So the signature that its rows are read by
        belongs to the version that predicts them, even if a new version goes live meanwhile.
        """
        return self._live.find(name, version)

    def is_quick(self, model: Model, rows: int) -> bool:
        """Return whether so many rows may run in the calling thread, even on an event loop."""
        return model.expected_seconds(rows) <= QUICK_S

    def run(self, model: Model, columns: Columns, deadline: float | None = None) -> Observation:
        """Predict rows, in the calling thread if that is quick; else wait in the queue.

        Args:
            model: as found.
            columns: the rows.
            deadline: on the scale of ``time.monotonic``; no run begins after it.

        Raises:
            InvalidRows: the model has no finite answer for some rows.
            PredictionFailed: the runtime failed.
            DeadlineExceeded: the deadline passed before the run began.
            Overloaded: the queue is full, or the call waited too long.
        """
        if not self.is_quick(model, len(columns)):
            return self._observe(model, columns, self._batcher(model).run(columns, deadline))
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceeded
        # Through the pool, which notices a stuck run in any thread. (`run_together` needs no pool:
        # the parent process notices when an event loop is stuck.)
        started = time.perf_counter()
        prediction = self._pool.run(model.session.run, columns, model.name, model.version)
        self._on_run(model.name, model.version, time.perf_counter() - started, 0.0)
        return self._observe(model, columns, prediction)

    def submit(
        self,
        model: Model,
        columns: Columns,
        deadline: float | None,
        on_outcome: Callable[[Observation | Exception], None],
    ) -> Callable[[], bool]:
        """Queue rows for prediction and return at once.

        Args:
            model: as found.
            columns: the rows.
            deadline: as in `run`.
            on_outcome: called with the observation or the exception, from another thread.

        Returns:
            A function that cancels the call; it returns False if the run has begun.

        Raises:
            DeadlineExceeded: the deadline has passed.
            Overloaded: the queue is full.
        """

        def observe(outcome: Outcome) -> None:
            if isinstance(outcome, Exception):
                on_outcome(outcome)
            else:
                on_outcome(self._observe(model, columns, outcome))

        return self._batcher(model).submit(columns, deadline, observe).cancel

    def run_together(
        self, model: Model, parts: Sequence[Columns]
    ) -> Sequence[Observation | Exception]:
        """Run the rows of several quick calls as one, in the calling thread.

        Args:
            model: as found by all calls.
            parts: the rows of each call.

        Returns:
            For each call the outcome that it would have had alone.
        """
        outcomes: Sequence[Outcome]
        if len(parts) > 1 and model.rows_are_independent:
            columns = concatenate(parts)
            try:
                prediction = self._timed(model, columns)
            except PigeonholeError:  # the batcher finds the calls at fault
                outcomes = self._batcher(model).outcomes(parts, [0.0] * len(parts))
            else:
                outcomes = split_by_call(prediction, parts)
                if not model.range_check.out_of_range(columns):
                    self._unobserved.append(Observation(model, prediction, ()))
                    return [Observation(model, own, ()) for own in outcomes]
        else:
            predict = partial(self._timed, model)
            outcomes = [outcome_of(predict, columns) for columns in parts]
        return [
            outcome if isinstance(outcome, Exception) else self._observe(model, columns, outcome)
            for columns, outcome in zip(parts, outcomes, strict=True)
        ]

    def _timed(self, model: Model, columns: Columns) -> Prediction:
        """Run the model in the calling thread and report the duration."""
        started = time.perf_counter()
        prediction = model.session.run(columns)
        self._on_run(model.name, model.version, time.perf_counter() - started, 0.0)
        return prediction

    def _observe(self, model: Model, columns: Columns, prediction: Prediction) -> Observation:
        """Return a prediction with its values out of range; keep it for the observers."""
        observation = Observation(model, prediction, model.range_check.out_of_range(columns))
        self._unobserved.append(observation)
        return observation

    def notify_observers(self) -> None:
        """Pass all predictions since the last call to the observers."""
        observations: list[Observation] = []
        while self._unobserved:
            try:
                observations.append(self._unobserved.popleft())
            except IndexError:  # another thread took the last one
                break
        if not observations:
            return
        for observer in self._observers:
            try:
                observer(observations)
            except Exception:
                log.exception("an observer failed")

    def _make_batcher(self, model: Model) -> Batcher:
        return Batcher(
            model.session.run,
            self._pool,
            max_rows=BATCH_ROWS if model.rows_are_independent else 1,
            on_run=partial(self._on_run, model.name, model.version),
            model=model.name,
            version=model.version,
        )
