"""/openapi.json: valid, complete, and what it says is what happens."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode

from service.serving.live_models import LiveModels
from service.web.openapi import CODES, openapi_document

UNLISTED = {
    # What a program has no use for, and second names.
    "/",
    "/docs",
    "/static/<path:filename>",
    "/healthz",
    "/readyz",
    # Listed for each model by its name, with its own features.
    "/v1/models/<name>:predict",
    "/v1/models/<name>/versions/<version>:predict",
    "/v2/models/<name>/infer",
    "/v2/models/<name>/versions/<version>/infer",
}

DESCRIBED = ["/predict", "/v1/models/mixed:predict", "/v1/models/mixed/versions/1:predict"]


# RFC 3339 has a year 0 and leap seconds, which Python's calendar has not.
schemathesis.openapi.format("date", st.dates().map(str))
schemathesis.openapi.format(
    "date-time", st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
)


def described_by(client):
    """A service as its document describes it, ready to be asked."""
    # More is taken than is advertised: a category as a number, a boolean as 0 or 1, columns.
    liberal: dict = {"checks": {"negative_data_rejection": {"enabled": False}}}
    # No schema can say that a tensor has as many values as its shape tells, and its model's names.
    tensors = {
        "include-path-regex": "^/v2/",
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
    liberal["operations"] = [tensors]
    config = schemathesis.Config.from_dict(liberal)
    return schemathesis.openapi.from_wsgi("/openapi.json", client.application, config=config)


@pytest.fixture(scope="module")
def described(lasting_client):
    return described_by(lasting_client)


def ask(operation, mode: GenerationMode, examples: int, *, answered: bool = False) -> None:
    """Send generated requests, and hold each answer against the document."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case) -> None:
        answer = case.call_and_validate()
        assert answer.status_code < 500 or operation.path == "/health/ready"
        if answered:
            assert answer.status_code == 200, answer.text

    send()


@pytest.mark.parametrize("path", DESCRIBED)
def test_rows_that_satisfy_the_schema_are_answered(described, path: str) -> None:
    ask(described[path]["POST"], GenerationMode.POSITIVE, 60, answered=True)


@pytest.mark.parametrize("path", ["/predict", "/v1/models/careful:predict"])
def test_datetimes_and_thresholds_are_as_described(dated_client, path: str) -> None:
    ask(described_by(dated_client)[path]["POST"], GenerationMode.POSITIVE, 60, answered=True)


def test_a_datetime_is_described_by_its_range_and_its_format(dated_client) -> None:
    row = document_of(dated_client)["components"]["schemas"]["Row.dated.1"]["properties"]
    assert row["seen"] == {
        "type": "string",
        "format": "date",
        "description": "Expected is a date such as 2024-05-01 or 2024-05-01T13:45 (ISO 8601, UTC "
        "without an offset). Seen in training: 2024-01-01 to 2024-06-30.",
    }
    paid, opens = (row[name]["anyOf"][0] for name in ("paid", "opens"))
    assert paid["format"] == "date-time"
    assert "31/12/2024 13:45 or 2024-12-31T13:45 (%d/%m/%Y %H:%M or ISO 8601" in paid["description"]
    assert opens["description"].endswith("Seen in training: 08:00 to 12:00.")


def test_a_threshold_is_described_where_there_is_one(dated_client) -> None:
    paths = document_of(dated_client)["paths"]
    said = {}
    for path in ("/predict", "/v1/models/careful:predict"):
        operation = paths[path]["post"]
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        said[path] = (answer["properties"].get("threshold"), operation["description"])
        assert ("threshold" in answer["required"]) == ("threshold" in answer["properties"])
    assert said["/predict"][0] is None
    described, text = said["/v1/models/careful:predict"]
    assert described["const"] == {"class": "overweight", "value": 0.9, "metric": "f1"}
    assert "It is overweight where the probability of that is at least 0.9." in text


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_operation_answers_as_the_document_says(described, mode: GenerationMode) -> None:
    asked = {"/openapi.json"}  # which is where the others were read from
    for result in described.get_all_operations():
        with suppress(Unsatisfiable):  # where nothing is sent, nothing can be wrong with it
            ask(result.ok(), mode, 10)
        asked.add(result.ok().path)
    assert asked == set(described.raw_schema["paths"])


def document_of(client):
    answer = client.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json


@pytest.fixture
def many_models(start, tmp_path, write_model, write_mixed_model):
    """Models whose names are alike, one of them with two versions of different features."""
    folder = tmp_path / "models"
    write_model(folder, "a")
    write_model(folder, "a_1")
    write_model(folder, "a.1")
    write_mixed_model(folder, "a", 2)
    write_mixed_model(folder, "newest_a")
    write_model(folder, "1_a")
    (folder / "a" / "serving.toml").write_text("live = [1, 2]")
    return start()


def test_the_document_is_valid_openapi(
    lasting_client, dated_client, many_models, start, tmp_path
) -> None:
    for client in (lasting_client, dated_client, many_models, start(models=tmp_path / "none")):
        document = document_of(client)
        assert document["openapi"] == "3.1.0"
        assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_no_two_operations_have_one_name(many_models) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document_of(many_models))]
    assert len(names) == len(set(names))


def test_every_version_is_described_by_its_own_features(many_models) -> None:
    document = document_of(many_models)
    features = {}
    for path, _, operation in operations(document):
        if path.endswith(":predict"):
            content = operation["requestBody"]["content"]["application/json"]
            (row, _) = content["schema"]["properties"]["instances"]["anyOf"]
            name = row["items"]["$ref"].rpartition("/")[2]
            features[path] = set(document["components"]["schemas"][name]["properties"])
    small, mixed = {"height_cm", "weight_kg"}, {"age", "member", "color", "size/cm", "shape"}
    assert features["/v1/models/a:predict"] == mixed
    assert features["/v1/models/a/versions/1:predict"] == small
    assert features["/v1/models/a/versions/2:predict"] == mixed
    assert features["/v1/models/a.1:predict"] == small


def test_every_example_is_answered(many_models, lasting_client, dated_client) -> None:
    answered = 0
    for client in (many_models, lasting_client, dated_client):
        for path, method, operation in operations(document_of(client)):
            if method == "post":
                content = operation["requestBody"]["content"]["application/json"]
                assert content["examples"]
                for example in content["examples"].values():
                    answer = client.post(path, json=example["value"])
                    assert answer.status_code == 200, answer.json
                    answered += 1
    assert answered > 15


def test_every_route_is_in_the_document_or_stated_to_be_none_of_it(lasting_client) -> None:
    paths = set(document_of(lasting_client)["paths"])
    routes = {rule.rule for rule in lasting_client.application.url_map.iter_rules()}
    assert routes >= UNLISTED
    listed = {re.sub(r"<(\w+)>", r"{\1}", route) for route in routes - UNLISTED}
    of_models = {
        path
        for name in ("bodymass", "mixed")
        for version in ("", "/versions/1")
        for path in (
            f"/v1/models/{name}{version}:predict",
            f"/v2/models/{name}{version}/infer",
        )
    }
    assert paths == listed | of_models


def test_every_code_is_in_the_document(lasting_client) -> None:
    error = document_of(lasting_client)["components"]["schemas"]["Error"]
    assert error["properties"]["code"]["enum"] == CODES
    assert {"unknown_route", "request_too_slow", "not_ready", "internal_error"} <= set(CODES)


def test_a_text_that_is_blank_to_the_service_is_blank_to_the_document(lasting_client) -> None:
    row = document_of(lasting_client)["components"]["schemas"]["Row.mixed.1"]
    pattern = re.compile(row["properties"]["color"]["pattern"])
    for code in [*range(0x3100), 0xFEFF, 0x1F600]:
        body = json.dumps({"instances": [{"member": 1, "size/cm": 1, "color": chr(code)}]})
        if pattern.search(chr(code)):
            assert chr(code).strip()
        elif code < 0x100:
            answer = lasting_client.post("/v1/models/mixed:predict", data=body)
            assert answer.status_code == 400


def test_without_a_default_model_predict_is_not_listed(many_models) -> None:
    paths = document_of(many_models)["paths"]
    assert "/predict" not in paths
    assert "/v1/models/a:predict" in paths


class Vanishing(LiveModels):
    """Models that are taken away as soon as they were looked at once."""

    @property
    def states(self):
        states = super().states
        self._models = {}
        return states


def test_a_model_that_is_taken_away_meanwhile_is_described_as_it_was(models, service) -> None:
    vanishing = Vanishing(models, service.live._load, service.live._metrics)
    vanishing._models = service.live.states
    assert "/v1/models/bodymass:predict" in openapi_document(vanishing, 10)["paths"]
