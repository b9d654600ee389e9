"""Health: what a load balancer and an operator are told."""

from __future__ import annotations

import time
from threading import Event

import pytest
from flask import Flask

from pigeonhole.service.web.monitoring.health import LIVE, READY, health_blueprint


def test_a_service_with_a_live_model_is_ready(client) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json["ready"] is True
    assert answer.json["models"] == {"bodymass": {"ready": True, "versions": ["1"]}}


@pytest.mark.parametrize("path", LIVE)
def test_a_process_that_answers_is_live_whatever_its_models(start, path: str) -> None:
    answer = start().get(path)
    assert (answer.status_code, answer.json) == (200, {"live": True})


@pytest.mark.parametrize("path", READY)
def test_without_a_model_it_is_live_but_not_ready(start, tmp_path, failed, path: str) -> None:
    (tmp_path / "models").mkdir()
    answer = failed(start().get(path), 503, "not_ready")
    assert (answer["ready"], answer["live"], answer["models"]) == (False, True, {})
    (problem,) = answer["problems"]
    assert problem.startswith("no model found, expected <name>/<version>/model.onnx in ")
    assert problem in answer["error"]


def test_a_folder_that_is_not_there_is_a_reason(start, failed) -> None:
    answer = failed(start().get("/health/ready"), 503, "not_ready")
    assert "No such file or directory" in answer["error"]


def test_a_refused_model_is_a_reason(start, models, write_model, failed) -> None:
    write_model(models, "damaged", digest="0" * 64)
    client = start(models=models)
    answer = failed(client.get("/health/ready"), 503, "not_ready")
    assert answer["models"]["bodymass"] == {"ready": True, "versions": ["1"]}
    assert answer["models"]["damaged"] == {"ready": False, "versions": []}
    (problem,) = answer["problems"]
    assert problem.startswith("model 'damaged': version 1 was rejected: model.onnx has sha256 ")


def test_a_default_model_that_is_not_there_is_a_reason(start, models, failed) -> None:
    answer = failed(start(models=models, default_model="nobody").get("/health/ready"), 503)
    assert answer["problems"] == ["the default model 'nobody' does not exist"]


def test_a_refused_version_is_told_while_an_older_one_serves(start, models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    answer = start(models=models).get("/health/ready")
    assert answer.status_code == 200
    assert answer.json["models"] == {"bodymass": {"ready": True, "versions": ["1"]}}
    assert answer.json["problems"][0].startswith("model 'bodymass': version 2 was rejected: ")
    assert "error" not in answer.json


def test_it_becomes_ready_when_a_model_appears(start, tmp_path, write_model) -> None:
    client = start()
    assert client.get("/health/ready").status_code == 503
    write_model(tmp_path / "models")
    deadline = time.monotonic() + 5
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_folder_of_one_model_is_missed_named_and_taken_in_when_the_file_appears(
    start, tmp_path, write_model, failed
) -> None:
    folder = tmp_path / "mount"
    client = start(models=folder, model_name="mine")
    assert client.get("/health/live").status_code == 200
    answer = failed(client.get("/health/ready"), 503, "not_ready")
    assert answer["models"] == {"mine": {"ready": False, "versions": []}}
    said = f"model 'mine': {folder}: can't be read: No such file or directory"
    assert answer["problems"] == [said]
    failed(client.post("/predict", json={"instances": [[172, 95]]}), 503, "model_not_ready")
    folder.mkdir()
    write_model(tmp_path).rename(folder / "some.onnx")
    deadline = time.monotonic() + 5
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    answer = client.post("/predict", json={"instances": [[172, 95]]}).json
    assert (answer["model"], answer["version"]) == ("mine", "1")


def test_a_worker_that_is_told_to_stop_is_not_ready_but_live(service, failed) -> None:
    draining = Event()
    app = Flask(__name__)
    app.register_blueprint(health_blueprint(service.live, draining))
    assert all(app.test_client().get(path).status_code == 200 for path in READY)
    draining.set()
    for path in READY:
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.json["code"]) == (503, "not_ready")
        assert (answer.json["ready"], answer.json["live"]) == (False, True)
        assert answer.json["problems"] == ["the worker is stopping"]
    assert all(app.test_client().get(path).status_code == 200 for path in LIVE)
