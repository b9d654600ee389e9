"""The table from errors to HTTP: one status, one code, one JSON shape for every failure.

    {"error": "2 problems in 1 row", "code": "invalid_rows", "problems": [...]}

``error`` is a sentence, ``code`` never changes its meaning; further keys are facts that the error
carries. An exception that is not in the table is ours to mend: 500, logged, its text kept inside.
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
from .reply import Response

JSON = "application/json"


class BodyTooLarge(errors.RequestError):
    """A body of more bytes than are taken, before or after it was inflated."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes; send the rows in parts")


class UnsupportedEncoding(errors.RequestError):
    """A Content-Encoding that is not known, or a body that is not what it says."""


class UnsupportedMediaType(errors.RequestError):
    """A body that is no JSON and never said so, or of a form whose library is not installed."""


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
"""Codes of the failures that routing finds before any of our code runs."""

CLIENT_GONE = 499
"""Status in metrics and logs of a request whose client left before its answer; nginx's code."""

NOT_READY = "not_ready"
"""Code of a service, or a model, that can't answer predictions yet."""

INTERNAL_CODE = "internal_error"
"""Code of whatever is in no table."""

RETRY_AFTER_S = "1"
"""When to ask again for a model that is not ready: the folder is looked at that often."""


HEADERS: dict[HTTPStatus, tuple[tuple[str, str], ...]] = {
    HTTPStatus.UNAUTHORIZED: tuple(
        ("WWW-Authenticate", f'{scheme} realm="pigeonhole"') for scheme in ("Bearer", "Basic")
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (("Retry-After", RETRY_AFTER_S),),
}
"""What a status says besides. Two challenges are two headers: some browsers read only the first of
one that holds both."""


def error_response(error: Exception) -> Response:
    """The answer to a failure, whatever failed."""
    if isinstance(error, HTTPException):
        return _routing_reply(error)
    for kind, (status, code) in TABLE.items():
        if isinstance(error, kind):
            body = {"error": str(error), "code": code, **_facts(error)}
            return Response(status, msgspec.json.encode(body), JSON, HEADERS.get(status, ()))
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    body = {"error": "the service failed to answer; its log says why", "code": INTERNAL_CODE}
    return Response(status, msgspec.json.encode(body), JSON)


def _routing_reply(error: HTTPException) -> Response:
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
            return "there is no such route; /docs and /openapi.json list those that there are"
        case MethodNotAllowed():
            return f"this route takes only {', '.join(sorted(error.valid_methods or ()))}"
        case RequestEntityTooLarge():
            return "the body is larger than is taken; send the rows in parts"
        case RequestURITooLarge():
            return "the path with its query is longer than is taken"
        case RequestHeaderFieldsTooLarge():
            return "the headers are larger than are taken"
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
