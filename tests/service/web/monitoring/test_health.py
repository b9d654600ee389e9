"""Health: liveness and readiness, for load balancers and operators."""

from __future__ import annotations

import time
from threading import Event

import pytest
from flask import Flask

from pigeonhole.service.web.monitoring.health import LIVE, READY, health_blueprint


def test_service_with_a_live_model_is_ready(client) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json["ready"] is True
    assert response.json["models"] == {"bodymass": {"ready": True, "versions": ["1"]}}


@pytest.mark.parametrize("path", LIVE)
def test_process_without_models_is_live(start, path: str) -> None:
    response = start().get(path)
    assert (response.status_code, response.json) == (200, {"live": True})


@pytest.mark.parametrize("path", READY)
def test_service_without_models_is_live_but_not_ready(start, tmp_path, failed, path: str) -> None:
    (tmp_path / "models").mkdir()
    response = failed(start().get(path), 503, "not_ready")
    assert (response["ready"], response["live"], response["models"]) == (False, True, {})
    (problem,) = response["problems"]
    assert problem.startswith("no model found, expected <name>/<version>/model.onnx in ")
    assert problem in response["error"]


def test_missing_folder_is_a_problem(start, failed) -> None:
    response = failed(start().get("/health/ready"), 503, "not_ready")
    assert "No such file or directory" in response["error"]


def test_rejected_model_is_a_problem(start, models, write_model, failed) -> None:
    write_model(models, "damaged", digest="0" * 64)
    client = start(models=models)
    response = failed(client.get("/health/ready"), 503, "not_ready")
    assert response["models"]["bodymass"] == {"ready": True, "versions": ["1"]}
    assert response["models"]["damaged"] == {"ready": False, "versions": []}
    (problem,) = response["problems"]
    assert problem.startswith("model 'damaged': version 1 was rejected: model.onnx has sha256 ")


def test_missing_default_model_is_a_problem(start, models, failed) -> None:
    response = failed(start(models=models, default_model="unknown").get("/health/ready"), 503)
    assert response["problems"] == ["the default model 'unknown' does not exist"]


def test_rejected_version_is_listed_while_an_older_one_is_live(start, models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    response = start(models=models).get("/health/ready")
    assert response.status_code == 200
    assert response.json["models"] == {"bodymass": {"ready": True, "versions": ["1"]}}
    assert response.json["problems"][0].startswith("model 'bodymass': version 2 was rejected: ")
    assert "error" not in response.json


def test_service_becomes_ready_when_a_model_appears(start, tmp_path, write_model) -> None:
    client = start()
    assert client.get("/health/ready").status_code == 503
    write_model(tmp_path / "models")
    deadline = time.monotonic() + 5
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_folder_of_one_model_may_appear_after_the_start(
    start, tmp_path, write_model, failed
) -> None:
    folder = tmp_path / "mount"
    client = start(models=folder, model_name="mine")
    assert client.get("/health/live").status_code == 200
    response = failed(client.get("/health/ready"), 503, "not_ready")
    assert response["models"] == {"mine": {"ready": False, "versions": []}}
    problem = f"model 'mine': {folder}: can't be read: No such file or directory"
    assert response["problems"] == [problem]
    failed(client.post("/predict", json={"instances": [[172, 95]]}), 503, "model_not_ready")
    folder.mkdir()
    write_model(tmp_path).rename(folder / "some.onnx")
    deadline = time.monotonic() + 5
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    response = client.post("/predict", json={"instances": [[172, 95]]}).json
    assert (response["model"], response["version"]) == ("mine", "1")


def test_stopping_worker_is_live_but_not_ready(service, failed) -> None:
    draining = Event()
    app = Flask(__name__)
    app.register_blueprint(health_blueprint(service.live, draining))
    assert all(app.test_client().get(path).status_code == 200 for path in READY)
    draining.set()
    for path in READY:
        response = app.test_client().get(path)
        assert (response.status_code, response.json["code"]) == (503, "not_ready")
        assert (response.json["ready"], response.json["live"]) == (False, True)
        assert response.json["problems"] == ["the worker is stopping"]
    assert all(app.test_client().get(path).status_code == 200 for path in LIVE)
