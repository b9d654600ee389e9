"""/v1/models: what is told of each model to TensorFlow Serving's and KServe's clients."""

from __future__ import annotations

import pytest
from flask import Flask

from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.web.errors import error_response
from pigeonhole.service.web.tensorflow_serving.models import tensorflow_serving_models_blueprint


def test_the_models_are_listed_by_name(lasting_client) -> None:
    answer = lasting_client.get("/v1/models")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"models": ["bodymass", "mixed"]}


def test_a_model_tells_its_state_and_its_signature(lasting_client) -> None:
    answer = lasting_client.get("/v1/models/bodymass").json
    assert len(answer.pop("sha256")) == 64
    height, weight = answer.pop("features")
    assert (height["name"], height["kind"], height["unit"]) == ("height_cm", "number", "cm")
    assert (weight["minimum"], weight["maximum"]) == (30, 180)
    assert answer == {
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


def test_datetimes_tell_their_range_as_texts(dated_client) -> None:
    answer = dated_client.get("/v1/models/dated").json
    _, seen, _, paid, opens = answer["features"]
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
    assert "threshold" not in answer


def test_a_model_tells_its_threshold(dated_client) -> None:
    threshold = {"class": "overweight", "value": 0.9, "metric": "f1"}
    for path in ("/v1/models/careful", "/v1/models/careful/versions/1"):
        assert dated_client.get(path).json["threshold"] == threshold


def test_a_version_tells_of_itself_alone(start, models, write_model) -> None:
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


def test_a_refused_version_is_there_without_the_reason(start, models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    client = start(models=models)
    statuses = client.get("/v1/models/bodymass").json["model_version_status"]
    assert [(s["version"], s["state"]) for s in statuses] == [("1", "AVAILABLE"), ("2", "END")]
    refused = client.get("/v1/models/bodymass/versions/2").json
    assert refused["ready"] is False
    (status,) = refused["model_version_status"]
    assert status["status"] == {"error_code": "UNKNOWN", "error_message": "the file was rejected"}
    assert "features" not in refused


def test_what_is_not_there_is_a_404(lasting_client, failed) -> None:
    answer = failed(lasting_client.get("/v1/models/nobody"), 404, "unknown_model")
    assert answer["models"] == ["bodymass", "mixed"]
    for version in ("2", "01", "\u0661", "x", "%00"):
        answer = lasting_client.get(f"/v1/models/bodymass/versions/{version}")
        assert failed(answer, 404, "unknown_version")["versions"] == ["1"]


class Vanishing(LiveModels):
    """Models that are taken away as soon as they were looked at once."""

    @property
    def states(self):
        states, self._states = self._states, {}
        return states


def test_a_model_that_is_taken_away_meanwhile_is_described_as_it_was(models, service) -> None:
    for path in ("/v1/models/bodymass", "/v1/models/bodymass/versions/1"):
        vanishing = Vanishing()
        vanishing._states = service.live.states
        app = Flask(__name__)
        app.register_blueprint(tensorflow_serving_models_blueprint(vanishing))
        app.register_error_handler(Exception, lambda error: (error_response(error).body, 500))
        assert app.test_client().get(path).json["version"] == "1"


def test_a_model_without_a_live_version_is_not_ready_to_every_client(
    start, models, write_model, failed
) -> None:
    write_model(models, "damaged", digest="0" * 64)
    answer = start(models=models).get("/v1/models/damaged")
    body = failed(answer, 503, "model_not_ready")
    assert answer.headers["Retry-After"] == "1"
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
def test_the_metadata_has_the_shape_of_tensorflow_servings(lasting_client, path: str) -> None:
    answer = lasting_client.get(path)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {
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


def test_the_metadata_names_the_type_of_every_kind(lasting_client, dated_client) -> None:
    def dtypes(client, name: str) -> dict[str, str]:
        told = client.get(f"/v1/models/{name}/metadata").json["metadata"]["signature_def"]
        inputs = told["signature_def"]["serving_default"]["inputs"]
        return {name: facts["dtype"] for name, facts in inputs.items()}

    assert dtypes(lasting_client, "mixed") == {
        "age": "DT_DOUBLE",
        "member": "DT_BOOL",
        "color": "DT_STRING",
        "size/cm": "DT_DOUBLE",
        "shape": "DT_STRING",
    }
    assert dtypes(dated_client, "dated")["seen"] == "DT_STRING"


def test_metadata_of_what_is_not_there_is_a_404(lasting_client, failed) -> None:
    failed(lasting_client.get("/v1/models/nobody/metadata"), 404, "unknown_model")
    answer = lasting_client.get("/v1/models/bodymass/versions/2/metadata")
    failed(answer, 404, "unknown_version")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "labels/stable"),
        ("GET", "labels/stable/metadata"),
        ("POST", "labels/stable:predict"),
        ("POST", "labels/stable%3Aclassify"),
    ],
)
def test_labels_are_assigned_to_no_version(lasting_client, failed, method, path) -> None:
    answer = lasting_client.open(f"/v1/models/bodymass/{path}", method=method)
    assert "'stable'" in failed(answer, 404, "unknown_label")["error"]
    answer = lasting_client.open(f"/v1/models/nobody/{path}", method=method)
    failed(answer, 404, "unknown_model")


@pytest.mark.parametrize(
    "path", [":regress", "%3Aregress", "/versions/1:regress", ":explain", "%3aexplain"]
)
def test_what_no_classifier_does_is_refused_with_what_it_does(lasting_client, failed, path) -> None:
    answer = lasting_client.post(f"/v1/models/bodymass{path}", json={"instances": [[172, 95]]})
    assert ":predict or :classify" in failed(answer, 404, "unsupported_action")["error"]
    failed(lasting_client.post(f"/v1/models/nobody{path}"), 404, "unknown_model")
