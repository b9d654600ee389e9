"""Bodies of responses to any number of rows, computed slice by slice while the client reads."""

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

RETRY_FOR_S = 10.0
"""How long a started stream retries while the model's queue is full."""

RETRY_INTERVAL_S = 0.05


class StreamingBody:
    """The slices of one response.

    After the first slice the status is sent. A later failure therefore ends the response with an
    error for the first row without a result. Metrics record the status of that failure.

    Args:
        rows: returns the slices.
        run: runs the model for ``rows``.
        encode_error: encodes an error in place of a row's result.
        on_error: logs a failure of the service and returns the status of any failure.
        on_end: called once with the status, when the body is complete or abandoned.
    """

    def __init__(
        self,
        rows: RowStream,
        run: RetryingRun,
        encode_error: Callable[[int, Exception], bytes],
        on_error: Callable[[Exception], int],
        on_end: Callable[[int], None],
    ) -> None:
        self._rows, self._run = rows, run
        self._encode_error, self._on_error, self._on_end = encode_error, on_error, on_end
        self.is_finished = False

    def first(self) -> bytes:
        """Return the first slice.

        If it fails, the exception is raised and ``on_end`` is not called.
        """
        try:
            chunk = next(self._rows)
        except BaseException:
            self._rows.close()
            raise
        self._run.is_started = True
        if self._rows.is_finished:
            self._end(HTTPStatus.OK)
        return chunk

    def __iter__(self) -> StreamingBody:
        return self

    def __next__(self) -> bytes:
        if self.is_finished:
            raise StopIteration
        try:
            chunk = next(self._rows)
        except Exception as error:  # noqa: BLE001 - on_error logs failures of the service
            chunk = self._encode_error(self._rows.rows_done, error)
            self._end(self._on_error(error))
        else:
            if self._rows.is_finished:
                self._end(HTTPStatus.OK)
        return chunk

    def close(self) -> None:
        """Compute no more slices, because the client is gone."""
        if not self.is_finished:
            self._end(CLIENT_GONE)

    def _end(self, status: int) -> None:
        self.is_finished = True
        self._rows.close()
        self._on_end(status)


class RetryingRun:
    """Runs the model for the slices of one response, and retries while its queue is full.

    The first slice is not retried, so that a new request is rejected at once.

    Args:
        predictor: runs the model.
        model: the model.
        deadline: on ``time.monotonic``'s scale; no run starts after it. None for no deadline.

    Attributes:
        is_started: whether the first slice is done.
    """

    def __init__(self, predictor: Predictor, model: Model, deadline: float | None) -> None:
        self._predictor, self._model, self._deadline = predictor, model, deadline
        self.is_started = False

    def __call__(self, columns: Columns) -> Observation:
        """Return the model's prediction for some rows."""
        give_up_at = time.monotonic() + RETRY_FOR_S
        while True:
            try:
                observation = self._predictor.run(self._model, columns, self._deadline)
            except Overloaded:
                if not self.is_started or time.monotonic() >= give_up_at:
                    raise
                time.sleep(RETRY_INTERVAL_S)
            else:
                self._predictor.notify_observers()
                return observation
