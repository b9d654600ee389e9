"""The documented calls of TensorFlow Serving's REST API, against running services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running_service import RunningService

pytestmark = pytest.mark.slow


@pytest.fixture
def client(server: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.address}/v1/models", timeout=20) as client:
        yield client


def body_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


STATUS = {"version", "state", "status"}


@pytest.mark.parametrize("path", ["/bodymass", "/bodymass/versions/1"])
def test_status_of_a_model_and_of_a_version(client: httpx.Client, path: str) -> None:
    (status,) = body_of(client.get(path))["model_version_status"]
    assert set(status) >= STATUS
    assert (status["version"], status["state"]) == ("1", "AVAILABLE")
    assert status["status"] == {"error_code": "OK", "error_message": ""}


@pytest.mark.parametrize("path", ["/bodymass/metadata", "/bodymass/versions/1/metadata"])
def test_metadata_of_a_model_and_of_a_version(client: httpx.Client, path: str) -> None:
    metadata = body_of(client.get(path))
    assert metadata["model_spec"]["name"] == "bodymass"
    assert metadata["model_spec"]["version"] == "1"
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    inputs = signatures["serving_default"]["inputs"]
    assert set(inputs) == {"height_cm", "weight_kg"}
    assert inputs["height_cm"]["dtype"] == "DT_DOUBLE"
    assert signatures["serving_default"]["outputs"]


@pytest.mark.parametrize(
    "path", ["/dogs", "/bodymass/versions/9", "/dogs/metadata", "/bodymass/versions/9/metadata"]
)
def test_missing_model_or_version_is_404(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


PREDICT_PATHS = ["/bodymass:predict", "/bodymass/versions/1:predict", "/bodymass%3Apredict"]


@pytest.mark.parametrize("path", PREDICT_PATHS)
def test_rows_are_predicted(client: httpx.Client, path: str) -> None:
    row = {"height_cm": 172, "weight_kg": 95}
    for body in (
        {"instances": [row]},
        {"signature_name": "serving_default", "instances": [row]},
        {"instances": [[172.0, 95.0]]},
    ):
        (prediction,) = body_of(client.post(path, json=body))["predictions"]
        assert prediction["label"] == "overweight"


def test_columns_are_predicted_as_columns(client: httpx.Client) -> None:
    inputs = {"height_cm": [172, 180], "weight_kg": [95, 50]}
    outputs = body_of(client.post("/bodymass:predict", json={"inputs": inputs}))["outputs"]
    assert outputs["label"] == ["overweight", "underweight"]


def test_a_model_of_one_number_takes_plain_numbers(client: httpx.Client) -> None:
    """The documentation's first example, half_plus_two, does the same."""
    rows = body_of(client.post("/single:predict", json={"instances": [1.0, 2.0, -5.0]}))
    assert [prediction["label"] for prediction in rows["predictions"]] == ["high", "high", "low"]
    columns = body_of(client.post("/single:predict", json={"inputs": [1.0, 2.0, -5.0]}))
    assert columns["outputs"]["label"] == ["high", "high", "low"]


@pytest.mark.parametrize("path", ["/bodymass:classify", "/bodymass/versions/1:classify"])
def test_examples_are_classified(client: httpx.Client, path: str) -> None:
    examples = [{"height_cm": 172, "weight_kg": 95}, {"height_cm": 180, "weight_kg": 50}]
    first, second = body_of(client.post(path, json={"examples": examples}))["results"]
    assert dict(first)["overweight"] == 0.9999785423278809
    assert dict(second)["underweight"] == 0.9999991655349731
    assert {label for label, _ in first} == {"overweight", "underweight"}


def test_context_is_part_of_every_example(client: httpx.Client) -> None:
    body = {"context": {"height_cm": 172}, "examples": [{"weight_kg": 95}, {"weight_kg": 50}]}
    results = body_of(client.post("/bodymass:classify", json=body))["results"]
    assert [max(result, key=lambda pair: pair[1])[0] for result in results] == [
        "overweight",
        "underweight",
    ]


def test_regress_is_an_error_for_a_classifier(client: httpx.Client) -> None:
    answer = client.post("/bodymass:regress", json={"examples": [{"height_cm": 1}]})
    assert answer.status_code in (400, 404)
    assert isinstance(answer.json()["error"], str)


def test_version_label_is_404(client: httpx.Client) -> None:
    answer = client.post("/bodymass/labels/stable:predict", json={"instances": [[1, 2]]})
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


def test_wrong_row_is_an_error_of_the_documented_form(client: httpx.Client) -> None:
    answer = client.post("/bodymass:predict", json={"instances": [{"height_cm": "tall"}]})
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)
