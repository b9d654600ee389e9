"""One row by every protocol and both doors: the same bits; a wrong one: the same problems."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from tests.clients.client_programs import HANDLERS
from tests.clients.forms import FORMS, Asked, Row
from tests.running_service import RunningService

pytestmark = pytest.mark.slow

MODELS = ("bodymass", "animals", "everything", "mixed", "dated", "single")


def rows_of(model: str) -> list[dict[str, Any]]:
    """Rows of a model with all the digits that doubles have, and with what may be missing."""
    chance = random.Random(model)  # noqa: S311 - rows are no secrets

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
    """Gives the server of a door whose default model is this one."""
    return lambda handler, model: serving(
        "--handler", handler, "--default-model", model, "--workers", "1"
    )


CLIENT = httpx.Client(timeout=30)


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    yield
    CLIENT.close()


def asked_of(address: str, model: str) -> Asked:
    told = CLIENT.get(f"{address}/v1/models/{model}").json()
    features = [(feature["name"], feature["kind"]) for feature in told["features"]]
    return Asked(model, features, told["classes"])


def answer(address: str, form: str, asked: Asked, rows: Sequence[Row]) -> httpx.Response:
    sent = FORMS[form].write(asked, rows)
    headers = dict(sent.headers)
    if (accept := FORMS[form].accept) is not None:
        headers["Accept"] = accept
    return CLIENT.post(address + sent.path, content=sent.content, headers=headers)


@pytest.mark.parametrize("model", MODELS)
def test_one_row_has_the_same_bits_by_every_protocol_and_door(default_server, model: str) -> None:
    rows = rows_of(model)
    expected = None
    for handler in HANDLERS:
        address = default_server(handler, model).address
        asked = asked_of(address, model)
        for name, form in FORMS.items():
            if not form.takes(asked):
                continue
            got = answer(address, name, asked, rows)
            assert got.status_code == 200, f"{handler}, {name}: {got.text}"
            found = form.read(got, asked)
            if expected is None:
                expected = found
                assert len(set(expected.labels)) > 1
            assert found.probabilities.tobytes() == expected.probabilities.tobytes(), name
            assert found.labels is None or found.labels == expected.labels, name
            # Each row alone, too: what stands beside it changes nothing.
            alone = form.read(answer(address, name, asked, rows[3:4]), asked)
            assert alone.probabilities.tobytes() == expected.probabilities[3:4].tobytes(), name


WRONG_EVERYWHERE = {
    "bodymass": (1, "weight_kg", {"weight_kg": None}),
    "animals": (1, "mass_kg", {"mass_kg": None}),
    "everything": (1, "income", {"income": None}),
    "dated": (1, "size", {"size": None}),
}
"""A number that is missing where it must not be, which every form can say."""


def problems_in(form: str, got: httpx.Response) -> list[dict[str, Any]]:
    """The problems of a refused request, or of the refused line of a stream."""
    if "ndjson" in form or "lines" in form:
        assert got.status_code == 200, got.text
        lines = [json.loads(line) for line in got.text.splitlines()]
        return [problem for line in lines for problem in line.get("problems", [])]
    assert got.status_code == 400, got.text
    body = got.json()
    assert got.headers["Content-Type"] == "application/json"
    assert body["code"] == "invalid_rows", body
    return body["problems"]


@pytest.mark.parametrize("model", WRONG_EVERYWHERE)
def test_what_is_missing_is_named_alike_by_every_protocol_and_door(
    default_server, model: str
) -> None:
    row, feature, changed = WRONG_EVERYWHERE[model]
    rows = rows_of(model)[:3]
    rows[row] = rows[row] | changed
    for handler in HANDLERS:
        address = default_server(handler, model).address
        asked = asked_of(address, model)
        for name, form in FORMS.items():
            if not form.takes(asked):
                continue
            (problem,) = problems_in(name, answer(address, name, asked, rows))
            said = {key: problem[key] for key in ("row", "feature", "expected")}
            assert said == {"row": row, "feature": feature, "expected": "number"}, name
            assert problem["got"] in ("null", "nothing", "NaN", "a missing value"), name


IN_JSON = [
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


def test_wrong_values_are_named_alike_by_every_form_of_json(default_server) -> None:
    rows = rows_of("everything")[:3]
    rows[2] = rows[2] | WRONG_VALUES
    expected = None
    for handler in HANDLERS:
        address = default_server(handler, "everything").address
        asked = asked_of(address, "everything")
        for name in IN_JSON:
            problems = problems_in(name, answer(address, name, asked, rows))
            found = sorted(
                (problem["row"], problem["feature"], problem["expected"], problem["got"])
                for problem in problems
            )
            expected = expected or found
            assert found == expected, name
    assert [feature for _, feature, _, _ in expected] == sorted(WRONG_VALUES)


def test_an_unknown_feature_is_named_alike_wherever_features_have_names(default_server) -> None:
    named = [
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
    ]
    rows = rows_of("bodymass")[:2]
    for handler in HANDLERS:
        address = default_server(handler, "bodymass").address
        asked = asked_of(address, "bodymass")
        misspelled = Asked(
            asked.name, [*asked.features[:1], ("wieght_kg", "number")], asked.classes
        )
        renamed = [{"height_cm": row["height_cm"], "wieght_kg": row["weight_kg"]} for row in rows]
        for name in named:
            problems = problems_in(name, answer(address, name, misspelled, renamed))
            said = {(problem["feature"], problem.get("did_you_mean")) for problem in problems}
            assert ("wieght_kg", "weight_kg") in said, name
            # That the other is missing goes without saying.
            assert {feature for feature, _ in said} == {"wieght_kg"}, name


def test_probabilities_are_float32_and_add_up(default_server) -> None:
    """The reference itself is what it is said to be."""
    address = default_server("fast", "animals").address
    asked = asked_of(address, "animals")
    got = FORMS["v2 bytes"].read(answer(address, "v2 bytes", asked, rows_of("animals")), asked)
    assert got.probabilities.dtype == np.float32
    np.testing.assert_allclose(got.probabilities.sum(axis=1), 1, rtol=1e-6)
