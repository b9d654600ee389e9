"""The fast path: answers inference requests without Flask, and passes all others to Flask.

The routes are the same objects that Flask serves, so the fast path changes speed and nothing else.

| request | is answered |
|---|---|
| a quick call | on the event loop, together with the other quick calls of the same turn |
| a call of a heavy model | by the batcher, while the loop continues |
| a large body or a stream | in a thread |
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from functools import partial

import msgspec
from werkzeug.exceptions import HTTPException

from ...api_keys import PREDICT
from ...errors import Overloaded, ScopeRequired
from ...model.artifact import Model
from ...model.columns import Columns
from ...serving.metrics import Metrics
from ...serving.observation import Observation
from ...serving.predictor import Predictor
from ..auth import Authenticator
from ..errors import CLIENT_GONE
from ..http.messages import Cancel, Request, Send, WireResponse
from ..inference.content_coding import (
    MIN_COMPRESS_BYTES,
    OFF_LOOP_BYTES,
    choose_coding,
    compress_response,
)
from ..inference.route import InferenceCall, InferenceRoute
from ..monitoring.finished_request import FinishedRequest
from ..monitoring.request_log import RequestLog
from ..response import Response
from .inference_routes import InferencePath
from .threads import ResponseThreads
from .wsgi import WsgiHandler

CACHED_PATHS = 1024
"""Paths that are cached with their route."""

Target = tuple[InferencePath, str | None, str | None]
"""A path's route, model name and version."""


class _Exchange(msgspec.Struct, frozen=True, gc=False):
    """A request and how to respond to it."""

    request: Request
    respond: Send
    route: InferenceRoute
    rule: str
    call: InferenceCall


class _QuickCalls(msgspec.Struct):
    """The quick calls of one model in one turn of the loop."""

    exchanges: list[_Exchange] = msgspec.field(default_factory=list)
    columns: list[Columns] = msgspec.field(default_factory=list)
    rows: int = 0


class FastPathHandler:
    """Handles inference requests itself, and passes all others to Flask.

    Args:
        paths: the inference paths.
        wsgi: handles all other requests.
        predictor: the routes' predictor.
        metrics: the routes' metrics.
        work: threads for large bodies.
        authenticator: authorizes requests before they are read; None without API keys.
        request_log: records finished requests; None for no record.
    """

    def __init__(
        self,
        paths: Sequence[InferencePath],
        wsgi: WsgiHandler,
        predictor: Predictor,
        metrics: Metrics,
        *,
        work: ResponseThreads,
        authenticator: Authenticator | None,
        request_log: RequestLog | None,
    ) -> None:
        self._wsgi, self._predictor, self._metrics, self._work = wsgi, predictor, metrics, work
        self._authenticator, self._request_log = authenticator, request_log
        self._patterns = [(_compile_rule(path.rule), path) for path in paths]
        self._targets: dict[str, Target] = {}
        self._quick_calls: dict[Model, _QuickCalls] = {}
        self._failed: list[tuple[_Exchange, Exception]] = []
        self._is_scheduled = False

    def __call__(self, request: Request, respond: Send) -> Cancel | None:
        """Respond to a request now or later."""
        cached = self._targets.get(request.path)
        target = cached or self._find_target(request.path)
        if target is None or request.method != "POST":
            return self._wsgi(request, respond)
        path, name, version = target
        route = path.route
        call = route.begin(request.headers.get)
        exchange = _Exchange(request, respond, route, path.rule, call)
        self._schedule_turn_end()
        try:
            if self._authenticator is not None:
                authorization = request.headers.get("authorization")
                call.key = self._authenticator.authorize(authorization, PREDICT)
            if route.is_slow_to_decode(request.headers.get, request.body):
                # Found first, so that a rejection for lack of threads counts for this model.
                call.model = self._predictor.find(name, version)
                return self._run_in_thread(exchange, name, version)
            model, columns = route.decode(call, request.headers.get, request.body, name, version)
            if cached is None and len(self._targets) < CACHED_PATHS:
                self._targets[request.path] = target  # only paths of models that exist
            if not self._predictor.is_quick(model, len(columns)):
                return self._queue(exchange, model, columns)
        except Exception as error:  # noqa: BLE001 - finish turns every error into a response
            if isinstance(error, ScopeRequired):
                call.key = error.key
            # Responding now would let the connection dispatch its next request at once: a client
            # with many invalid requests would block the loop.
            self._failed.append((exchange, error))
            return None
        self._add_quick_call(exchange, model, columns)
        return None

    def refuse(self, error: HTTPException) -> WireResponse:
        """Return the response to bytes that were not a valid request."""
        return self._wsgi.refuse(error)

    def _find_target(self, path: str) -> Target | None:
        for pattern, inference_path in self._patterns:
            if match := pattern.fullmatch(path):
                names = match.groupdict()
                return inference_path, names.get("name"), names.get("version")
        return None

    def _add_quick_call(self, exchange: _Exchange, model: Model, columns: Columns) -> None:
        quick = self._quick_calls.get(model)
        if quick is None:
            quick = self._quick_calls[model] = _QuickCalls()
        quick.exchanges.append(exchange)
        quick.columns.append(columns)
        quick.rows += len(columns)

    # At the end of a turn of the loop.

    def _schedule_turn_end(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Run the quick calls of this turn, send errors, then notify observers and metrics."""
        self._is_scheduled = False
        by_model, self._quick_calls = self._quick_calls, {}
        for model, quick in by_model.items():
            if self._predictor.is_quick(model, quick.rows):
                self._run_together(model, quick)
            else:  # each call is quick, but not all of them together
                self._queue_all(model, quick)
        failed, self._failed = self._failed, []
        for exchange, error in failed:
            self._finish(exchange, error)
        self._predictor.notify_observers()
        self._metrics.flush()

    def _run_together(self, model: Model, quick: _QuickCalls) -> None:
        outcomes: Sequence[Observation | Exception]
        try:
            outcomes = self._predictor.run_together(model, quick.columns)
        except Exception as error:  # noqa: BLE001 - every client gets a response
            outcomes = [error] * len(quick.exchanges)
        for exchange, outcome in zip(quick.exchanges, outcomes, strict=True):
            self._finish(exchange, outcome)

    def _queue_all(self, model: Model, quick: _QuickCalls) -> None:
        for exchange, columns in zip(quick.exchanges, quick.columns, strict=True):
            try:
                self._queue(exchange, model, columns)
            except Exception as error:  # noqa: BLE001 - finish turns every error into a response
                self._failed.append((exchange, error))

    # Calls that take longer.

    def _queue(self, exchange: _Exchange, model: Model, columns: Columns) -> Cancel:
        """Queue a call at the model's batcher."""
        loop = asyncio.get_running_loop()

        def on_done(outcome: Observation | Exception) -> None:
            loop.call_soon_threadsafe(self._finish_queued, exchange, outcome)

        cancel = self._predictor.submit(model, columns, exchange.call.deadline, on_done)
        self._metrics.in_flight(1)
        return partial(self._cancel, exchange, cancel)

    def _finish_queued(self, exchange: _Exchange, outcome: Observation | Exception) -> None:
        self._metrics.in_flight(-1)
        self._finish(exchange, outcome)
        self._schedule_turn_end()

    def _run_in_thread(self, exchange: _Exchange, name: str | None, version: str | None) -> Cancel:
        """Decode and answer a request in a thread."""
        request, route, call = exchange.request, exchange.route, exchange.call

        def on_end(status: int) -> None:
            self._metrics.in_flight(-1)
            self._record(exchange, status)

        def compute() -> WireResponse:
            response = route(request.headers.get, request.body, name, version, call, on_end)
            return self._compress(exchange, response)

        def respond(response: WireResponse) -> None:
            exchange.respond(response)
            self._schedule_turn_end()

        cancel = self._work(compute, respond)
        self._metrics.in_flight(1)
        return partial(self._cancel, exchange, cancel)

    def _cancel(self, exchange: _Exchange, cancel: Cancel) -> bool:
        """Cancel the call of a disconnected client; return False if it has already begun."""
        if not cancel():
            return False
        self._metrics.in_flight(-1)
        exchange.route.give_up(exchange.call)
        self._record(exchange, CLIENT_GONE)
        self._schedule_turn_end()
        return True

    # Responses.

    def _finish(self, exchange: _Exchange, outcome: Observation | Exception) -> None:
        response = exchange.route.finish(exchange.call, outcome)
        self._record(exchange, response.status)
        if len(response.body) < MIN_COMPRESS_BYTES:
            exchange.respond(response.to_wire(exchange.call.identity))
        else:
            self._respond_compressed(exchange, response)

    def _respond_compressed(self, exchange: _Exchange, response: Response) -> None:
        """Send a compressed response; compress a large one in a thread."""
        accept = exchange.request.headers.get("accept-encoding")
        if len(response.body) < OFF_LOOP_BYTES or choose_coding(accept) is None:
            exchange.respond(self._compress(exchange, response))
            return
        try:
            self._work(partial(self._compress, exchange, response), exchange.respond)
        except Overloaded:
            plain = compress_response(response, None)
            exchange.respond(plain.to_wire(exchange.call.identity))

    def _compress(self, exchange: _Exchange, response: Response) -> WireResponse:
        response = compress_response(response, exchange.request.headers.get("accept-encoding"))
        wire = response.to_wire(exchange.call.identity)
        if response.chunks is not None:
            wire.stream = self._work.stream(response.chunks)
        return wire

    def _record(self, exchange: _Exchange, status: int) -> None:
        """Record a finished request in the request log."""
        if self._request_log is None:
            return
        request, call = exchange.request, exchange.call
        self._request_log.note(
            FinishedRequest(
                call.identity,
                request.method,
                request.path,
                status,
                time.perf_counter() - call.started,
                call.key,
                exchange.rule,
                request.headers.get,
                request.client,
                call,
            )
        )


def _compile_rule(rule: str) -> re.Pattern[str]:
    """Return a pattern for a rule in Flask's notation; Flask may accept further paths."""
    texts_and_names = re.split(r"<(\w+)>", rule)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(texts_and_names)
        )
    )
