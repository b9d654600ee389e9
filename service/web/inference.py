"""InferenceRoute: (headers, body) -> Reply. One object per hot route, whichever door it came by.

A protocol decodes and encodes; everything else that a prediction needs - limits, ids, metrics,
errors - is here once for all protocols.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from service.errors import PigeonholeError, PredictionFailed
from service.model.artifact import Model
from service.model.columns import Columns, Prediction
from service.model.unusual import Warned
from service.serving.metrics import Metrics
from service.serving.predictor import Predictor
from service.web.bodies import inflated
from service.web.errors import BodyTooLarge, error_reply
from service.web.reply import Reply
from service.web.request_id import HEADER, request_id

log = logging.getLogger(__name__)

Header = Callable[[str], str | None]
"""Gives a request header by its name in lower case, or None."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request's rows, and what the protocol wants to remember until it encodes the answer.

    Attributes:
        columns: the rows.
        form: the protocol's own; handed to ``encode`` as it is.
        timeout_s: seconds that the body gives for the answer; None where it says nothing.
    """

    columns: Columns
    form: Any
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction with all that an encoder may want to say of it."""

    model: Model
    prediction: Prediction
    unusual: list[Warned]
    request_id: str
    form: Any


class InferenceProtocol(Protocol):
    """One way to write rows and predictions as bytes."""

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows in a body, by the model's signature.

        Raises:
            RequestError: for whatever is wrong with them.
        """

    def encode(self, answered: Answered) -> Reply:
        """The answer."""


class InferenceRoute:
    """One hot route.

    Args:
        name: the route's name in metrics.
        protocol: how its bodies are written.
        predictor: finds and runs the model.
        metrics: told of every request.
        max_body_bytes: after inflating.
    """

    def __init__(
        self,
        name: str,
        protocol: InferenceProtocol,
        predictor: Predictor,
        metrics: Metrics,
        *,
        max_body_bytes: int,
    ) -> None:
        self.name = name
        self._protocol, self._predictor, self._metrics = protocol, predictor, metrics
        self._max_body_bytes = max_body_bytes

    def __call__(
        self, header: Header, body: bytes, model_name: str | None, version: str | None
    ) -> Reply:
        """Answer one request; every failure is an answer too."""
        started = time.perf_counter()
        self._metrics.request_started()
        identity = request_id(header("x-request-id"))
        model: Model | None = None
        try:
            model = self._predictor.find(model_name, version)
            reply = self._answer(model, header, body, identity)
        except Exception as error:
            if not isinstance(error, PigeonholeError) or isinstance(error, PredictionFailed):
                log.exception("prediction failed", extra={"request_id": identity})
            reply = error_reply(error)
        self._metrics.request_ended(
            self.name,
            model.name if model else "",
            str(model.version) if model else "",
            reply.status,
            time.perf_counter() - started,
        )
        return Reply(
            reply.status, reply.body, reply.content_type, ((HEADER, identity), *reply.headers)
        )

    def _answer(self, model: Model, header: Header, body: bytes, identity: str) -> Reply:
        if len(body) > self._max_body_bytes:
            raise BodyTooLarge(self._max_body_bytes)
        plain = inflated(body, header("content-encoding") or "", self._max_body_bytes)
        decoded = self._protocol.decode(model, plain, header)
        prediction, unusual = self._predictor.predict(model, decoded.columns)
        return self._protocol.encode(Answered(model, prediction, unusual, identity, decoded.form))
