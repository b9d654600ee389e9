"""The table from errors to HTTP: every failure has a status, a code and one shape."""

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
    """The classes below that have none below them."""
    below = kind.__subclasses__()
    return set().union(*map(leaves, below)) if below else {kind}


def test_every_error_that_a_request_can_meet_is_in_the_table() -> None:
    of_the_service = {
        *(errors.ModelNotReady, errors.Overloaded, errors.DeadlineExceeded),
        *(errors.PredictionFailed, errors.WorkersBehind),
    }
    for kind in leaves(errors.RequestError) | of_the_service:
        assert any(issubclass(kind, known) for known in TABLE), kind
    for kind in TABLE:
        assert issubclass(kind, errors.RequestError) or kind in of_the_service


def test_every_code_means_one_status() -> None:
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
def test_an_error_is_its_sentence_its_code_and_its_facts(error: Exception) -> None:
    reply = error_response(error)
    status, code = TABLE[type(error)]
    assert (reply.status, reply.content_type) == (status, "application/json")
    assert json.loads(reply.body) == {"error": str(error), "code": code, **EXAMPLES[error]}


def test_a_model_that_is_not_ready_is_worth_asking_again() -> None:
    assert dict(error_response(errors.ModelNotReady("x")).headers) == {"Retry-After": "1"}


ROUTING = sorted(exceptions.default_exceptions.items())


@pytest.mark.parametrize(("status", "kind"), ROUTING, ids=[str(status) for status, _ in ROUTING])
def test_whatever_the_framework_raises_has_the_one_shape(status: int, kind: type) -> None:
    reply = error_response(kind())
    body = json.loads(reply.body)
    assert reply.status == status
    assert reply.content_type == "application/json"
    assert set(body) == {"error", "code"}
    assert isinstance(body["error"], str)
    assert body["error"]
    expected = HTTP_CODES.get(status, INTERNAL_CODE if status >= 500 else "bad_request")
    assert body["code"] == expected
    assert "content-type" not in {name.lower() for name, _ in reply.headers}


def test_a_wrong_method_is_told_the_right_ones() -> None:
    reply = error_response(exceptions.MethodNotAllowed(["POST"]))
    assert dict(reply.headers)["Allow"] == "POST"
    assert json.loads(reply.body)["error"] == "the method is not allowed, expected POST"


def test_the_text_of_an_unknown_exception_stays_inside() -> None:
    reply = error_response(RuntimeError("/secret/path"))
    assert reply.status == 500
    assert json.loads(reply.body)["code"] == INTERNAL_CODE
    assert b"secret" not in reply.body
