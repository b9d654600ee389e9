"""The models that are there: one answer for TensorFlow Serving's and KServe's clients and people.

What the two protocols ask of a model and no classifier has is refused here, in a sentence.
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
from ...model.signature import Feature
from ...serving.live_models import LiveModels, ModelState
from ..errors import JSON, error_response
from .signature_def import metadata_of


def catalogue_blueprint(live: LiveModels) -> Blueprint:
    """``/v1/models`` and what is below it, but for predictions."""
    blueprint = Blueprint("catalogue", __name__)

    @blueprint.get("/v1/models")
    def models() -> Response:
        return _json({"models": sorted(live.states)})

    @blueprint.get("/v1/models/<name>")
    def model(name: str) -> Response:
        state = live.state(name)
        answer = _described(name, state, state.newest)
        return _json(answer) if state.live else _not_ready(answer)

    @blueprint.get("/v1/models/<name>/versions/<version>")
    def model_version(name: str, version: str) -> Response:
        state = live.state(name)
        if version in {str(rejected) for rejected in state.rejected}:
            only = ModelState(rejected={int(version): state.rejected[int(version)]})
            return _json(_described(name, only, None))
        number = state.live_number(version)
        if number is None:
            raise UnknownVersion(name, version, sorted(state.live))
        entry = state.live[number]
        return _json(_described(name, ModelState(live={number: entry}), entry[0]))

    @blueprint.get("/v1/models/<name>/metadata")
    @blueprint.get("/v1/models/<name>/versions/<version>/metadata")
    def model_metadata(name: str, version: str | None = None) -> Response:
        return _json(metadata_of(live.find(name, version)))

    _refuse_the_rest(blueprint, live)
    return blueprint


def _refuse_the_rest(blueprint: Blueprint, live: LiveModels) -> None:
    """The paths of the two protocols that no classifier has an answer to."""

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


def _described(name: str, state: ModelState, model: Model | None) -> dict[str, Any]:
    """The facts of one model: KServe's name and ready, TensorFlow Serving's status, our own."""
    status = [_status(version, "AVAILABLE", "OK", "") for version in sorted(state.live)]
    status += [
        # The reason stays in the log and in readiness: it may speak of paths and libraries.
        _status(version, "END", "UNKNOWN", "the file was refused")
        for version in sorted(state.rejected)
    ]
    answer: dict[str, Any] = {
        "name": name,
        "ready": bool(state.live),
        "model_version_status": status,
    }
    if model is not None:
        answer |= {
            "version": str(model.version),
            "sha256": model.digest,
            "features": [_feature(feature) for feature in model.signature.features],
            "classes": model.signature.classes,
        }
        if model.signature.threshold is not None:
            answer["threshold"] = model.signature.threshold
    return answer


def _not_ready(answer: dict[str, Any]) -> Response:
    """What is known of a model that can't answer, as the failure that it is to KServe's clients.

    TensorFlow Serving's look at the state of each version, whatever the status.
    """
    reply = error_response(ModelNotReady(answer["name"]))
    body = msgspec.json.encode(answer | msgspec.json.decode(reply.body))
    return Response(body, HTTPStatus.SERVICE_UNAVAILABLE, dict(reply.headers), content_type=JSON)


def _feature(feature: Feature) -> dict[str, Any]:
    """A feature as callers need it: what is not known of it is left out."""
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


def _json(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), content_type=JSON)
