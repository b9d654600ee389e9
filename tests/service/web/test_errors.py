"""The table from errors to HTTP: statuses, codes and the JSON of errors."""

from __future__ import annotations

import json

import pytest
from werkzeug import exceptions

from pigeonhole.service import errors
from pigeonhole.service.web.errors import (
    HTTP_CODES,
    INTERNAL_CODE,
    TABLE,
    BodyTooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
    error_response,
)


def leaves(kind: type[Exception]) -> set[type[Exception]]:
    """Return the subclasses that have no subclasses."""
    subclasses = kind.__subclasses__()
    return set().union(*map(leaves, subclasses)) if subclasses else {kind}


def test_table_has_every_error_of_a_request() -> None:
    of_the_service = {
        *(errors.ModelNotReady, errors.Overloaded, errors.DeadlineExceeded),
        *(errors.PredictionFailed, errors.WorkersBehind),
    }
    for kind in leaves(errors.RequestError) | of_the_service:
        assert any(issubclass(kind, known) for known in TABLE), kind
    for kind in TABLE:
        assert issubclass(kind, errors.RequestError) or kind in of_the_service


def test_every_code_has_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    for status, code in [*TABLE.values(), *HTTP_CODES.items()]:
        statuses.setdefault(code, set()).add(int(status))
    assert {code: len(found) for code, found in statuses.items() if len(found) != 1} == {}
    assert INTERNAL_CODE not in statuses


PROBLEMS = [errors.Problem(0, "a", "/instances/0/a", "number", "null")]
EXAMPLES = {
    errors.UnreadableBody("x"): {},
    errors.InvalidRequest("x"): {},
    errors.InvalidRequest("x", "/instances"): {"pointer": "/instances"},
    errors.InvalidRows(PROBLEMS): {
        "problems": [
            {
                "row": 0,
                "feature": "a",
                "pointer": "/instances/0/a",
                "expected": "number",
                "got": "null",
            }
        ]
    },
    errors.TooManyRows(5, 6): {"limit": 5},
    errors.UnknownModel("x", ["a", "b"]): {"models": ["a", "b"]},
    errors.UnknownVersion("x", "2", [1, 3]): {"versions": ["1", "3"]},
    errors.NoDefaultModel(["a", "b"]): {"models": ["a", "b"]},
    errors.ModelNotReady("x"): {},
    errors.PredictionFailed("x"): {},
    BodyTooLarge(3): {},
    UnsupportedEncoding("x"): {},
    UnsupportedMediaType("x"): {},
}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_error_response_has_message_code_and_facts(error: Exception) -> None:
    response = error_response(error)
    status, code = TABLE[type(error)]
    assert (response.status, response.content_type) == (status, "application/json")
    assert json.loads(response.body) == {"error": str(error), "code": code, **EXAMPLES[error]}


def test_error_of_a_model_that_is_not_ready_has_retry_after() -> None:
    assert dict(error_response(errors.ModelNotReady("x")).headers) == {"Retry-After": "1"}


ROUTING = sorted(exceptions.default_exceptions.items())


@pytest.mark.parametrize(("status", "kind"), ROUTING, ids=[str(status) for status, _ in ROUTING])
def test_every_http_exception_has_the_same_shape(status: int, kind: type) -> None:
    response = error_response(kind())
    body = json.loads(response.body)
    assert response.status == status
    assert response.content_type == "application/json"
    assert set(body) == {"error", "code"}
    assert isinstance(body["error"], str)
    assert body["error"]
    expected = HTTP_CODES.get(status, INTERNAL_CODE if status >= 500 else "bad_request")
    assert body["code"] == expected
    assert "content-type" not in {name.lower() for name, _ in response.headers}


def test_method_not_allowed_names_the_allowed_methods() -> None:
    response = error_response(exceptions.MethodNotAllowed(["POST"]))
    assert dict(response.headers)["Allow"] == "POST"
    assert json.loads(response.body)["error"] == "the method is not allowed, expected POST"


def test_text_of_an_unknown_exception_is_not_sent() -> None:
    response = error_response(RuntimeError("/secret/path"))
    assert response.status == 500
    assert json.loads(response.body)["code"] == INTERNAL_CODE
    assert b"secret" not in response.body
