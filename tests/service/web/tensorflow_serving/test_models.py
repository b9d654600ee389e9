"""``/v1/models``: status and metadata for clients of TensorFlow Serving and KServe."""

from __future__ import annotations

import pytest
from flask import Flask

from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.web.errors import error_response
from pigeonhole.service.web.tensorflow_serving.models import tensorflow_serving_models_blueprint


def test_models_are_listed_by_name(lasting_client) -> None:
    response = lasting_client.get("/v1/models")
    assert response.headers["Content-Type"] == "application/json"
    assert response.json == {"models": ["bodymass", "mixed"]}


def test_model_has_its_state_and_signature(lasting_client) -> None:
    body = lasting_client.get("/v1/models/bodymass").json
    assert len(body.pop("sha256")) == 64
    height, weight = body.pop("features")
    assert (height["name"], height["kind"], height["unit"]) == ("height_cm", "number", "cm")
    assert (weight["minimum"], weight["maximum"]) == (30, 180)
    assert body == {
        "name": "bodymass",
        "ready": True,
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ],
        "version": "1",
        "classes": ["underweight", "overweight"],
    }


def test_range_of_a_datetime_is_text(dated_client) -> None:
    body = dated_client.get("/v1/models/dated").json
    _, seen, _, paid, opens = body["features"]
    assert seen == {
        "name": "seen",
        "kind": "datetime",
        "required": True,
        "minimum": "2024-01-01",
        "maximum": "2024-06-30",
    }
    assert (paid["format"], paid["minimum"]) == ("%d/%m/%Y %H:%M", "2024-01-01T09:00")
    assert paid["default"] == "2024-03-01T10:00"
    assert (opens["minimum"], opens["maximum"]) == ("08:00", "12:00")
    assert "threshold" not in body


def test_model_has_its_threshold(dated_client) -> None:
    threshold = {"class": "overweight", "value": 0.9, "metric": "f1"}
    for path in ("/v1/models/careful", "/v1/models/careful/versions/1"):
        assert dated_client.get(path).json["threshold"] == threshold


def test_version_is_described_alone(start, models, write_model) -> None:
    write_model(models, version=2, bias=5)
    (models / "bodymass" / "serving.toml").write_text("live = [1, 2]")
    client = start(models=models)
    both = client.get("/v1/models/bodymass").json
    assert both["version"] == "2"
    assert [status["version"] for status in both["model_version_status"]] == ["1", "2"]
    first = client.get("/v1/models/bodymass/versions/1").json
    assert first["version"] == "1"
    assert [status["version"] for status in first["model_version_status"]] == ["1"]
    assert first["sha256"] != both["sha256"]


def test_rejected_version_is_listed_without_the_reason(start, models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    client = start(models=models)
    statuses = client.get("/v1/models/bodymass").json["model_version_status"]
    assert [(s["version"], s["state"]) for s in statuses] == [("1", "AVAILABLE"), ("2", "END")]
    rejected = client.get("/v1/models/bodymass/versions/2").json
    assert rejected["ready"] is False
    (status,) = rejected["model_version_status"]
    assert status["status"] == {"error_code": "UNKNOWN", "error_message": "the file was rejected"}
    assert "features" not in rejected


def test_unknown_models_and_versions_get_errors(lasting_client, failed) -> None:
    error = failed(lasting_client.get("/v1/models/missing"), 404, "unknown_model")
    assert error["models"] == ["bodymass", "mixed"]
    for version in ("2", "01", "\u0661", "x", "%00"):
        response = lasting_client.get(f"/v1/models/bodymass/versions/{version}")
        assert failed(response, 404, "unknown_version")["versions"] == ["1"]


class RemovedModels(LiveModels):
    """Live models that are removed after they are read once."""

    @property
    def states(self):
        states, self._states = self._states, {}
        return states


def test_model_removed_during_the_request_is_still_described(models, service) -> None:
    for path in ("/v1/models/bodymass", "/v1/models/bodymass/versions/1"):
        removed = RemovedModels()
        removed._states = service.live.states
        app = Flask(__name__)
        app.register_blueprint(tensorflow_serving_models_blueprint(removed))
        app.register_error_handler(Exception, lambda error: (error_response(error).body, 500))
        assert app.test_client().get(path).json["version"] == "1"


def test_model_without_a_live_version_is_not_ready(start, models, write_model, failed) -> None:
    write_model(models, "damaged", digest="0" * 64)
    response = start(models=models).get("/v1/models/damaged")
    body = failed(response, 503, "model_not_ready")
    assert response.headers["Retry-After"] == "1"
    assert (body["name"], body["ready"]) == ("damaged", False)
    (status,) = body["model_version_status"]
    assert (status["version"], status["state"]) == ("1", "END")


def tensor(name: str, dtype: str, *sizes: str) -> dict:
    return {
        "dtype": dtype,
        "tensor_shape": {
            "dim": [{"size": size, "name": ""} for size in sizes],
            "unknown_rank": False,
        },
        "name": f"{name}:0",
    }


@pytest.mark.parametrize(
    "path", ["/v1/models/bodymass/metadata", "/v1/models/bodymass/versions/1/metadata"]
)
def test_metadata_has_the_structure_of_tensorflow_serving(lasting_client, path: str) -> None:
    response = lasting_client.get(path)
    assert response.headers["Content-Type"] == "application/json"
    assert response.json == {
        "model_spec": {"name": "bodymass", "signature_name": "", "version": "1"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {
                            "height_cm": tensor("height_cm", "DT_DOUBLE", "-1"),
                            "weight_kg": tensor("weight_kg", "DT_DOUBLE", "-1"),
                        },
                        "outputs": {
                            "label": tensor("label", "DT_STRING", "-1"),
                            "probability": tensor("probability", "DT_FLOAT", "-1"),
                            "probabilities": tensor("probabilities", "DT_FLOAT", "-1", "2"),
                        },
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }


def test_metadata_has_a_datatype_for_every_kind(lasting_client, dated_client) -> None:
    def dtypes(client, name: str) -> dict[str, str]:
        metadata = client.get(f"/v1/models/{name}/metadata").json["metadata"]
        inputs = metadata["signature_def"]["signature_def"]["serving_default"]["inputs"]
        return {name: facts["dtype"] for name, facts in inputs.items()}

    assert dtypes(lasting_client, "mixed") == {
        "age": "DT_DOUBLE",
        "member": "DT_BOOL",
        "color": "DT_STRING",
        "size/cm": "DT_DOUBLE",
        "shape": "DT_STRING",
    }
    assert dtypes(dated_client, "dated")["seen"] == "DT_STRING"


def test_metadata_of_unknown_models_and_versions_gets_errors(lasting_client, failed) -> None:
    failed(lasting_client.get("/v1/models/missing/metadata"), 404, "unknown_model")
    response = lasting_client.get("/v1/models/bodymass/versions/2/metadata")
    failed(response, 404, "unknown_version")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "labels/stable"),
        ("GET", "labels/stable/metadata"),
        ("POST", "labels/stable:predict"),
        ("POST", "labels/stable%3Aclassify"),
    ],
)
def test_version_labels_are_unknown(lasting_client, failed, method, path) -> None:
    response = lasting_client.open(f"/v1/models/bodymass/{path}", method=method)
    assert "'stable'" in failed(response, 404, "unknown_label")["error"]
    response = lasting_client.open(f"/v1/models/missing/{path}", method=method)
    failed(response, 404, "unknown_model")


@pytest.mark.parametrize(
    "path", [":regress", "%3Aregress", "/versions/1:regress", ":explain", "%3aexplain"]
)
def test_error_for_an_unsupported_action_names_the_supported_ones(
    lasting_client, failed, path
) -> None:
    response = lasting_client.post(f"/v1/models/bodymass{path}", json={"instances": [[172, 95]]})
    assert ":predict or :classify" in failed(response, 404, "unsupported_action")["error"]
    failed(lasting_client.post(f"/v1/models/missing{path}"), 404, "unknown_model")
