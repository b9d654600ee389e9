"""``/openapi.json`` is valid and complete, and the service behaves as it says."""

from __future__ import annotations

import json
import re

import pytest
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode

from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.web.api_docs.openapi import distinct_identifiers, openapi_document
from pigeonhole.service.web.api_docs.schemas import CODES
from pigeonhole.service.web.auth import scope_of
from pigeonhole.service.web.rows import arrow_format
from tests.service.web.generated_requests import can_be_invalid, check_responses, config

UNLISTED = {
    # Pages for people, and aliases.
    "/",
    "/docs",
    "/static/<path:filename>",
    "/healthz",
    "/readyz",
    "/health",
    # Actions that a classifier does not support.
    "/v1/models/<name>:explain",
    "/v1/models/<name>:regress",
    "/v1/models/<name>/versions/<version>:regress",
    "/v1/models/<name>/labels/<path:label>",
}

OF_MODELS = {
    f"{base}/<name>{version}{action}"
    for base, actions in {
        "/v1/models": (":predict", ":classify"),
        "/v2/models": ("/infer",),
    }.items()
    for action in actions
    for version in ("", "/versions/<version>")
}
"""Routes that the document lists for each model, with its own features."""

DESCRIBED = [
    "/predict",
    "/invocations",
    "/v1/models/mixed:predict",
    "/v1/models/mixed/versions/1:predict",
    "/v1/models/mixed:classify",
]


def described_by(client):
    """Return the operations of a service, from its document."""
    return schemathesis.openapi.from_wsgi("/openapi.json", client.application, config=config())


@pytest.fixture(scope="module")
def described(lasting_client):
    return described_by(lasting_client)


@pytest.mark.parametrize("path", DESCRIBED)
def test_rows_that_satisfy_the_schema_get_predictions(described, path: str) -> None:
    check_responses(described[path]["POST"], GenerationMode.POSITIVE, must_succeed=True)


@pytest.mark.parametrize("path", ["/predict", "/v1/models/careful:predict"])
def test_datetimes_and_thresholds_match_their_schemas(dated_client, path: str) -> None:
    check_responses(
        described_by(dated_client)[path]["POST"], GenerationMode.POSITIVE, must_succeed=True
    )


def test_datetime_is_described_by_range_and_format(dated_client) -> None:
    row = document_of(dated_client)["components"]["schemas"]["Row_dated_v1"]["properties"]
    assert row["seen"] == {
        "type": "string",
        "format": "date",
        "description": "Expected: a date such as 2024-05-01 or 2024-05-01T13:45 (ISO 8601; UTC "
        "without an offset). In training: 2024-01-01 to 2024-06-30.",
    }
    paid, opens = (row[name]["anyOf"][0] for name in ("paid", "opens"))
    assert paid["format"] == "date-time"
    assert "31/12/2024 13:45 or 2024-12-31T13:45 (%d/%m/%Y %H:%M or ISO 8601" in paid["description"]
    assert opens["description"].endswith("In training: 08:00 to 12:00.")


def test_threshold_is_described_for_its_model_only(dated_client) -> None:
    paths = document_of(dated_client)["paths"]
    schemas = {}
    for path in ("/predict", "/v1/models/careful:predict"):
        operation = paths[path]["post"]
        response = operation["responses"]["200"]["content"]["application/json"]["schema"]
        schemas[path] = (response["properties"].get("threshold"), operation["description"])
        assert ("threshold" in response["required"]) == ("threshold" in response["properties"])
    assert schemas["/predict"][0] is None
    described, text = schemas["/v1/models/careful:predict"]
    assert described["const"] == {"class": "overweight", "value": 0.9, "metric": "f1"}
    assert "The label is overweight if its probability is at least 0.9." in text


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_response_matches_the_document(described, mode: GenerationMode) -> None:
    requested = {"/openapi.json"}  # already read, for the other paths
    for result in described.get_all_operations():
        if mode is GenerationMode.POSITIVE or can_be_invalid(result.ok()):
            check_responses(result.ok(), mode, 5)
        requested.add(result.ok().path)
    assert requested == set(described.raw_schema["paths"])


def document_of(client):
    response = client.get("/openapi.json")
    assert response.headers["Content-Type"] == "application/json"
    return response.json


@pytest.fixture
def many_models(start, tmp_path, write_model, write_mixed_model):
    """Return a client of models with similar names; one has two versions with other features."""
    folder = tmp_path / "models"
    write_model(folder, "a")
    write_model(folder, "a_1")
    write_model(folder, "a.1")
    write_model(folder, "A-1")
    write_model(folder, "a_v1")
    write_mixed_model(folder, "a", 2)
    write_mixed_model(folder, "newest_a")
    write_model(folder, "1_a")
    (folder / "a" / "serving.toml").write_text("live = [1, 2]")
    return start()


def test_document_is_valid_openapi(
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


def test_operation_ids_are_unique(many_models) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document_of(many_models))]
    assert len(names) == len(set(names))


def schemas_of(document):
    """Yield every object of the document, nested ones too."""
    waiting: list = [document]
    while waiting:
        match waiting.pop():
            case dict(found):
                yield found
                waiting += found.values()
            case list(found):
                waiting += found


def test_every_array_has_a_schema_of_its_items(many_models, dated_client) -> None:
    for client in (many_models, dated_client):
        lists = [s for s in schemas_of(document_of(client)) if s.get("type") == "array"]
        assert len(lists) > 30
        for schema in lists:
            assert isinstance(schema.get("items", schema.get("prefixItems")), (dict, list))
            assert not isinstance(schema.get("const"), list)


def test_names_differ_without_case_and_underscores(many_models) -> None:
    document = document_of(many_models)
    operation_names = [operation["operationId"] for _, _, operation in operations(document)]
    for names in (operation_names, list(document["components"]["schemas"])):
        assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) for name in names)
        assert len({name.replace("_", "").lower() for name in names}) == len(names)


def test_identifiers_keep_names_where_possible() -> None:
    assert distinct_identifiers(["iris", "my_model", "a.b-c"]) == {
        "iris": "iris",
        "my_model": "my_model",
        "a.b-c": "a_b_c",
    }
    identifiers = distinct_identifiers(["a.1", "a1", "A_1", "a_1_2", "a12"])
    assert set(identifiers) == {"a.1", "a1", "A_1", "a_1_2", "a12"}
    assert len({name.replace("_", "").lower() for name in identifiers.values()}) == 5


def test_arrow_is_described_if_installed(lasting_client, monkeypatch) -> None:
    def described() -> list[bool]:
        operation = document_of(lasting_client)["paths"]["/predict"]["post"]
        bodies = operation["requestBody"]["content"], operation["responses"]["200"]["content"]
        return [arrow_format.STREAM in body for body in bodies]

    assert described() == [True, True]
    monkeypatch.setattr(arrow_format, "INSTALLED", False)
    assert described() == [False, False]


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


def test_every_example_gets_a_prediction(many_models, lasting_client, dated_client) -> None:
    predictions = 0
    for client in (many_models, lasting_client, dated_client):
        for path, method, operation in operations(document_of(client)):
            if method == "post" and "{" not in path and path != "/v2/repository/index":
                content = operation["requestBody"]["content"]["application/json"]
                assert content["examples"]
                for example in content["examples"].values():
                    response = client.post(path, json=example["value"])
                    assert response.status_code == 200, response.json
                    predictions += 1
                for media_type in ("text/csv", "application/x-ndjson"):
                    others = operation["requestBody"]["content"].get(media_type, {"examples": {}})
                    for example in others["examples"].values():
                        sent = {"data": example["value"], "content_type": media_type}
                        response = client.post(path, **sent)
                        assert response.status_code == 200, response.text
                        assert '"problems"' not in response.text
    assert predictions > 15


def test_every_route_is_documented_or_listed_as_an_exception(lasting_client) -> None:
    paths = set(document_of(lasting_client)["paths"])
    routes = {rule.rule for rule in lasting_client.application.url_map.iter_rules()}
    assert routes >= UNLISTED | OF_MODELS
    listed = {re.sub(r"<(\w+)>", r"{\1}", route) for route in routes - UNLISTED - OF_MODELS}
    of_models = {
        route.replace("<name>", name).replace("<version>", "1")
        for route in OF_MODELS
        for name in ("bodymass", "mixed")
    }
    assert paths == listed | of_models


def test_operations_are_tagged_by_protocol(lasting_client) -> None:
    tags = {
        path: operation["tags"] for path, _, operation in operations(document_of(lasting_client))
    }
    assert tags["/predict"] == ["Pigeonhole"]
    assert tags["/v1/models"] == ["TensorFlow Serving and KServe V1"]
    assert tags["/v2"] == tags["/v2/models/bodymass/infer"] == ["Open Inference Protocol"]
    assert tags["/invocations"] == ["MLflow and SageMaker"]


def test_without_keys_only_admin_operations_need_a_key(lasting_client) -> None:
    secured = {
        path: operation["security"]
        for path, _, operation in operations(document_of(lasting_client))
        if "security" in operation
    }
    assert secured == {
        f"/v2/repository/models/{{name}}/{action}": [{"key": ["admin"]}]
        for action in ("load", "unload")
    }


def test_with_keys_every_operation_has_its_scope(service) -> None:
    document = openapi_document(service.live, 10, has_keys=True)
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert set(document["components"]["securitySchemes"]) == {"key", "password"}
    scopes = {}
    for path, method, operation in operations(document):
        rule = re.sub(r"{(\w+)}", "x", path)
        endpoint, _ = service.flask.url_map.bind("").match(rule, method.upper())
        scopes[path] = scope_of(endpoint)
        security = operation.get("security", [])
        if scopes[path] == "open":
            assert security == []
            continue
        assert security[0] == {"key": [] if scopes[path] == "any" else [scopes[path]]}
        # Browsers resend passwords by themselves, so admin operations accept only tokens.
        assert [set(way) for way in security[1:]] == (
            [] if scopes[path] == "admin" else [{"password"}]
        )
        errors = {"401", "403"} & set(operation["responses"])
        assert errors == ({"401"} if scopes[path] == "any" else {"401", "403"})
    assert set(scopes.values()) == {"predict", "read", "metrics", "admin", "open", "any"}


def test_every_error_code_is_documented(lasting_client) -> None:
    error = document_of(lasting_client)["components"]["schemas"]["Error"]
    assert error["properties"]["code"]["enum"] == CODES
    assert {"unknown_route", "request_too_slow", "not_ready", "internal_error"} <= set(CODES)


def test_schema_rejects_the_texts_that_the_service_finds_blank(lasting_client) -> None:
    row = document_of(lasting_client)["components"]["schemas"]["Row_mixed_v1"]
    pattern = re.compile(row["properties"]["color"]["pattern"])
    for code in [*range(0x3100), 0xFEFF, 0x1F600]:
        body = json.dumps({"instances": [{"member": 1, "size/cm": 1, "color": chr(code)}]})
        if pattern.search(chr(code)):
            assert chr(code).strip()
        elif code < 0x100:
            response = lasting_client.post("/v1/models/mixed:predict", data=body)
            assert response.status_code == 400


def test_predict_is_absent_without_a_default_model(many_models) -> None:
    paths = document_of(many_models)["paths"]
    assert "/predict" not in paths
    assert "/v1/models/a:predict" in paths


class RemovedModels(LiveModels):
    """Live models that are removed after they are read once."""

    @property
    def states(self):
        states, self._states = self._states, {}
        return states


def test_model_removed_during_the_request_is_still_described(models, service) -> None:
    removed = RemovedModels()
    removed._states = service.live.states
    assert "/v1/models/bodymass:predict" in openapi_document(removed, 10, has_keys=False)["paths"]
