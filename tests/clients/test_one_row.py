"""The same rows by every protocol and both handlers: the same bits, or the same problems."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from tests.clients.forms import FORMS, Asked, Row
from tests.running_service import RunningService

pytestmark = pytest.mark.slow

HANDLERS = {"everything": ("fast", "flask")}
"""Handlers by model, if not only fast: tests/service/web/handlers/test_same_responses.py compares them."""

MODELS = ("bodymass", "animals", "everything", "mixed", "dated", "single")


def rows_of(model: str) -> list[dict[str, Any]]:
    """Return rows of a model: doubles with all their digits, and missing values."""
    chance = random.Random(model)  # noqa: S311 - rows need no secret numbers

    def between(low: float, high: float) -> float:
        return chance.uniform(low, high)

    animals = {
        "mass_kg": (3, 150),
        "shoulder_height_cm": (4, 120),
        "body_length_cm": (10, 160),
        "tail_length_cm": (2, 40),
        "ear_length_cm": (0, 16),
        "temperature_c": (25, 40),
        "heart_rate_bpm": (30, 160),
        "top_speed_kmh": (5, 60),
    }
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "bodymass": lambda: {"height_cm": between(140, 200), "weight_kg": between(40, 100)},
        "animals": lambda: {name: between(*span) for name, span in animals.items()},
        "everything": lambda: {
            "age": chance.choice([None, between(18, 90)]),
            "income": between(10, 70),
            "member": chance.random() < 0.5,
            "color": chance.choice(
                [None, "red", "green", "blue, dark", 'a "b"', "never seen \u00fc"]
            ),
            "size/cm": between(1, 9),
            "joined": f"2024-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}",
        },
        "mixed": lambda: {
            "age": chance.choice([None, 31]),
            "member": chance.random() < 0.5,
            "color": chance.choice(["red", "blue", "r\u00f6d"]),
            "size/cm": between(1, 9),
            "shape": chance.choice([None, "round"]),
        },
        "dated": lambda: {
            "size": between(0, 9),
            "seen": f"2024-0{chance.randrange(3, 6)}-{chance.randrange(1, 29):02}T13:45:30",
            "color": chance.choice([None, "red"]),
            "paid": chance.choice([None, "2024-02-03T04:05"]),
        },
        "single": lambda: {"x": between(-3, 3)},
    }
    return [makers[model]() for _ in range(12)]


@pytest.fixture(scope="session")
def default_server(serving) -> Callable[[str, str], RunningService]:
    """Returns the service with a handler and a default model."""
    return lambda handler, model: serving(
        "--handler", handler, "--default-model", model, "--workers", "1"
    )


CLIENT = httpx.Client(timeout=30)


@pytest.fixture(scope="module", autouse=True)
def closed_client() -> Iterator[None]:
    yield
    CLIENT.close()


def model_at(address: str, name: str) -> Asked:
    """Return a model as its metadata describe it."""
    metadata = CLIENT.get(f"{address}/v1/models/{name}").json()
    features = [(feature["name"], feature["kind"]) for feature in metadata["features"]]
    return Asked(name, features, metadata["classes"])


def send(address: str, form: str, model: Asked, rows: Sequence[Row]) -> httpx.Response:
    sent = FORMS[form].write(model, rows)
    headers = dict(sent.headers)
    if (accept := FORMS[form].accept) is not None:
        headers["Accept"] = accept
    return CLIENT.post(address + sent.path, content=sent.content, headers=headers)


@pytest.mark.parametrize("name", MODELS)
def test_one_row_has_the_same_bits_by_every_protocol_and_handler(default_server, name: str) -> None:
    rows = rows_of(name)
    expected = None
    for handler in HANDLERS.get(name, ("fast",)):
        address = default_server(handler, name).address
        model = model_at(address, name)
        for form_name, form in FORMS.items():
            if not form.takes(model):
                continue
            response = send(address, form_name, model, rows)
            assert response.status_code == 200, f"{handler}, {form_name}: {response.text}"
            result = form.read(response, model)
            if expected is None:
                expected = result
                assert len(set(expected.labels)) > 1
            assert result.probabilities.tobytes() == expected.probabilities.tobytes(), form_name
            assert result.labels is None or result.labels == expected.labels, form_name
            # The other rows of a request change nothing.
            alone = form.read(send(address, form_name, model, rows[3:4]), model)
            assert alone.probabilities.tobytes() == expected.probabilities[3:4].tobytes(), form_name


MISSING = {
    "bodymass": (1, "weight_kg", {"weight_kg": None}),
    "animals": (1, "mass_kg", {"mass_kg": None}),
    "everything": (1, "income", {"income": None}),
    "dated": (1, "size", {"size": None}),
}
"""A missing required number, which every form can express: (row, feature, change of the row)."""


def problems_in(form: str, response: httpx.Response) -> list[dict[str, Any]]:
    """Return the problems of a rejected request, or of the rejected lines of a stream."""
    if "ndjson" in form or "lines" in form:
        assert response.status_code == 200, response.text
        lines = [json.loads(line) for line in response.text.splitlines()]
        return [problem for line in lines for problem in line.get("problems", [])]
    assert response.status_code == 400, response.text
    body = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert body["code"] == "invalid_rows", body
    return body["problems"]


@pytest.mark.parametrize("name", MISSING)
def test_missing_value_is_the_same_problem_by_every_protocol_and_handler(
    default_server, name: str
) -> None:
    row, feature, change = MISSING[name]
    rows = rows_of(name)[:3]
    rows[row] = rows[row] | change
    for handler in HANDLERS.get(name, ("fast",)):
        address = default_server(handler, name).address
        model = model_at(address, name)
        for form_name, form in FORMS.items():
            if not form.takes(model):
                continue
            (problem,) = problems_in(form_name, send(address, form_name, model, rows))
            facts = {key: problem[key] for key in ("row", "feature", "expected")}
            assert facts == {"row": row, "feature": feature, "expected": "number"}, form_name
            assert problem["got"] in ("null", "nothing", "NaN", "a missing value"), form_name


JSON_FORMS = [
    name
    for name in FORMS
    if not any(word in name for word in ("csv", "npy", "arrow", "v2", "gzip"))
    or "answered" in name
    or name == "v2 features"
]
"""Forms whose rows are JSON values."""

WRONG_VALUES = {
    "age": "old",
    "income": [1, 2],
    "member": 7,
    "color": {"red": 1},
    "size/cm": 10**400,
    "joined": "2024-13-45",
}


def test_wrong_values_are_the_same_problems_by_every_form_of_json(default_server) -> None:
    rows = rows_of("everything")[:3]
    rows[2] = rows[2] | WRONG_VALUES
    expected = None
    for handler in HANDLERS["everything"]:
        address = default_server(handler, "everything").address
        model = model_at(address, "everything")
        for form in JSON_FORMS:
            problems = sorted(
                (problem["row"], problem["feature"], problem["expected"], problem["got"])
                for problem in problems_in(form, send(address, form, model, rows))
            )
            expected = expected or problems
            assert problems == expected, form
    assert [feature for _, feature, _, _ in expected] == sorted(WRONG_VALUES)


NAMED_FORMS = (
    "objects",
    "columns",
    "csv",
    "ndjson objects",
    "npy by names",
    "arrow",
    "classify",
    "invocations split",
    "invocations records",
    "invocations inputs",
    "invocations csv",
)
"""Forms in which features have names."""


def test_unknown_feature_is_the_same_problem_by_every_form_with_names(default_server) -> None:
    rows = rows_of("bodymass")[:2]
    address = default_server("fast", "bodymass").address
    model = model_at(address, "bodymass")
    misspelled = Asked(model.name, [*model.features[:1], ("wieght_kg", "number")], model.classes)
    renamed = [{"height_cm": row["height_cm"], "wieght_kg": row["weight_kg"]} for row in rows]
    for form in NAMED_FORMS:
        problems = problems_in(form, send(address, form, misspelled, renamed))
        names = {(problem["feature"], problem.get("did_you_mean")) for problem in problems}
        assert ("wieght_kg", "weight_kg") in names, form
        # A misspelled feature is not reported as missing, too.
        assert {feature for feature, _ in names} == {"wieght_kg"}, form


def test_probabilities_are_float32_and_add_up_to_one(default_server) -> None:
    address = default_server("fast", "animals").address
    model = model_at(address, "animals")
    rows = rows_of("animals")
    result = FORMS["v2 bytes"].read(send(address, "v2 bytes", model, rows), model)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-6)
