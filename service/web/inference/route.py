"""InferenceRoute: turns headers and a body into a Response, for either handler.

A protocol decodes and encodes. Limits, ids, deadlines, metrics and errors are handled here, once
for all protocols.
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
from ..request_id import request_id
from ..response import Response, model_headers
from .content_coding import decompress_body
from .protocol import Header, InferenceProtocol, InferenceResult, StreamProtocol
from .streaming import RetryingRun, StreamingBody

log = logging.getLogger(__name__)

TIMEOUT_HEADER = "x-request-timeout-ms"
"""The client's time limit for a request, in milliseconds."""

SLOW_DECODE_BYTES = 64 * 1024
"""A JSON body from this size on may take a large fraction of a millisecond to decode."""

FAST_DECODE_BYTES = 256
"""Below this size a body of any format is decoded in less than a millisecond."""

MAX_TIMEOUT_DIGITS = 12


class InferenceCall(msgspec.Struct, gc=False):
    """The state of one request to an inference route.

    Attributes:
        identity: the request id.
        started: when the request was received, on ``time.perf_counter``'s scale.
        deadline: latest start of the model run, on ``time.monotonic``'s scale; None without one.
        model: the requested model, once found.
        context: the protocol's state between decoding and encoding.
        key: name of the API key; empty without one.
        decode_seconds: time spent on decoding, once done.
        rows: number of rows, once decoded; of a stream, the rows with a result.
        encode_seconds: time spent on encoding, once done.
        status: of the response, once finished.
    """

    identity: str
    started: float
    deadline: float | None = None
    model: Model | None = None
    context: Any = None
    key: str = ""
    decode_seconds: float = 0.0
    rows: int | None = None
    encode_seconds: float = 0.0
    status: int = 0


class InferenceRoute:
    """One inference route.

    Call it to answer a request and wait for the model. A handler that must not wait uses the three
    steps instead: `begin`, `decode`, and `finish` with the prediction or the error.

    Args:
        name: the route's name in metrics.
        protocol: decodes and encodes whole bodies.
        streams: decodes and encodes streams of rows, if the route accepts any.
        predictor: finds and runs models.
        metrics: records every request.
        max_body_bytes: limit of a body, before and after decompression.
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
        call: InferenceCall | None = None,
        on_end: Callable[[int], None] = lambda _status: None,
    ) -> Response:
        """Return the response to one request, after waiting for the model; never raises.

        Args:
            header: returns the request's headers.
            body: the received bytes.
            model_name: None for the default model.
            version: None for the newest version.
            call: the result of `begin`, if the handler has called it.
            on_end: called once with the status when the response is complete or abandoned: before
                this method returns, or, for a response with chunks, after its last chunk.
        """
        call = call or self.begin(header)
        try:
            if self._streams is not None and self._streams.accepts(header):
                model, body = self._open(call, header, body, model_name, version)
                return self._stream(call, self._streams, model, body, on_end)
            model, columns = self.decode(call, header, body, model_name, version)
            observation = self.predictor.run(model, columns, call.deadline)
        except Exception as error:  # noqa: BLE001 - finish turns every error into a response
            response = self.finish(call, error)
        else:
            response = self.finish(call, observation)
        on_end(response.status)
        return response

    def is_slow_to_decode(self, header: Header, body: bytes) -> bool:
        """Return whether decoding a body could block an event loop for too long.

        A stream always counts as slow, because its slices are decoded and run one after the other.
        """
        if self._streams is not None and self._streams.accepts(header):
            return True
        is_compressed = header("content-encoding") is not None
        if is_compressed or len(body) < FAST_DECODE_BYTES:
            return is_compressed  # the decompressed size is unknown
        return self._protocol.decode_cost(header, body) >= SLOW_DECODE_BYTES

    def begin(self, header: Header) -> InferenceCall:
        """Return the state of a new request, with its id and start time."""
        return InferenceCall(request_id(header("x-request-id")), time.perf_counter())

    def decode(
        self,
        call: InferenceCall,
        header: Header,
        body: bytes,
        model_name: str | None,
        version: str | None,
    ) -> tuple[Model, Columns]:
        """Return the requested model and the decoded rows.

        Raises:
            PigeonholeError: for an invalid request, or after its deadline.
        """
        started = time.perf_counter()
        model, body = self._open(call, header, body, model_name, version)
        decoded = self._protocol.decode(model, body, header)
        call.context, call.rows = decoded.context, len(decoded.columns)
        if decoded.timeout_s is not None:
            self._set_deadline(call, decoded.timeout_s)
        call.decode_seconds = time.perf_counter() - started
        return model, decoded.columns

    def _open(
        self,
        call: InferenceCall,
        header: Header,
        body: bytes,
        model_name: str | None,
        version: str | None,
    ) -> tuple[Model, bytes]:
        """Return the requested model and the decompressed body; set the deadline."""
        model = call.model = self.predictor.find(model_name, version)
        if (timeout := header(TIMEOUT_HEADER)) is not None:
            self._set_deadline(call, _parse_milliseconds(timeout) / 1000)
        if len(body) > self._max_body_bytes:
            raise BodyTooLarge(self._max_body_bytes)
        encoding = header("content-encoding")
        if encoding is not None:
            body = decompress_body(body, encoding, self._max_body_bytes)
        return model, body

    def _stream(
        self,
        call: InferenceCall,
        streams: StreamProtocol,
        model: Model,
        body: bytes,
        on_end: Callable[[int], None],
    ) -> Response:
        """Return a response that starts with the first slice.

        Raises:
            Exception: if the first slice fails, because the status can still be chosen then.
        """
        run = RetryingRun(self.predictor, model, call.deadline)
        rows = streams.stream(model, body, run)

        def on_error(error: Exception) -> int:
            return _log_and_encode(call, error).status

        def end(status: int) -> None:
            call.decode_seconds, call.rows = rows.decode_seconds, rows.rows_done
            self._record(call, status, time.perf_counter() - rows.encode_seconds)
            self.metrics.flush()
            on_end(status)

        chunks = StreamingBody(rows, run, streams.encode_error, on_error, end)
        first = chunks.first()
        more = None if chunks.is_finished else chunks
        return Response(HTTPStatus.OK, first, streams.content_type, model_headers(model), more)

    def finish(self, call: InferenceCall, outcome: Observation | Exception) -> Response:
        """Return the response for a prediction or an error, and record the request in metrics."""
        started = time.perf_counter()
        if isinstance(outcome, Exception):
            response = _log_and_encode(call, outcome)
        else:
            try:
                response = self._protocol.encode(
                    InferenceResult(
                        outcome.model,
                        outcome.prediction,
                        outcome.out_of_range,
                        call.identity,
                        call.context,
                    )
                )
            except Exception as error:  # noqa: BLE001 - logged in the call below
                response = _log_and_encode(call, error)
        self._record(call, response.status, started)
        return response

    def give_up(self, call: InferenceCall) -> None:
        """Record a request whose client disconnected before the model ran."""
        self._record(call, CLIENT_GONE, time.perf_counter())

    def _record(self, call: InferenceCall, status: int, encode_started: float) -> None:
        """Record a finished request in metrics.

        Args:
            call: the request.
            status: of the response.
            encode_started: when encoding started, on ``time.perf_counter``'s scale.
        """
        model, now = call.model, time.perf_counter()
        call.status, call.encode_seconds = status, now - encode_started
        self.metrics.request_ended(
            self.name,
            model,
            status,
            now - call.started,
            call.decode_seconds,
            call.encode_seconds,
        )

    def _set_deadline(self, call: InferenceCall, timeout_s: float) -> None:
        """Set the deadline of a request; the earliest of several counts.

        The time limit starts with the request.

        Raises:
            DeadlineExceeded: if the deadline has passed.
        """
        remaining_s = timeout_s - (time.perf_counter() - call.started)
        deadline = time.monotonic() + remaining_s
        call.deadline = deadline if call.deadline is None else min(call.deadline, deadline)
        if remaining_s <= 0:
            raise DeadlineExceeded


def _log_and_encode(call: InferenceCall, error: Exception) -> Response:
    """Return the response for an error; a failure of the service is logged."""
    if not isinstance(error, PigeonholeError) or isinstance(error, PredictionFailed):
        log.error("prediction failed", exc_info=error, extra={"request_id": call.identity})
    return error_response(error)


def _parse_milliseconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or len(text) > MAX_TIMEOUT_DIGITS:
        raise InvalidRequest(
            f"header {TIMEOUT_HEADER} is {text[:40]!r}, expected a whole number of milliseconds"
        )
    return float(text)
