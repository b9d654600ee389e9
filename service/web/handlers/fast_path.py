"""The express door: hot inference routes without Flask, everything else with it.

The routes are the very objects that Flask serves, so turning the door off changes speed and nothing
else. A quick call is answered on the event loop, where it stands; a heavy model's call waits for its
turn in the batcher and the loop goes on; a large body is read in a thread.
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
from ..inference.route import Call, InferenceRoute
from ..monitoring.request_log import FinishedRequest, RequestLog
from ..reply import Response
from .inference_routes import InferencePath
from .threads import ResponseThreads
from .wsgi import WsgiHandler

KNOWN_PATHS = 1024
"""Paths that were answered and are remembered with the route that they lead to."""

Target = tuple[InferencePath, str | None, str | None]
"""A route, the model's name and its version."""


class _Exchange(msgspec.Struct, frozen=True, gc=False):
    """A request at this door, and what is known of it by now."""

    request: Request
    respond: Send
    route: InferenceRoute
    rule: str
    call: Call


class _Quick(msgspec.Struct):
    """The quick calls of one model in one turn of the loop, and how many rows they have."""

    visits: list[_Exchange] = msgspec.field(default_factory=list)
    parts: list[Columns] = msgspec.field(default_factory=list)
    rows: int = 0


class FastPathHandler:
    """The door in front of Flask's.

    Args:
        routes: the hot ones.
        flask: the door of everything else.
        predictor: what the routes predict with; its observers are told when the loop has time.
        metrics: what the routes count with, as well.
        work: the threads for large bodies.
        guard: asked before a hot request is read; None where no keys are asked for.
        journal: where each request is noted, if anywhere.
    """

    def __init__(
        self,
        routes: Sequence[InferencePath],
        flask: WsgiHandler,
        predictor: Predictor,
        metrics: Metrics,
        *,
        work: ResponseThreads,
        authenticator: Authenticator | None,
        request_log: RequestLog | None,
    ) -> None:
        self._flask, self._predictor, self._metrics, self._work = flask, predictor, metrics, work
        self._authenticator, self._request_log = authenticator, request_log
        self._patterns = [(_pattern(route.rule), route) for route in routes]
        self._targets: dict[str, Target] = {}
        self._quick: dict[Model, _Quick] = {}
        self._failed: list[tuple[_Exchange, Exception]] = []
        self._is_due = False

    def __call__(self, request: Request, respond: Send) -> Cancel | None:
        """Answer a request."""
        known = self._targets.get(request.path)
        target = known or self._target(request.path)
        if target is None or request.method != "POST":
            return self._flask(request, respond)
        hot, name, version = target
        route = hot.answer
        call = route.begin(request.headers.get)
        visit = _Exchange(request, respond, route, hot.rule, call)
        self._soon()
        try:
            if self._authenticator is not None:
                call.key = self._authenticator.authorize(
                    request.headers.get("authorization"), PREDICT
                )
            if route.is_slow_to_decode(request.headers.get, request.body):
                # Known before there may be no thread for it: it is the model's, as other refusals.
                call.model = self._predictor.find(name, version)
                return self._in_thread(visit, name, version)
            model, columns = route.decode(call, request.headers.get, request.body, name, version)
            rows = len(columns)
            if known is None and len(self._targets) < KNOWN_PATHS:
                self._targets[request.path] = target  # of a live model: whatever is asked for isn't
            if not self._predictor.is_quick(model, rows):
                return self._in_turn(visit, model, columns)
        except Exception as error:  # noqa: BLE001 - finish makes an answer of whatever it is
            if isinstance(error, ScopeRequired):
                call.key = error.key
            # Not here, where its client would have the next one read at once, and others wait.
            self._failed.append((visit, error))
            return None
        quick = self._quick.get(model)
        if quick is None:
            quick = self._quick[model] = _Quick()
        quick.visits.append(visit)
        quick.parts.append(columns)
        quick.rows += rows
        return None

    def refuse(self, error: HTTPException) -> WireResponse:
        """The answer to what never became a request."""
        return self._flask.refuse(error)

    def _soon(self) -> None:
        """See to what is left when the loop has read all that is there now."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._see_to_it)

    def _see_to_it(self) -> None:
        """Answer what one turn of the loop has read, quick calls together; then count and tell."""
        self._is_due = False
        by_model, self._quick = self._quick, {}
        for model, quick in by_model.items():
            if self._predictor.is_quick(model, quick.rows):
                self._run_together(model, quick)
                continue
            for visit, columns in zip(quick.visits, quick.parts, strict=True):
                try:  # each of them is quick, all of them are not
                    self._in_turn(visit, model, columns)
                except Exception as error:  # noqa: BLE001 - as above
                    self._failed.append((visit, error))
        failed, self._failed = self._failed, []
        for visit, outcome in failed:
            self._finish(visit, outcome)
        self._predictor.notify_observers()
        self._metrics.flush()

    def _run_together(self, model: Model, quick: _Quick) -> None:
        outcomes: Sequence[Observation | Exception]
        try:
            outcomes = self._predictor.run_together(model, quick.parts)
        except Exception as error:  # noqa: BLE001 - nobody is left without an answer
            outcomes = [error] * len(quick.visits)
        for visit, outcome in zip(quick.visits, outcomes, strict=True):
            self._finish(visit, outcome)

    def _in_turn(self, visit: _Exchange, model: Model, columns: Columns) -> Cancel:
        """Let a call of a heavy model wait for its turn, while the loop goes on."""
        loop = asyncio.get_running_loop()

        def done(outcome: Observation | Exception) -> None:
            loop.call_soon_threadsafe(self._finish_later, visit, outcome)

        cancel = self._predictor.submit(model, columns, visit.call.deadline, done)
        self._metrics.in_flight(1)
        return partial(self._give_up, visit, cancel)

    def _in_thread(self, visit: _Exchange, name: str | None, version: str | None) -> Cancel:
        """Have a large body read, and all that follows, in a thread."""
        request, route, call = visit.request, visit.route, visit.call

        def ended(status: int) -> None:
            self._metrics.in_flight(-1)
            self._note(visit, status)

        def make() -> WireResponse:
            reply = route(request.headers.get, request.body, name, version, call, ended)
            return self._written(visit, reply)

        def respond(answer: WireResponse) -> None:
            visit.respond(answer)
            self._soon()

        cancel = self._work(make, respond)
        self._metrics.in_flight(1)
        return partial(self._give_up, visit, cancel)

    def _give_up(self, visit: _Exchange, cancel: Cancel) -> bool:
        """Nobody waits for the answer any more: if the work has not begun, it never does."""
        if not cancel():
            return False
        self._metrics.in_flight(-1)
        visit.route.give_up(visit.call)
        self._note(visit, CLIENT_GONE)
        self._soon()
        return True

    def _finish_later(self, visit: _Exchange, outcome: Observation | Exception) -> None:
        self._metrics.in_flight(-1)
        self._finish(visit, outcome)
        self._soon()

    def _finish(self, visit: _Exchange, outcome: Observation | Exception) -> None:
        reply = visit.route.finish(visit.call, outcome)
        self._note(visit, reply.status)
        if len(reply.body) < MIN_COMPRESS_BYTES:
            visit.respond(reply.answer(visit.call.identity))
        else:
            self._respond_at_length(visit, reply)

    def _respond_at_length(self, visit: _Exchange, reply: Response) -> None:
        """Give an answer that is long enough to be compressed; a longer one is elsewhere."""
        accept = visit.request.headers.get("accept-encoding")
        if len(reply.body) >= OFF_LOOP_BYTES and choose_coding(accept) is not None:
            try:
                self._work(partial(self._written, visit, reply), visit.respond)
            except Overloaded:
                visit.respond(compress_response(reply, None).answer(visit.call.identity))
        else:
            visit.respond(self._written(visit, reply))

    def _written(self, visit: _Exchange, reply: Response) -> WireResponse:
        reply = compress_response(reply, visit.request.headers.get("accept-encoding"))
        answer = reply.answer(visit.call.identity)
        if reply.rest is not None:
            answer.rest = self._work.rest(reply.rest)
        return answer

    def _note(self, visit: _Exchange, status: int) -> None:
        if self._request_log is not None:
            request, call = visit.request, visit.call
            self._request_log.note(
                FinishedRequest(
                    call.identity,
                    request.method,
                    request.path,
                    status,
                    time.perf_counter() - call.started,
                    call.key,
                    visit.rule,
                    request.headers.get,
                    request.client,
                    call,
                )
            )

    def _target(self, path: str) -> Target | None:
        for pattern, route in self._patterns:
            if match := pattern.fullmatch(path):
                parts = match.groupdict()
                return route, parts.get("name"), parts.get("version")
        return None


def _pattern(rule: str) -> re.Pattern[str]:
    """A rule in Flask's notation as an expression; what it doesn't match, Flask may still."""
    texts_and_names = re.split(r"<(\w+)>", rule)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part)
            for place, part in enumerate(texts_and_names)
        )
    )
