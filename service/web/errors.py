"""The table from errors to HTTP: one status, one code and one JSON shape for every error.

    {"error": "2 problems in 1 row", "code": "invalid_rows", "problems": [...]}

``error`` is a sentence, and the meaning of a ``code`` never changes. Further keys are facts of the
error. An exception outside the table is a fault of the service: 500, logged, without its text.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestURITooLarge,
)

from .. import errors
from .response import Response

JSON = "application/json"


class BodyTooLarge(errors.RequestError):
    """A body beyond the limit, before or after decompression."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body is larger than the limit of {limit} bytes: send the rows in parts"
        )


class UnsupportedEncoding(errors.RequestError):
    """An unknown Content-Encoding, or a body that is not encoded so."""


class UnsupportedMediaType(errors.RequestError):
    """A body in an unsupported format, or in one whose package is not installed."""


TABLE: dict[type[Exception], tuple[HTTPStatus, str]] = {
    errors.KeyRequired: (HTTPStatus.UNAUTHORIZED, "unauthorized"),
    errors.ScopeRequired: (HTTPStatus.FORBIDDEN, "forbidden"),
    errors.UnreadableBody: (HTTPStatus.BAD_REQUEST, "unreadable_body"),
    errors.InvalidRequest: (HTTPStatus.BAD_REQUEST, "invalid_request"),
    errors.InvalidRows: (HTTPStatus.BAD_REQUEST, "invalid_rows"),
    errors.TooManyRows: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_rows"),
    BodyTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large"),
    UnsupportedEncoding: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding"),
    UnsupportedMediaType: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    errors.UnknownModel: (HTTPStatus.NOT_FOUND, "unknown_model"),
    errors.UnknownVersion: (HTTPStatus.NOT_FOUND, "unknown_version"),
    errors.UnknownLabel: (HTTPStatus.NOT_FOUND, "unknown_label"),
    errors.UnsupportedAction: (HTTPStatus.NOT_FOUND, "unsupported_action"),
    errors.NoDefaultModel: (HTTPStatus.NOT_FOUND, "no_default_model"),
    errors.LoadFailed: (HTTPStatus.BAD_REQUEST, "load_failed"),
    errors.WorkersBehind: (HTTPStatus.SERVICE_UNAVAILABLE, "workers_behind"),
    errors.ModelNotReady: (HTTPStatus.SERVICE_UNAVAILABLE, "model_not_ready"),
    errors.Overloaded: (HTTPStatus.SERVICE_UNAVAILABLE, "overloaded"),
    errors.DeadlineExceeded: (HTTPStatus.GATEWAY_TIMEOUT, "deadline_exceeded"),
    errors.PredictionFailed: (HTTPStatus.INTERNAL_SERVER_ERROR, "prediction_failed"),
}
"""Status and code of each error."""

HTTP_CODES: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.NOT_FOUND: "unknown_route",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_TIMEOUT: "request_too_slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "target_too_long",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded",
}
"""Codes of errors that routing finds before a view runs."""

CLIENT_GONE = 499
"""Status, in metrics and logs, of a request whose client left before its response; as in nginx."""

NOT_READY = "not_ready"
"""Code of a service, or a model, that can't answer predictions yet."""

INTERNAL_CODE = "internal_error"
"""Code of every exception outside the tables."""

RETRY_AFTER_S = "1"
"""Seconds until a model may be ready: the folder is scanned that often."""


HEADERS: dict[HTTPStatus, tuple[tuple[str, str], ...]] = {
    HTTPStatus.UNAUTHORIZED: tuple(
        ("WWW-Authenticate", f'{scheme} realm="pigeonhole"') for scheme in ("Bearer", "Basic")
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (("Retry-After", RETRY_AFTER_S),),
}
"""Headers of a status. Two challenges are two headers, because some browsers read only the first
challenge of a header."""


def error_response(error: Exception) -> Response:
    """Return the response to any exception."""
    if isinstance(error, HTTPException):
        return _routing_response(error)
    for kind, (status, code) in TABLE.items():
        if isinstance(error, kind):
            body = {"error": str(error), "code": code, **_facts(error)}
            return Response(status, msgspec.json.encode(body), JSON, HEADERS.get(status, ()))
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    body = {"error": "the service failed to answer: its log has the reason", "code": INTERNAL_CODE}
    return Response(status, msgspec.json.encode(body), JSON)


def _routing_response(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    code = HTTP_CODES.get(
        status, INTERNAL_CODE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
    )
    body = {"error": _routing_sentence(error), "code": code}
    skipped = {"content-type", "content-length"}
    headers = tuple((k, v) for k, v in error.get_headers() if k.lower() not in skipped)
    if status == HTTPStatus.UNAUTHORIZED:
        headers += HEADERS[HTTPStatus.UNAUTHORIZED]
    return Response(status, msgspec.json.encode(body), JSON, headers)


def _routing_sentence(error: HTTPException) -> str:
    match error:
        case NotFound():
            return "the path does not exist: /docs and /openapi.json list the routes"
        case MethodNotAllowed():
            return f"the method is not allowed, expected {', '.join(sorted(error.valid_methods or ()))}"
        case RequestEntityTooLarge():
            return "the body is larger than the limit: send the rows in parts"
        case RequestURITooLarge():
            return "path and query are longer than the limit"
        case RequestHeaderFieldsTooLarge():
            return "the headers are larger than the limit"
        case _:
            return error.description or HTTPStatus(error.code or 500).phrase


def _facts(error: Exception) -> dict[str, Any]:
    match error:
        case errors.InvalidRows():
            problems = [
                {name: value for name, value in vars(problem).items() if value is not None}
                for problem in error.problems
            ]
            return {"problems": problems} | ({"truncated": True} if error.truncated else {})
        case errors.InvalidRequest() if error.pointer:
            return {"pointer": error.pointer}
        case errors.UnknownModel() | errors.NoDefaultModel():
            return {"models": list(error.known)}
        case errors.UnknownVersion():
            return {"versions": [str(version) for version in error.live]}
        case errors.TooManyRows():
            return {"limit": error.limit}
        case _:
            return {}
