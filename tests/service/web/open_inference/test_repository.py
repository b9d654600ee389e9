"""The model repository: what is there, and load and unload, over one worker and over several."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from pigeonhole.service.api_keys import SCOPES, new_key
from pigeonhole.service.app import Service
from pigeonhole.service.errors import LoadFailed
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.errors import error_response
from pigeonhole.service.web.open_inference.repository import open_inference_repository_blueprint

LOAD, UNLOAD = (f"/v2/repository/models/bodymass/{verb}" for verb in ("load", "unload"))


@pytest.fixture
def admin(service: Service) -> FlaskClient:
    """Asks the repository's routes alone, with nobody in front of them who asks for a key."""
    app = Flask(__name__)
    app.url_map.strict_slashes = False
    app.register_blueprint(open_inference_repository_blueprint(service.live, service.reconciler))

    @app.errorhandler(Exception)
    def told(error: Exception) -> Any:
        reply = error_response(error)
        return reply.body, reply.status, {"Content-Type": reply.content_type}

    return app.test_client()


def index(client: FlaskClient, body: bytes = b"") -> list[tuple[str, ...]]:
    answer = client.post("/v2/repository/index", data=body)
    assert answer.status_code == 200
    assert all(list(each) == ["name", "version", "state", "reason"] for each in answer.json)
    return [tuple(each.values()) for each in answer.json]


def test_the_index_tells_of_every_version_and_its_state(start, models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    write_model(models, "other", version=7)
    (models / "other" / "serving.toml").write_text("live = [7, 10]")
    client = start(models=models)
    ready = [("bodymass", "1", "READY", ""), ("other", "7", "READY", "")]
    assert index(client) == [
        ready[0],
        ("bodymass", "2", "UNAVAILABLE", "the file was rejected"),
        ready[1],
        ("other", "10", "UNAVAILABLE", "the version does not exist"),
    ]
    assert index(client, b'{"ready": false}') == index(client, b"{}") == index(client)
    assert index(client, b'{"ready": true, "repository_name": ""}') == ready


def test_the_index_tells_of_a_model_whose_folder_can_not_be_used(start, models) -> None:
    (models / "bodymass" / "serving.toml").write_text("live = 1")
    unusable = ("", "UNAVAILABLE", "the folder can't be used")
    assert index(start(models=models)) == [("bodymass", *unusable)]
    client = start(models=models / "nothing", model_name="mine")
    assert index(client) == [("mine", *unusable)]


def test_a_model_in_a_folder_of_its_own_is_loaded_unloaded_and_counted_as_any_other(
    models, failed
) -> None:
    folder = models / "bodymass" / "1"
    service = Service(Settings(models=folder, model_name="mine", reload_seconds=3600))
    try:
        client = service.flask.test_client()
        answer = client.post("/v2/models/mine/infer", json=TENSORS)
        assert (answer.status_code, answer.json["model_version"]) == (200, "1")
        (counted,) = client.get("/v2/models/mine/stats").json["model_stats"]
        assert (counted["name"], counted["version"], counted["inference_count"]) == ("mine", "1", 1)
        assert index(client) == [("mine", "1", "READY", "")]
        service.reconciler.unload("mine")
        assert index(client) == [("mine", "1", "UNAVAILABLE", "unloaded")]
        failed(client.post("/v2/models/mine/infer", json=TENSORS), 404, "unknown_model")
        assert service.live.is_ready
        (folder / "model.onnx").rename(folder / "other.onnx")
        (folder / "model.onnx.sha256").rename(folder / "other.onnx.sha256")
        service.reconciler.load("mine")
        assert client.post("/v2/models/mine/infer", json=TENSORS).status_code == 200
        (folder / "other.onnx").unlink()
        service.reconciler.unload("mine")
        with pytest.raises(LoadFailed, match=f"no model found, expected model.onnx .* in {folder}"):
            service.reconciler.load("mine")
    finally:
        service.close()


TENSORS = {
    "inputs": [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
        for name, value in (("height_cm", 172), ("weight_kg", 95))
    ]
}


def test_an_unloaded_model_is_unknown_but_readiness_does_not_miss_it(
    admin, service, client, failed
) -> None:
    assert admin.post(UNLOAD).status_code == 200
    answer = client.post("/v2/models/bodymass/infer", data=b"{}")
    assert failed(answer, 404, "unknown_model")["models"] == []
    failed(client.get("/v2/models/bodymass/ready"), 404, "unknown_model")
    failed(client.get("/v1/models/bodymass"), 404, "unknown_model")
    assert client.get("/v2/models").json == {"models": []}
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json["models"]) == (200, {})
    assert "problems" not in answer.json
    assert index(admin) == [("bodymass", "1", "UNAVAILABLE", "unloaded")]
    assert index(admin, b'{"ready": true}') == []
    assert admin.post(LOAD).status_code == 200
    assert client.get("/v2/models/bodymass/ready").status_code == 200
    assert service.live.is_ready


BODIES = [b"", b"{}", b'{"parameters": {}}', b'{"parameters": {"unload_dependents": false}}']


@pytest.mark.parametrize("body", BODIES)
def test_commands_may_be_repeated_and_their_body_may_be_empty(admin, body: bytes) -> None:
    for path in (LOAD, UNLOAD, UNLOAD, LOAD, LOAD):
        answer = admin.post(path, data=body)
        assert (answer.status_code, answer.content_type) == (200, "application/json")


@pytest.mark.parametrize("parameter", ["config", "file:1/model.onnx"])
def test_a_model_that_comes_with_the_request_is_refused(admin, parameter: str) -> None:
    body = json.dumps({"parameters": {parameter: "e30="}})
    answer = admin.post(LOAD, data=body)
    assert (answer.status_code, answer.json["code"]) == (400, "load_failed")
    assert answer.json["error"].startswith(f"failed to load 'bodymass': parameter '{parameter}'")


HOSTILE = [b"[", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"parameters": 3}', b'{"ready": "yes"}']


@pytest.mark.parametrize("body", HOSTILE)
def test_a_body_that_is_no_request_is_refused(admin, body: bytes) -> None:
    path = "/v2/repository/index" if b"ready" in body else LOAD
    answer = admin.post(path, data=body)
    assert answer.status_code == 400
    assert answer.json["code"] in ("invalid_request", "unreadable_body")


def test_a_model_that_is_not_in_the_folder_can_be_neither_loaded_nor_unloaded(admin) -> None:
    answer = admin.post("/v2/repository/models/dogs/load")
    assert (answer.status_code, answer.json["code"]) == (400, "load_failed")
    assert answer.json["error"] == "failed to load 'dogs': no such model in the folder"
    answer = admin.post("/v2/repository/models/dogs/unload")
    assert (answer.status_code, answer.json["code"]) == (404, "unknown_model")


def test_a_refused_file_is_told_and_what_was_live_stays(admin, client, models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    answer = admin.post(LOAD)
    assert (answer.status_code, answer.json["code"]) == (400, "load_failed")
    assert (
        "failed to load 'bodymass': version 2 was rejected: model.onnx has" in answer.json["error"]
    )
    assert client.get("/v2/models/bodymass").json["versions"] == ["1"]
    (models / "bodymass" / "2" / "model.onnx.sha256").unlink()
    assert admin.post(LOAD).status_code == 200
    assert client.get("/v2/models/bodymass").json["versions"] == ["2"]


def test_a_model_that_cannot_be_loaded_again_stays_unloaded(admin, client, models) -> None:
    assert admin.post(UNLOAD).status_code == 200
    path = models / "bodymass" / "1" / "model.onnx"
    good = path.read_bytes()
    path.write_bytes(b"damaged")
    assert admin.post(LOAD).status_code == 400
    assert client.get("/health/ready").status_code == 200
    assert index(admin) == [("bodymass", "1", "UNAVAILABLE", "unloaded")]
    path.write_bytes(good)
    assert admin.post(LOAD).status_code == 200
    assert client.get("/v2/models/bodymass/ready").status_code == 200


def test_without_keys_nobody_may_load_or_unload(client, failed) -> None:
    for path in (LOAD, UNLOAD):
        answer = failed(client.post(path), 403)
        assert "admin" in answer["error"]
    assert client.get("/v2/models/bodymass/ready").status_code == 200


WEB = httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
"""Each request on a connection of its own, so that any worker may answer."""


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["fast", "flask"])
def test_commands_hold_for_all_workers_at_once_and_for_those_that_come_later(
    serve, models: Path, tmp_path: Path, write_model, handler: str
) -> None:
    write_model(models, "other")
    token, entry = new_key("operator", SCOPES)
    keys = tmp_path / "keys.toml"
    keys.write_text(entry)
    headers = {"Authorization": f"Bearer {token}"}
    flags = ("--workers", "3", "--keys", str(keys), "--reload-seconds", "600", "--handler", handler)
    server = serve(models, *flags)
    server.until(lambda: len(server.lines("model live")) == 6)

    def statuses(path: str) -> set[int]:
        url = server.address + path
        return {WEB.get(url, headers=headers).status_code for _ in range(12)}

    def command(verb: str, name: str = "other") -> int:
        url = f"{server.address}/v2/repository/models/{name}/{verb}"
        return WEB.post(url, headers=headers).status_code

    for _ in range(2):
        assert command("unload") == 200
        assert statuses("/v2/models/other/ready") == {404}
        assert statuses("/health/ready") == {200}
        assert command("load") == 200
        assert statuses("/v2/models/other/ready") == {200}
    assert command("unload") == 200
    old = server.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    server.until(lambda: len(set(server.workers()) - set(old)) == 3)
    server.until(lambda: is_answering(server))
    assert statuses("/health/ready") == {200}
    assert statuses("/v2/models/other/ready") == {404}
    assert statuses("/v2/models/bodymass/ready") == {200}
    # What lies there now is loaded at once, though nobody looks by himself for ten minutes.
    write_model(models, version=2)
    assert command("load", "bodymass") == 200
    assert statuses("/v2/models/bodymass/versions/2/ready") == {200}


def is_answering(server) -> bool:
    try:
        return WEB.get(server.address + "/health/ready").status_code == 200
    except httpx.TransportError:
        return False
