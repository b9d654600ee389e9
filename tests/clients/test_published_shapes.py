"""Responses of a running service against the published schemas of the Open Inference Protocol."""

from __future__ import annotations

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.clients import shapes
from tests.running_service import RunningService

pytestmark = pytest.mark.slow

READ = {
    "/v2": shapes.SERVER,
    "/v2/health/live": shapes.LIVE,
    "/v2/health/ready": shapes.READY,
    "/v2/models/bodymass": shapes.MODEL,
    "/v2/models/mixed/versions/1": shapes.MODEL,
    "/v2/models/dated": shapes.MODEL,
    "/v2/models/bodymass/ready": shapes.MODEL_READY,
    "/v2/models/bodymass/versions/1/ready": shapes.MODEL_READY,
    "/v2/models/bodymass/config": shapes.CONFIG,
    "/v2/models/mixed/versions/1/config": shapes.CONFIG,
    "/v2/models/bodymass/stats": shapes.STATISTICS,
    "/v2/models/bodymass/versions/1/stats": shapes.STATISTICS,
    "/v2/models/stats": shapes.STATISTICS,
}

ABSENT = (
    "/v2/models/dogs",
    "/v2/models/dogs/config",
    "/v2/models/dogs/stats",
    "/v2/models/bodymass/versions/9",
    "/v2/models/bodymass/versions/nine",
    "/v2/models/bodymass/versions/9/config",
    "/v2/models/bodymass/versions/9/stats",
    "/v2/nothing",
)


def holds(answer: httpx.Response, status: int, shape: dict) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    Draft202012Validator(shape).validate(answer.json())


@pytest.mark.parametrize("path", READ)
def test_metadata_match_the_published_schema(server: RunningService, path: str) -> None:
    for ending in ("", "/"):
        holds(httpx.get(server.address + path + ending), 200, READ[path])


@pytest.mark.parametrize("path", ABSENT)
def test_missing_resource_is_404_in_the_published_schema(server: RunningService, path: str) -> None:
    holds(httpx.get(server.address + path), 404, shapes.ERROR)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"ready": true}'])
def test_index_matches_the_published_schema(server: RunningService, content: bytes) -> None:
    holds(httpx.post(f"{server.address}/v2/repository/index", content=content), 200, shapes.INDEX)


INPUT = {"name": "numbers", "shape": [1, 2], "datatype": "FP64", "data": [[172, 95]]}

REQUESTS = [
    {"inputs": [INPUT]},
    {"id": "mine", "inputs": [INPUT], "outputs": [{"name": "label"}]},
    {
        "inputs": [INPUT],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
    },
    {"inputs": [INPUT], "parameters": {"content_type": "np", "headers": {}}},
    {"inputs": [{**INPUT, "data": [[9999, 95]]}]},  # the response has a warning
]


@pytest.mark.parametrize("body", REQUESTS)
def test_inferences_match_the_published_schema(server: RunningService, body: dict) -> None:
    for version in ("", "/versions/1"):
        url = f"{server.address}/v2/models/bodymass{version}/infer"
        holds(httpx.post(url, json=body), 200, shapes.INFERENCE)


@pytest.mark.parametrize(
    "body", [{}, {"inputs": []}, {"inputs": [{}]}, {"inputs": [{**INPUT, "shape": [2, 2]}]}, []]
)
def test_errors_match_the_published_schema(server: RunningService, body: object) -> None:
    url = f"{server.address}/v2/models/bodymass/infer"
    holds(httpx.post(url, json=body), 400, shapes.ERROR)
