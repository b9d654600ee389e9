"""The Flask app: all blueprints, and the authorization, headers and metrics that routes share."""

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
from ..inference.route import InferenceCall
from ..monitoring.finished_request import FinishedRequest
from ..monitoring.request_log import RequestLog
from ..request_id import HEADER, request_id
from ..response import SECURITY_HEADERS, Response

log = logging.getLogger(__name__)


def make_http_app(
    blueprints: Sequence[Blueprint],
    metrics: Metrics,
    *,
    authenticator: Authenticator,
    max_body_bytes: int,
    request_log: RequestLog | None,
) -> Flask:
    """Return a Flask app that serves blueprints with the service's errors, headers and metrics.

    Args:
        blueprints: the routes.
        metrics: count every request that no inference route has counted.
        authenticator: authorizes every request before its route runs.
        max_body_bytes: limit of a request body.
        request_log: records finished requests; None for no record.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # the redirect would not be JSON
    for blueprint in blueprints:
        app.register_blueprint(blueprint)

    @app.before_request
    def _before() -> None:
        g.started = time.perf_counter()
        _authorize(authenticator)

    app.register_error_handler(Exception, _respond_to_error)

    @app.after_request
    def _after(response: FlaskResponse) -> FlaskResponse:
        if HEADER not in response.headers:
            response.headers[HEADER] = _identity()
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        _compress(response)
        if not g.get("counted", False):
            _count(metrics, response.status_code)
        metrics.flush()
        if request_log is not None:
            _record(request_log, response)
        return response

    return app


def _authorize(authenticator: Authenticator) -> None:
    """Authorize the request for its route; log every request to an admin route.

    Raises:
        ScopeRequired: if the API key does not have the route's scope.
    """
    scope, authorization = scope_of(request.endpoint), request.headers.get("Authorization")
    try:
        g.key = authenticator.authorize(authorization, scope)
    except ScopeRequired as error:
        g.key = error.key
        if scope == ADMIN:
            log.warning("admin request rejected", extra=_log_fields())
        raise
    if scope == OPEN:
        g.is_anonymous = not authenticator.is_authenticated(authorization)
    elif scope == ADMIN:
        log.info("admin request", extra=_log_fields())


def _log_fields() -> dict[str, str]:
    return {"key": g.key, "path": request.path, "request_id": _identity()}


def _respond_to_error(error: Exception) -> FlaskResponse:
    """Return the response for an error of a route; log a failure of the service."""
    is_expected = isinstance(error, (HTTPException, PigeonholeError))
    if not is_expected or isinstance(error, PredictionFailed):
        log.error("request failed", exc_info=error, extra={"request_id": _identity()})
    response = error_response(error)
    headers = Headers(response.headers)  # may hold a name twice
    return FlaskResponse(
        response.body, response.status, headers, content_type=response.content_type
    )


def _count(metrics: Metrics, status: int) -> None:
    route = request.endpoint.rpartition(".")[2] if request.endpoint else UNKNOWN_ROUTE
    metrics.request_ended(route, None, status, time.perf_counter() - g.started)


def _record(request_log: RequestLog, response: FlaskResponse) -> None:
    """Record the request when its response is complete; for a stream, after the last chunk."""
    started = g.started
    call: InferenceCall | None = g.get("call")
    finished = FinishedRequest(
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
        finished.seconds = time.perf_counter() - started
        if call is not None and response.is_streamed:
            finished.status = call.status  # the stream may have failed after status 200 was sent
        request_log.note(finished)

    if response.is_streamed:
        response.call_on_close(note)
    else:
        note()


def _compress(response: FlaskResponse) -> None:
    """Compress a response body if the client accepts that.

    Routes compress their own streams, and the files of the documentation page are small.
    """
    if response.is_streamed:
        return
    plain = Response(response.status_code, response.get_data(), "")
    compressed = compress_response(plain, request.headers.get("Accept-Encoding"))
    if compressed is not plain:
        response.headers.extend(compressed.headers)
        response.set_data(compressed.body)


def _identity() -> str:
    """Return the request id; inference routes make their own."""
    if "request_id" not in g:
        g.request_id = request_id(request.headers.get(HEADER))
    identity: str = g.request_id
    return identity
