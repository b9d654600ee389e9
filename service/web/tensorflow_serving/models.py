"""Status and metadata of models, for clients of TensorFlow Serving and KServe, and for people.

Metadata is a ``SignatureDef`` in JSON. It describes the rows of ``:predict``: each feature is a tensor
with one value per row. Unsupported actions get an error that names the supported ones.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NoReturn

import msgspec
from flask import Blueprint, Response

from ...errors import (
    ModelNotReady,
    UnknownLabel,
    UnknownVersion,
    UnsupportedAction,
)
from ...model.artifact import Model
from ...model.signature import Feature, Kind
from ...serving.live_models import LiveModels, ModelState
from ..errors import JSON, error_response

DTYPES = {
    Kind.NUMBER: "DT_DOUBLE",
    Kind.BOOLEAN: "DT_BOOL",
    Kind.DATETIME: "DT_STRING",
    Kind.CATEGORY: "DT_STRING",
}
"""TensorFlow's datatypes of features."""

ANY = -1
"""A dimension of variable size: the number of rows."""


def tensorflow_serving_models_blueprint(live: LiveModels) -> Blueprint:
    """Return the blueprint of ``/v1/models`` and the routes below it, except predictions."""
    blueprint = Blueprint("tensorflow_serving_models", __name__)

    @blueprint.get("/v1/models")
    def models() -> Response:
        return _json({"models": sorted(live.states)})

    @blueprint.get("/v1/models/<name>")
    def model(name: str) -> Response:
        state = live.state(name)
        facts = _facts(name, state, state.newest)
        return _json(facts) if state.live else _not_ready(facts)

    @blueprint.get("/v1/models/<name>/versions/<version>")
    def model_version(name: str, version: str) -> Response:
        state = live.state(name)
        if version in {str(rejected) for rejected in state.rejected}:
            only = ModelState(rejected={int(version): state.rejected[int(version)]})
            return _json(_facts(name, only, None))
        number = state.live_number(version)
        if number is None:
            raise UnknownVersion(name, version, sorted(state.live))
        entry = state.live[number]
        return _json(_facts(name, ModelState(live={number: entry}), entry[0]))

    @blueprint.get("/v1/models/<name>/metadata")
    @blueprint.get("/v1/models/<name>/versions/<version>/metadata")
    def model_metadata(name: str, version: str | None = None) -> Response:
        return _json(metadata_of(live.find(name, version)))

    _add_unsupported(blueprint, live)
    return blueprint


def _add_unsupported(blueprint: Blueprint, live: LiveModels) -> None:
    """Add the routes of both protocols that a classifier does not support."""

    @blueprint.route("/v1/models/<name>/labels/<path:label>", methods=["GET", "POST"])
    def model_label(name: str, label: str) -> NoReturn:
        raise UnknownLabel(live.find(name).name, label.partition("/")[0].partition(":")[0])

    @blueprint.post("/v1/models/<name>:regress")
    @blueprint.post("/v1/models/<name>/versions/<version>:regress")
    def model_regress(name: str, version: str | None = None) -> NoReturn:
        raise UnsupportedAction(live.find(name, version).name, "regress")

    @blueprint.post("/v1/models/<name>:explain")
    def model_explain(name: str) -> NoReturn:
        raise UnsupportedAction(live.find(name).name, "explain")


def _facts(name: str, state: ModelState, model: Model | None) -> dict[str, Any]:
    """Return the state and signature of a model, with the keys of KServe and TensorFlow Serving."""
    status = [_status(version, "AVAILABLE", "OK", "") for version in sorted(state.live)]
    status += [
        # The status omits the reason, which may name paths and libraries; log and readiness have it.
        _status(version, "END", "UNKNOWN", "the file was rejected")
        for version in sorted(state.rejected)
    ]
    facts: dict[str, Any] = {
        "name": name,
        "ready": bool(state.live),
        "model_version_status": status,
    }
    if model is not None:
        facts |= {
            "version": str(model.version),
            "sha256": model.digest,
            "features": [_feature(feature) for feature in model.signature.features],
            "classes": model.signature.classes,
        }
        if model.signature.threshold is not None:
            facts["threshold"] = model.signature.threshold
    return facts


def _not_ready(facts: dict[str, Any]) -> Response:
    """Return the facts of a model that is not ready, as an error for KServe's clients.

    TensorFlow Serving's clients read the state of each version, whatever the status.
    """
    error = error_response(ModelNotReady(facts["name"]))
    body = msgspec.json.encode(facts | msgspec.json.decode(error.body))
    return Response(body, HTTPStatus.SERVICE_UNAVAILABLE, dict(error.headers), content_type=JSON)


def _feature(feature: Feature) -> dict[str, Any]:
    """Return the known facts of a feature."""
    facts = {
        name: feature.json_value(value) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(feature).items()
    }
    return {name: value for name, value in facts.items() if value not in (None, {})}


def _status(version: int, state: str, code: str, message: str) -> dict[str, Any]:
    return {
        "version": str(version),
        "state": state,
        "status": {"error_code": code, "error_message": message},
    }


def _json(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), content_type=JSON)


def metadata_of(model: Model) -> dict[str, Any]:
    """Return the response of ``/v1/models/{name}/metadata``."""
    signature = model.signature
    inputs = {
        feature.name: _tensor(feature.name, DTYPES[feature.kind], ANY)
        for feature in signature.features
    }
    outputs = {
        "label": _tensor("label", "DT_STRING", ANY),
        "probability": _tensor("probability", "DT_FLOAT", ANY),
        "probabilities": _tensor("probabilities", "DT_FLOAT", ANY, len(signature.classes)),
    }
    serving_default = {
        "inputs": inputs,
        "outputs": outputs,
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": str(model.version)},
        # The key stands twice, because protocol buffers write a map in a message so.
        "metadata": {"signature_def": {"signature_def": {"serving_default": serving_default}}},
    }


def _tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "tensor_shape": {
            # The JSON of protocol buffers writes 64-bit integers as texts.
            "dim": [{"size": str(size), "name": ""} for size in shape],
            "unknown_rank": False,
        },
        "name": f"{name}:0",
    }
