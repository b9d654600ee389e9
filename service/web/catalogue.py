"""The models that are there: one answer for TensorFlow Serving's and KServe's clients and people."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response

from service.errors import UnknownModel, UnknownVersion
from service.model.artifact import Model
from service.model.signature import Feature
from service.serving.live_models import LiveModels, ModelState
from service.web.errors import JSON


def catalogue_blueprint(live: LiveModels) -> Blueprint:
    """``/v1/models`` and what is below it, for reading."""
    blueprint = Blueprint("catalogue", __name__)

    @blueprint.get("/v1/models")
    def models() -> Response:
        return _json({"models": sorted(live.states)})

    @blueprint.get("/v1/models/<name>")
    def model(name: str) -> Response:
        state = _state(name)
        return _json(_described(name, state, state.newest))

    @blueprint.get("/v1/models/<name>/versions/<version>")
    def model_version(name: str, version: str) -> Response:
        state = _state(name)
        if version in {str(rejected) for rejected in state.rejected}:
            only = ModelState(rejected={int(version): state.rejected[int(version)]})
            return _json(_described(name, only, None))
        number = state.live_number(version)
        if number is None:
            raise UnknownVersion(name, version, sorted(state.live))
        entry = state.live[number]
        return _json(_described(name, ModelState(live={number: entry}), entry[0]))

    def _state(name: str) -> ModelState:
        states = live.states  # read once: it is replaced whenever a model comes or goes
        if name not in states:
            raise UnknownModel(name, sorted(states))
        return states[name]

    return blueprint


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


def _feature(feature: Feature) -> dict[str, Any]:
    """A feature as callers need it: what is not known of it is left out."""
    facts = {
        name: feature.readable(value) if isinstance(value, float) else value
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
