"""Answers of any number of rows, made slice by slice while their reader takes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from ...errors import Overloaded
from ...model.artifact import Model
from ...model.columns import Columns
from ...serving.observation import Observation
from ...serving.predictor import Predictor
from ..errors import CLIENT_GONE
from .protocol import RowStream

PATIENCE_S = 10.0
"""How long a stream that has begun waits for a model that too many wait for."""

RETRY_S = 0.05
"""How often it tries meanwhile."""


class StreamedAnswer:
    """The slices of one answer.

    Once the first one is out there is no other status to give. So a failure that is no row's own
    ends the answer with a line that says so and names the first row without an answer; for metrics
    it has the status that it would have had alone.

    Args:
        rows: makes the slices.
        run: what they are run by.
        failure: writes the line of a row that could not be answered.
        failed: gives the status of a failure, and logs what is our fault.
        end: told of the status once, when the whole answer was made or given up.
    """

    def __init__(
        self,
        rows: RowStream,
        run: RetryingRun,
        failure: Callable[[int, Exception], bytes],
        failed: Callable[[Exception], int],
        end: Callable[[int], None],
    ) -> None:
        self._rows, self._run = rows, run
        self._failure, self._failed, self._tell = failure, failed, end
        self.is_over = False

    def first(self) -> bytes:
        """The first slice; raises what keeps it from being made, and then nothing is told."""
        try:
            piece = next(self._rows)
        except BaseException:
            self._rows.close()
            raise
        self._run.has_begun = True
        if self._rows.is_over:
            self._end(HTTPStatus.OK)
        return piece

    def __iter__(self) -> StreamedAnswer:
        return self

    def __next__(self) -> bytes:
        if self.is_over:
            raise StopIteration
        try:
            piece = next(self._rows)
        except Exception as error:  # noqa: BLE001 - it is logged where it is our fault
            piece = self._failure(self._rows.row, error)
            self._end(self._failed(error))
        else:
            if self._rows.is_over:
                self._end(HTTPStatus.OK)
        return piece

    def close(self) -> None:
        """Make no more of them: nobody reads on."""
        if not self.is_over:
            self._end(CLIENT_GONE)

    def _end(self, status: int) -> None:
        self.is_over = True
        self._rows.close()
        self._tell(status)


class RetryingRun:
    """Has the slices of one answer run: where too many calls wait, all but the first wait too.

    Args:
        predictor: runs the model.
        model: the model.
        deadline: on ``time.monotonic``'s scale; nothing is begun after it.

    Attributes:
        has_begun: whether the first one has been answered.
    """

    def __init__(self, predictor: Predictor, model: Model, deadline: float | None) -> None:
        self._predictor, self._model, self._deadline = predictor, model, deadline
        self.has_begun = False

    def __call__(self, columns: Columns) -> Observation:
        """What the model says of some rows."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                seen = self._predictor.run(self._model, columns, self._deadline)
            except Overloaded:
                if not self.has_begun or time.monotonic() >= until:
                    raise
                time.sleep(RETRY_S)
            else:
                self._predictor.tell_observers()
                return seen
