"""The Flask app around all blueprints: what every answer carries, whatever route it came from."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from flask import Blueprint, Flask, g, request
from flask import Response as FlaskResponse
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from ...api_keys import ADMIN
from ...errors import PigeonholeError, PredictionFailed, ScopeRequired
from ...serving.metrics import UNKNOWN_ROUTE, Metrics
from ..auth import OPEN, Authenticator, scope_of
from ..errors import error_response
from ..inference.content_coding import compress_response
from ..inference.route import Call
from ..monitoring.request_log import FinishedRequest, RequestLog
from ..reply import SECURITY_HEADERS, Response
from ..request_id import HEADER, request_id

log = logging.getLogger(__name__)


def make_http_app(
    blueprints: Sequence[Blueprint],
    metrics: Metrics,
    *,
    authenticator: Authenticator,
    max_body_bytes: int,
    request_log: RequestLog | None,
) -> Flask:
    """A Flask app that serves these blueprints in the service's one manner.

    Args:
        blueprints: the routes.
        metrics: told of every request that no hot route has counted.
        authenticator: asked before anything else is done for a request.
        max_body_bytes: Flask refuses to read more.
        request_log: where each request is noted, if anywhere.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect would be an answer that is no JSON
    for blueprint in blueprints:
        app.register_blueprint(blueprint)

    @app.before_request
    def _start() -> None:
        g.started = time.perf_counter()
        _authorize(authenticator)

    @app.errorhandler(Exception)
    def _failed(error: Exception) -> FlaskResponse:
        known = isinstance(error, (HTTPException, PigeonholeError))
        if not known or isinstance(error, PredictionFailed):
            log.error("request failed", exc_info=error, extra={"request_id": _identity()})
        reply = error_response(error)
        headers = Headers(reply.headers)  # there may be two of one name
        return FlaskResponse(reply.body, reply.status, headers, content_type=reply.content_type)

    @app.after_request
    def _finish(response: FlaskResponse) -> FlaskResponse:
        if HEADER not in response.headers:
            response.headers[HEADER] = _identity()
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        _compress(response)
        seconds = time.perf_counter() - g.started
        if not g.get("counted", False):
            route = request.endpoint.rpartition(".")[2] if request.endpoint else UNKNOWN_ROUTE
            metrics.request_ended(route, None, response.status_code, seconds)
        metrics.flush()
        if request_log is not None:
            _note(request_log, response)
        return response

    return app


def _authorize(authenticator: Authenticator) -> None:
    """Let a request pass, or not, by the route that it means."""
    scope, authorization = scope_of(request.endpoint), request.headers.get("Authorization")
    try:
        g.key = authenticator.authorize(authorization, scope)
    except ScopeRequired as error:
        g.key = error.key
        if scope == ADMIN:
            log.warning("no admin asks", extra=_who_asks())
        raise
    if scope == OPEN:
        g.is_anonymous = not authenticator.is_authenticated(authorization)
    elif scope == ADMIN:
        log.info("an admin asks", extra=_who_asks())


def _who_asks() -> dict[str, str]:
    return {"key": g.key, "path": request.path, "request_id": _identity()}


def _note(request_log: RequestLog, response: FlaskResponse) -> None:
    """Note an answer when it is there, or when its last piece is."""
    began = g.started
    call: Call | None = g.get("call")
    ended = FinishedRequest(
        response.headers[HEADER],
        request.method,
        request.path,
        response.status_code,
        0.0,
        g.get("key", ""),
        request.url_rule.rule if request.url_rule else "",
        request.headers.get,
        request.remote_addr or "",
        call,
    )

    def note() -> None:
        ended.seconds = time.perf_counter() - began
        if call is not None and response.is_streamed:
            ended.status = call.status  # as it ended, which may be worse than it began
        request_log.note(ended)

    if response.is_streamed:
        response.call_on_close(note)
    else:
        note()


def _compress(response: FlaskResponse) -> None:
    """Compress an answer for who asks for it.

    What is made piece by piece is compressed there, and the files of the page are small.
    """
    if response.is_streamed:
        return
    plain = Response(response.status_code, response.get_data(), "")
    reply = compress_response(plain, request.headers.get("Accept-Encoding"))
    if reply is not plain:
        response.headers.extend(reply.headers)
        response.set_data(reply.body)


def _identity() -> str:
    """The request's id, made when it is first asked for: a hot route has made its own."""
    if "request_id" not in g:
        g.request_id = request_id(request.headers.get(HEADER))
    identity: str = g.request_id
    return identity
