"""The inference routes: paths, versions, and the labels of their metrics."""

from __future__ import annotations

import re

import pytest

GOOD = {"instances": [{"height_cm": 172, "weight_kg": 95}]}


def counted(client) -> dict[tuple[str, str, str, str], float]:
    """Return the number of requests by route, model, version and code."""
    pattern = r'pigeonhole_requests_total\{code="(.*?)",model="(.*?)",route="(.*?)",version="(.*?)"\} (.*)'
    return {
        (route, model, version, code): float(value)
        for code, model, route, version, value in re.findall(
            pattern, client.get("/metrics").data.decode()
        )
        if route != "metrics"
    }


@pytest.mark.parametrize(
    "path",
    [
        "/predict",
        "/v1/models/bodymass:predict",
        "/v1/models/bodymass%3Apredict",
        "/v1/models/bodymass%3apredict/",
        "/v1/models/bodymass/versions/1:predict",
        "/v1/models/bodymass/versions/1%3Apredict",
        "/v1/models/%62odymass:predict?q=1",
    ],
)
def test_every_spelling_of_a_path_reaches_the_model(lasting_client, path: str) -> None:
    response = lasting_client.post(path, json=GOOD)
    assert response.status_code == 200
    assert (response.json["model"], response.json["version"]) == ("bodymass", "1")


def test_path_selects_the_version(start, models, write_model) -> None:
    write_model(models, version=2, bias=50)
    (models / "bodymass" / "serving.toml").write_text("live = [1, 2]")
    client = start(models=models)
    newest = client.post("/v1/models/bodymass:predict", json=GOOD).json
    first = client.post("/v1/models/bodymass/versions/1:predict", json=GOOD).json
    second = client.post("/v1/models/bodymass/versions/2:predict", json=GOOD).json
    assert (newest["version"], first["version"], second["version"]) == ("2", "1", "2")
    assert newest["predictions"] == second["predictions"] != first["predictions"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/unknown:predict", "unknown_model"),
        ("/v1/models/%F0%9F%98%80%ff%00:predict", "unknown_model"),
        ("/v1/models/bodymass:predict:predict", "unknown_model"),
        ("/v1/models/bodymass/versions/2:predict", "unknown_version"),
        ("/v1/models/bodymass/versions/01:predict", "unknown_version"),
        ("/v1/models/bodymass/versions/\u0661:predict", "unknown_version"),
        ("/v1/models/bodymass/versions/-1:predict", "unknown_version"),
        ("/v1/models/body/mass:predict", "unknown_route"),
    ],
)
def test_unknown_model_or_version_is_404(lasting_client, failed, path, code) -> None:
    failed(lasting_client.post(path, json=GOOD), 404, code)


def test_without_default_one_of_several_models_must_be_named(
    start, models, write_model, failed
) -> None:
    write_model(models, "other")
    response = failed(start(models=models).post("/predict", json=GOOD), 404, "no_default_model")
    assert response["models"] == ["bodymass", "other"]
    named = start(models=models, default_model="other").post("/predict", json=GOOD)
    assert named.json["model"] == "other"


def test_rejected_model_is_503_with_retry_after(start, models, write_model, failed) -> None:
    write_model(models, "damaged", digest="0" * 64)
    response = start(models=models).post("/v1/models/damaged:predict", json=GOOD)
    failed(response, 503, "model_not_ready")
    assert response.headers["Retry-After"] == "1"


def test_prediction_is_counted_once_with_its_model(client) -> None:
    client.post("/predict", json=GOOD)
    client.post("/v1/models/bodymass:predict", json=GOOD)
    client.post("/v1/models/bodymass/versions/1:predict", json={"instances": [[1]]})
    assert counted(client) == {
        ("predict", "bodymass", "1", "200"): 1,
        ("model_predict", "bodymass", "1", "200"): 1,
        ("model_predict", "bodymass", "1", "400"): 1,
    }


def test_every_request_is_counted_once_with_its_route(start, models) -> None:
    client = start(models=models, max_body_bytes=100)
    client.post("/predict", data=b"x" * 101)
    client.options("/predict")
    client.options("/v1/models/bodymass:predict")
    client.get("/health/live")
    assert counted(client) == {
        ("predict", "", "", "413"): 1,
        ("predict", "", "", "200"): 1,
        ("model_predict", "", "", "200"): 1,
        ("health_live", "", "", "200"): 1,
    }


def test_no_text_of_a_client_becomes_a_label(client) -> None:
    for path in ("/hostile", "/v1/models/hostile:predict", "/v1/models/hostile/versions/hostile"):
        client.open(path, method="POST", json={"instances": [{"hostile": "hostile"}]})
        client.open(path, method="GET", headers={"X-Request-Id": "hostile"})
    client.open("/predict", method="HOSTILE")
    client.post("/predict", json={"instances": [{"hostile": 1}]})
    assert "hostile" not in client.get("/metrics").data.decode().lower()
    assert {key[0] for key in counted(client)} <= {
        *("unknown", "predict", "model_predict", "model", "model_version"),
    }
