"""The express door: hot inference routes without Flask, everything else with it.

The routes are the very objects that Flask serves, so turning the door off changes speed and nothing
else. A quick call is answered on the event loop, where it stands; a heavy model's call waits for its
turn in the batcher and the loop goes on; a large body is read in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from functools import partial

from werkzeug.exceptions import HTTPException

from service.errors import Overloaded
from service.model.columns import Prediction
from service.serving.predictor import Predictor
from service.web.answer_threads import AnswerThreads
from service.web.door import Answer, Cancel, Request, Respond
from service.web.flask_door import FlaskDoor
from service.web.hot_routes import HotRoute
from service.web.inference import Call, InferenceRoute
from service.web.reply import Reply

LARGE_BODY_BYTES = 64 * 1024
"""From here on reading may take the loop more than a fraction of a millisecond."""

KNOWN_PATHS = 1024
"""Paths of live models that are remembered with the route that they lead to."""

access = logging.getLogger("service.access")

Target = tuple[InferenceRoute, str | None, str | None]
"""A route, the model's name and its version."""


class Express:
    """The door in front of Flask's.

    Args:
        routes: the hot ones.
        flask: the door of everything else.
        predictor: whose observers are told when the loop has time.
        work: the threads for large bodies.
        access_log: whether each request is logged.
    """

    def __init__(
        self,
        routes: Sequence[HotRoute],
        flask: FlaskDoor,
        predictor: Predictor,
        *,
        work: AnswerThreads,
        access_log: bool,
    ) -> None:
        self._flask, self._predictor, self._work = flask, predictor, work
        self._access_log = access_log
        self._patterns = [(_pattern(route.rule), route.answer) for route in routes]
        self._targets: dict[str, Target | None] = {}
        self._telling = False

    def __call__(self, request: Request, respond: Respond) -> Cancel | None:
        """Answer a request."""
        target = self._target(request.path)
        if target is None or request.method != "POST":
            return self._flask(request, respond)
        route, name, version = target
        header, body = request.header, request.body
        call = route.begin(header)
        if len(body) >= LARGE_BODY_BYTES:
            return self._elsewhere(request, target, call, respond)
        outcome: Prediction | Exception
        try:
            model, columns = route.read(call, header, body, name, version)
            if self._predictor.is_quick(model, len(columns)):
                outcome = model.session.run(columns)
            else:
                loop = asyncio.get_running_loop()

                def done(outcome: Prediction | Exception) -> None:
                    loop.call_soon_threadsafe(self._finish, request, route, call, respond, outcome)

                cancel = self._predictor.submit(model, columns, call.deadline, done)
                return partial(_give_up, cancel, route, call)
        except Exception as error:  # noqa: BLE001 - finish makes an answer of whatever it is
            outcome = error
        self._finish(request, route, call, respond, outcome)
        return None

    def refuse(self, error: HTTPException) -> Answer:
        """The answer to what never became a request."""
        return self._flask.refuse(error)

    def _elsewhere(
        self, request: Request, target: Target, call: Call, respond: Respond
    ) -> Cancel | None:
        route, name, version = target

        def make() -> Answer:
            return self._logged(
                request, call, route(request.header, request.body, name, version, call)
            )

        def respond_and_tell(answer: Answer) -> None:
            respond(answer)
            self._tell_soon()

        try:
            return partial(_give_up, self._work(make, respond_and_tell), route, call)
        except Overloaded as error:
            self._finish(request, route, call, respond, error)
            return None

    def _finish(
        self,
        request: Request,
        route: InferenceRoute,
        call: Call,
        respond: Respond,
        outcome: Prediction | Exception,
    ) -> None:
        respond(self._logged(request, call, route.finish(call, outcome)))
        self._tell_soon()

    def _logged(self, request: Request, call: Call, reply: Reply) -> Answer:
        if self._access_log:
            access.info(
                "request",
                extra={
                    "request_id": call.identity,
                    "method": request.method,
                    "path": request.path,
                    "status": reply.status,
                    "milliseconds": round(1000 * (time.perf_counter() - call.started), 3),
                },
            )
        return reply.answer()

    def _tell_soon(self) -> None:
        """Tell observers when the loop has seen to all that is there now: of all of it at once."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._predictor.tell_observers()

    def _target(self, path: str) -> Target | None:
        target = self._targets.get(path)
        if target is not None:
            return target
        for pattern, route in self._patterns:
            if match := pattern.fullmatch(path):
                parts = match.groupdict()
                target = route, parts.get("name"), parts.get("version")
                if len(self._targets) < KNOWN_PATHS:
                    self._targets[path] = target
                return target
        return None


def _give_up(cancel: Callable[[], object], route: InferenceRoute, call: Call) -> None:
    """Nobody waits for the answer any more: if the work has not begun, it never does."""
    if cancel():
        route.give_up(call)


def _pattern(rule: str) -> re.Pattern[str]:
    """A rule in Flask's notation as an expression; what it doesn't match, Flask may still."""
    texts_and_names = re.split(r"<(\w+)>", rule)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part)
            for place, part in enumerate(texts_and_names)
        )
    )
