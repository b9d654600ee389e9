"""The model repository: index, load and unload, with one worker and with several."""

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
    """Return a client of the repository's routes alone, without authentication."""
    app = Flask(__name__)
    app.url_map.strict_slashes = False
    app.register_blueprint(open_inference_repository_blueprint(service.live, service.reconciler))

    @app.errorhandler(Exception)
    def error_body(error: Exception) -> Any:
        reply = error_response(error)
        return reply.body, reply.status, {"Content-Type": reply.content_type}

    return app.test_client()


def index(client: FlaskClient, body: bytes = b"") -> list[tuple[str, ...]]:
    response = client.post("/v2/repository/index", data=body)
    assert response.status_code == 200
    assert all(list(each) == ["name", "version", "state", "reason"] for each in response.json)
    return [tuple(each.values()) for each in response.json]


def test_index_lists_every_version_and_its_state(start, models, write_model) -> None:
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


def test_index_lists_a_model_whose_folder_is_unusable(start, models) -> None:
    (models / "bodymass" / "serving.toml").write_text("live = 1")
    unusable = ("", "UNAVAILABLE", "the folder can't be used")
    assert index(start(models=models)) == [("bodymass", *unusable)]
    client = start(models=models / "nothing", model_name="mine")
    assert index(client) == [("mine", *unusable)]


def test_single_model_is_loaded_unloaded_and_counted(models, failed) -> None:
    folder = models / "bodymass" / "1"
    service = Service(Settings(models=folder, model_name="mine", reload_seconds=3600))
    try:
        client = service.flask.test_client()
        response = client.post("/v2/models/mine/infer", json=TENSORS)
        assert (response.status_code, response.json["model_version"]) == (200, "1")
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


def test_unloaded_model_is_unknown_but_the_service_stays_ready(
    admin, service, client, failed
) -> None:
    assert admin.post(UNLOAD).status_code == 200
    response = client.post("/v2/models/bodymass/infer", data=b"{}")
    assert failed(response, 404, "unknown_model")["models"] == []
    failed(client.get("/v2/models/bodymass/ready"), 404, "unknown_model")
    failed(client.get("/v1/models/bodymass"), 404, "unknown_model")
    assert client.get("/v2/models").json == {"models": []}
    response = client.get("/health/ready")
    assert (response.status_code, response.json["models"]) == (200, {})
    assert "problems" not in response.json
    assert index(admin) == [("bodymass", "1", "UNAVAILABLE", "unloaded")]
    assert index(admin, b'{"ready": true}') == []
    assert admin.post(LOAD).status_code == 200
    assert client.get("/v2/models/bodymass/ready").status_code == 200
    assert service.live.is_ready


BODIES = [b"", b"{}", b'{"parameters": {}}', b'{"parameters": {"unload_dependents": false}}']


@pytest.mark.parametrize("body", BODIES)
def test_commands_may_be_repeated_with_or_without_a_body(admin, body: bytes) -> None:
    for path in (LOAD, UNLOAD, UNLOAD, LOAD, LOAD):
        response = admin.post(path, data=body)
        assert (response.status_code, response.content_type) == (200, "application/json")


@pytest.mark.parametrize("parameter", ["config", "file:1/model.onnx"])
def test_uploaded_model_is_rejected(admin, parameter: str) -> None:
    body = json.dumps({"parameters": {parameter: "e30="}})
    response = admin.post(LOAD, data=body)
    assert (response.status_code, response.json["code"]) == (400, "load_failed")
    assert response.json["error"].startswith(f"failed to load 'bodymass': parameter '{parameter}'")


HOSTILE = [b"[", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"parameters": 3}', b'{"ready": "yes"}']


@pytest.mark.parametrize("body", HOSTILE)
def test_invalid_body_is_rejected(admin, body: bytes) -> None:
    path = "/v2/repository/index" if b"ready" in body else LOAD
    response = admin.post(path, data=body)
    assert response.status_code == 400
    assert response.json["code"] in ("invalid_request", "unreadable_body")


def test_unknown_model_cannot_be_loaded_or_unloaded(admin) -> None:
    response = admin.post("/v2/repository/models/dogs/load")
    assert (response.status_code, response.json["code"]) == (400, "load_failed")
    assert response.json["error"] == "failed to load 'dogs': no such model in the folder"
    response = admin.post("/v2/repository/models/dogs/unload")
    assert (response.status_code, response.json["code"]) == (404, "unknown_model")


def test_rejected_file_is_reported_and_the_live_version_stays(
    admin, client, models, write_model
) -> None:
    write_model(models, version=2, digest="0" * 64)
    response = admin.post(LOAD)
    assert (response.status_code, response.json["code"]) == (400, "load_failed")
    assert (
        "failed to load 'bodymass': version 2 was rejected: model.onnx has"
        in response.json["error"]
    )
    assert client.get("/v2/models/bodymass").json["versions"] == ["1"]
    (models / "bodymass" / "2" / "model.onnx.sha256").unlink()
    assert admin.post(LOAD).status_code == 200
    assert client.get("/v2/models/bodymass").json["versions"] == ["2"]


def test_model_that_fails_to_load_stays_unloaded(admin, client, models) -> None:
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


def test_without_keys_load_and_unload_are_forbidden(client, failed) -> None:
    for path in (LOAD, UNLOAD):
        error = failed(client.post(path), 403)
        assert "admin" in error["error"]
    assert client.get("/v2/models/bodymass/ready").status_code == 200


WEB = httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
"""A client that opens a connection per request, so that any worker may get it."""


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["fast", "flask"])
def test_commands_apply_to_all_workers_and_to_later_ones(
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
    server.until(lambda: is_ready(server))
    assert statuses("/health/ready") == {200}
    assert statuses("/v2/models/other/ready") == {404}
    assert statuses("/v2/models/bodymass/ready") == {200}
    # The command loads the new version, because the next scan is ten minutes away.
    write_model(models, version=2)
    assert command("load", "bodymass") == 200
    assert statuses("/v2/models/bodymass/versions/2/ready") == {200}


def is_ready(server) -> bool:
    try:
        return WEB.get(server.address + "/health/ready").status_code == 200
    except httpx.TransportError:
        return False
