"""Metadata, readiness, statistics and configuration of the Open Inference Protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from pigeonhole import __version__
from pigeonhole.service.web.open_inference.models import EXTENSIONS
from pigeonhole.trainer.graph import Graph

ROWS = {"name": "numbers", "shape": [2, 2], "datatype": "FP64", "data": [172, 95, 180, 50]}


@pytest.fixture
def bare_client(tmp_path: Path, start) -> FlaskClient:
    """Return a client of a service whose model has no metadata and an input of each type."""
    graph = Graph("bare")
    sums = []
    for name, kind in {"a": "double", "b": "float", "c": "int64", "d": "string"}.items():
        value = graph.input(name, kind, 2)
        if kind == "string":
            value = graph.add("Equal", value, graph.constant(np.array("x", object), "x"))
        value = graph.add("Cast", value, to=1)
        sums.append(graph.add("MatMul", value, graph.constant(np.eye(2, dtype=np.float32), "k")))
    graph.output(graph.add("Softmax", graph.add("Sum", *sums), axis=1), "scores", "float", 2)
    path = tmp_path / "models" / "bare" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(graph.model({}, "test").SerializeToString())
    return start()


def test_server_metadata_has_name_version_and_extensions(lasting_client) -> None:
    response = lasting_client.get("/v2")
    assert response.json == {
        "name": "pigeonhole",
        "version": __version__,
        "extensions": list(EXTENSIONS),
    }
    assert lasting_client.get("/v2/").data == response.data


def test_models_are_listed(lasting_client) -> None:
    assert lasting_client.get("/v2/models").json == {"models": ["bodymass", "mixed"]}


@pytest.mark.parametrize("path", ["/v2/models/mixed", "/v2/models/mixed/versions/1"])
def test_metadata_lists_graph_inputs_and_features(lasting_client, path) -> None:
    body = lasting_client.get(path).json
    assert body == {
        "name": "mixed",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "numbers", "datatype": "FP64", "shape": [-1, 3]},
            {"name": "categories", "datatype": "BYTES", "shape": [-1, 2]},
            {"name": "age", "datatype": "FP64", "shape": [-1]},
            {"name": "member", "datatype": "BOOL", "shape": [-1]},
            {"name": "color", "datatype": "BYTES", "shape": [-1]},
            {"name": "size/cm", "datatype": "FP64", "shape": [-1]},
            {"name": "shape", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }


def test_datetime_feature_is_a_text_tensor(dated_client) -> None:
    inputs = {each["name"]: each for each in dated_client.get("/v2/models/dated").json["inputs"]}
    assert inputs["seen"] == {"name": "seen", "datatype": "BYTES", "shape": [-1]}


def test_file_without_metadata_lists_only_graph_inputs(bare_client) -> None:
    kinds = {"a": "FP64", "b": "FP32", "c": "INT64", "d": "BYTES"}
    assert bare_client.get("/v2/models/bare").json["inputs"] == [
        {"name": name, "datatype": kind, "shape": [-1, 2]} for name, kind in kinds.items()
    ]


VALUES = {"FP64": 3.5, "BYTES": "red", "BOOL": True}


@pytest.mark.parametrize("name", ["bodymass", "mixed"])
def test_request_with_every_listed_tensor_gets_a_prediction(lasting_client, name: str) -> None:
    described = lasting_client.get(f"/v2/models/{name}").json["inputs"]
    inputs = []
    for each in described:
        width = each["shape"][1] if len(each["shape"]) > 1 else 1
        value = VALUES[each["datatype"]]
        data = [[1 if each["name"] == "member" else value] * width]
        if each["name"] == "numbers" and name == "mixed":
            data = [[3.5, 1, 3.5]]
        shape = [1, *each["shape"][1:]]
        flat = data if len(shape) > 1 else data[0]
        inputs.append({"name": each["name"], "shape": shape, "datatype": each["datatype"]})
        inputs[-1]["data"] = flat
    response = lasting_client.post(f"/v2/models/{name}/infer", data=json.dumps({"inputs": inputs}))
    assert response.status_code == 200, response.json
    listed = lasting_client.get(f"/v2/models/{name}").json["outputs"]
    for output, metadata in zip(response.json["outputs"], listed, strict=True):
        assert (output["name"], output["datatype"]) == (metadata["name"], metadata["datatype"])
        assert output["shape"] == [1, *metadata["shape"][1:]]


@pytest.mark.parametrize("middle", ["", "/versions/1"])
def test_live_model_is_ready(lasting_client, middle: str) -> None:
    response = lasting_client.get(f"/v2/models/bodymass{middle}/ready")
    assert (response.status_code, response.json) == (200, {"name": "bodymass", "ready": True})


def test_rejected_version_is_not_ready(start, models, write_model, failed) -> None:
    write_model(models, version=2, digest="0" * 64)
    write_model(models, "damaged", digest="0" * 64)
    client = start(models=models)
    assert client.get("/v2/models/bodymass/ready").status_code == 200
    for path in ("bodymass/versions/2", "damaged", "damaged/versions/1"):
        error = failed(client.get(f"/v2/models/{path}/ready"), 503, "not_ready")
        assert (error["name"], error["ready"]) == (path.partition("/")[0], False)
        assert "sha256" not in error["error"]


BELOW = ["", "/ready", "/stats", "/config"]


@pytest.mark.parametrize("below", BELOW)
def test_unknown_models_and_versions_get_errors(lasting_client, failed, below: str) -> None:
    error = failed(lasting_client.get(f"/v2/models/dogs{below}"), 404, "unknown_model")
    assert error["error"].startswith("Request for unknown model: 'dogs' is not found")
    for version in ("7", "01", "x", "99999999999999999999"):
        path = f"/v2/models/bodymass/versions/{version}{below}"
        failed(lasting_client.get(path), 404, "unknown_version")
    failed(lasting_client.post(f"/v2/models/bodymass{below}"), 405, "method_not_allowed")


@pytest.mark.parametrize("below", BELOW)
def test_trailing_slashes_and_escaped_names_are_accepted(lasting_client, below: str) -> None:
    plain = lasting_client.get(f"/v2/models/bodymass{below}")
    for path in (f"/v2/models/bodymass{below}/", f"/v2/models/body%6dass{below}"):
        response = lasting_client.get(path)
        assert (response.status_code, response.json) == (200, plain.json)


def test_configuration_describes_the_tensors_in_tritons_terms(lasting_client) -> None:
    config = lasting_client.get("/v2/models/mixed/config").json
    assert (config["name"], config["backend"]) == ("mixed", "onnxruntime")
    assert config["max_batch_size"] == 10_000
    inputs = {each["name"]: each for each in config["input"]}
    assert inputs["numbers"] == {"name": "numbers", "data_type": "TYPE_FP64", "dims": [3]}
    assert inputs["categories"]["data_type"] == "TYPE_STRING"
    assert inputs["member"] == {
        "name": "member",
        "data_type": "TYPE_BOOL",
        "dims": [1],
        "reshape": {"shape": []},
        "optional": True,
    }
    assert [output["data_type"] for output in config["output"]] == ["TYPE_STRING", "TYPE_FP32"]
    metadata = lasting_client.get("/v2/models/mixed").json
    assert [each["name"] for each in metadata["inputs"]] == list(inputs)


def statistics(client: FlaskClient, path: str = "/v2/models/bodymass/stats") -> dict:
    (version,) = client.get(path).json["model_stats"]
    return version


DURATIONS = {
    *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
    *("cache_hit", "cache_miss"),
}


def test_statistics_count_requests_of_every_protocol_rows_and_runs(client) -> None:
    before = statistics(client)
    assert (before["last_inference"], before["batch_stats"]) == (0, [])
    assert set(before["inference_stats"]) == DURATIONS
    assert all(each == {"count": 0, "ns": 0} for each in before["inference_stats"].values())
    body = json.dumps({"inputs": [ROWS]})
    assert client.post("/v2/models/bodymass/infer", data=body).status_code == 200
    assert client.post("/predict", data=b'{"instances": [[172, 95]]}').status_code == 200
    assert client.post("/v2/models/bodymass/infer", data=b"{}").status_code == 400
    after = statistics(client)
    assert (after["name"], after["version"]) == ("bodymass", "1")
    assert (after["inference_count"], after["execution_count"]) == (3, 2)
    assert after["last_inference"] > 1.7e12
    durations = after["inference_stats"]
    assert (durations["success"]["count"], durations["fail"]["count"]) == (2, 1)
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert [durations[part]["count"] for part in parts] == [2, 2, 2, 2]
    assert all(durations[part]["ns"] > 0 for part in ("success", "fail", *parts[1:]))
    assert sum(durations[part]["ns"] for part in parts) <= durations["success"]["ns"]
    assert statistics(client, "/v2/models/bodymass/versions/1/stats") == after
    assert statistics(client, "/v2/models/stats") == after


def test_statistics_of_all_models_list_each_version(lasting_client) -> None:
    versions = lasting_client.get("/v2/models/stats").json["model_stats"]
    assert [(each["name"], each["version"]) for each in versions] == [
        ("bodymass", "1"),
        ("mixed", "1"),
    ]
