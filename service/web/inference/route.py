"""InferenceRoute: (headers, body) -> Reply. One object per hot route, whichever door it came by.

A protocol decodes and encodes; everything else that a prediction needs - limits, ids, metrics,
errors - is here once for all protocols.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from ...errors import (
    DeadlineExceeded,
    InvalidRequest,
    PigeonholeError,
    PredictionFailed,
)
from ...model.artifact import Model
from ...model.columns import Columns
from ...serving.metrics import Metrics
from ...serving.observation import Observation
from ...serving.predictor import Predictor
from ..errors import CLIENT_GONE, BodyTooLarge, error_response
from ..reply import Response, model_headers
from ..request_id import request_id
from .content_coding import inflated
from .protocol import Header, InferenceProtocol, InferenceResult, StreamProtocol
from .streaming import RetryingRun, StreamedAnswer

log = logging.getLogger(__name__)

TIMEOUT_HEADER = "x-request-timeout-ms"
"""A caller's time limit: what has not begun by then is not begun."""

LONG_BYTES = 64 * 1024
"""Text from which on reading may take a large fraction of a millisecond."""

SHORT_BYTES = 256
"""Up to here no body takes a millisecond to read, whatever it is."""

LONGEST_TIMEOUT = 12
"""Digits of a time limit."""


class Call(msgspec.Struct, gc=False):
    """One request on its way through a hot route.

    Attributes:
        identity: its id.
        started: when it came, on ``time.perf_counter``'s scale.
        deadline: when it is too late to begin, on ``time.monotonic``'s; None for never.
        model: the model that it means, once found.
        form: what the protocol remembers of it, once read.
        key: name of the key that it came with, if any.
        reading_s: seconds that it took to read its rows, once read.
        rows: how many they are, once read; of a stream those that were answered.
        writing_s: seconds that it took to write its answer, once ended.
        status: of its answer, once ended.
    """

    identity: str
    started: float
    deadline: float | None = None
    model: Model | None = None
    form: Any = None
    key: str = ""
    reading_s: float = 0.0
    rows: int | None = None
    writing_s: float = 0.0
    status: int = 0


class InferenceRoute:
    """One hot route.

    It is called whole, or in its three steps by those who can't wait for a heavy model: `begin`,
    `read`, and `finish` with what came of it.

    Args:
        name: the route's name in metrics.
        protocol: how its bodies are written.
        streams: how bodies of any number of rows are, if any are taken.
        predictor: finds and runs the model.
        metrics: told of every request.
        max_body_bytes: after inflating.
    """

    def __init__(
        self,
        name: str,
        protocol: InferenceProtocol,
        streams: StreamProtocol | None,
        predictor: Predictor,
        metrics: Metrics,
        *,
        max_body_bytes: int,
    ) -> None:
        self.name = name
        self.predictor, self.metrics = predictor, metrics
        self._protocol, self._streams = protocol, streams
        self._max_body_bytes = max_body_bytes

    def __call__(
        self,
        header: Header,
        body: bytes,
        model_name: str | None,
        version: str | None,
        call: Call | None = None,
        ended: Callable[[int], None] = lambda _status: None,
    ) -> Response:
        """Answer one request, waiting for the model; every failure is an answer too.

        Args:
            header: the request's headers.
            body: as received.
            model_name: None for the default model.
            version: None for the newest.
            call: where it has begun already.
            ended: called once with the status when the whole answer was made or given up, in the
                thread where that happens: before this returns, but for an answer with a rest.
        """
        call = call or self.begin(header)
        try:
            if self._streams is not None and self._streams.takes(header):
                model, body = self._opened(call, header, body, model_name, version)
                return self._streamed(call, self._streams, model, body, ended)
            model, columns = self.read(call, header, body, model_name, version)
            seen = self.predictor.run(model, columns, call.deadline)
        except Exception as error:  # noqa: BLE001 - finish makes an answer of whatever it is
            reply = self.finish(call, error)
        else:
            reply = self.finish(call, seen)
        ended(reply.status)
        return reply

    def is_long_to_read(self, header: Header, body: bytes) -> bool:
        """Whether reading a body may take longer than an event loop should be away.

        So it is of rows in a stream, however few: they are read and run in slices.
        """
        if self._streams is not None and self._streams.takes(header):
            return True
        is_packed = header("content-encoding") is not None
        if is_packed or len(body) < SHORT_BYTES:
            return is_packed  # who knows how large it becomes
        return self._protocol.reading_cost(header, body) >= LONG_BYTES

    def begin(self, header: Header) -> Call:
        """Take note of a request's coming."""
        return Call(request_id(header("x-request-id")), time.perf_counter())

    def read(
        self, call: Call, header: Header, body: bytes, model_name: str | None, version: str | None
    ) -> tuple[Model, Columns]:
        """Find the model and read the rows.

        Raises:
            PigeonholeError: for whatever is wrong with the request, or DeadlineExceeded.
        """
        began = time.perf_counter()
        model, body = self._opened(call, header, body, model_name, version)
        decoded = self._protocol.decode(model, body, header)
        call.form, call.rows = decoded.form, len(decoded.columns)
        if decoded.timeout_s is not None:
            self._keep_time(call, decoded.timeout_s)
        call.reading_s = time.perf_counter() - began
        return model, decoded.columns

    def _opened(
        self, call: Call, header: Header, body: bytes, model_name: str | None, version: str | None
    ) -> tuple[Model, bytes]:
        """The model that is meant, and the body as it was before it was compressed."""
        model = call.model = self.predictor.find(model_name, version)
        if (given := header(TIMEOUT_HEADER)) is not None:
            self._keep_time(call, _milliseconds(given) / 1000)
        if len(body) > self._max_body_bytes:
            raise BodyTooLarge(self._max_body_bytes)
        encoding = header("content-encoding")
        if encoding is not None:
            body = inflated(body, encoding, self._max_body_bytes)
        return model, body

    def _streamed(
        self,
        call: Call,
        streams: StreamProtocol,
        model: Model,
        body: bytes,
        ended: Callable[[int], None],
    ) -> Response:
        """The first slice of an answer; raises what keeps it from being made."""
        run = RetryingRun(self.predictor, model, call.deadline)
        rows = streams.stream(model, body, run)

        def failed(error: Exception) -> int:
            return _failed(call, error).status

        def end(status: int) -> None:
            call.reading_s, call.rows = rows.reading_s, rows.row
            self._count(call, status, time.perf_counter() - rows.writing_s)
            self.metrics.flush()
            ended(status)

        answer = StreamedAnswer(rows, run, streams.failure, failed, end)
        first = answer.first()
        rest = None if answer.is_over else answer
        return Response(HTTPStatus.OK, first, streams.content_type, model_headers(model), rest)

    def finish(self, call: Call, outcome: Observation | Exception) -> Response:
        """The answer, counted: to a prediction, or to what became of the request instead."""
        began = time.perf_counter()
        if isinstance(outcome, Exception):
            reply = _failed(call, outcome)
        else:
            model, prediction, out_of_range = (
                outcome.model,
                outcome.prediction,
                outcome.out_of_range,
            )
            try:
                reply = self._protocol.encode(
                    InferenceResult(model, prediction, out_of_range, call.identity, call.form)
                )
            except Exception as error:  # noqa: BLE001 - it is logged there
                reply = _failed(call, error)
        self._count(call, reply.status, began)
        return reply

    def give_up(self, call: Call) -> None:
        """Count a request whose client went away before its turn came; nothing was run for it."""
        self._count(call, CLIENT_GONE, time.perf_counter())

    def _count(self, call: Call, status: int, writing_since: float) -> None:
        """Count a request that has ended.

        Args:
            call: the request.
            status: of its answer.
            writing_since: when writing that began, on ``time.perf_counter``'s scale.
        """
        model, now = call.model, time.perf_counter()
        call.status, call.writing_s = status, now - writing_since
        self.metrics.request_ended(
            self.name,
            model.name if model else "",
            model.version if model else None,
            status,
            now - call.started,
            call.reading_s,
            call.writing_s,
        )

    def _keep_time(self, call: Call, seconds: float) -> None:
        """Note a time limit, the shortest of several; both clocks run alike."""
        left = seconds - (time.perf_counter() - call.started)
        deadline = time.monotonic() + left
        call.deadline = deadline if call.deadline is None else min(call.deadline, deadline)
        if left <= 0:
            raise DeadlineExceeded


def _failed(call: Call, error: Exception) -> Response:
    """The answer to a request that failed; what is our fault is logged."""
    if not isinstance(error, PigeonholeError) or isinstance(error, PredictionFailed):
        log.error("prediction failed", exc_info=error, extra={"request_id": call.identity})
    return error_response(error)


def _milliseconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_TIMEOUT:
        raise InvalidRequest(
            f"{TIMEOUT_HEADER} is {text[:40]!r}, expected a whole number of milliseconds"
        )
    return float(text)
