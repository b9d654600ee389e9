"""The model repository of the Open Inference Protocol: index, load and unload.

Loading reads the model folder; clients can't upload models. Load and unload need an API key with the
scope ``admin``, which `Authenticator` checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from flask import Blueprint, Response, request

from ...errors import LoadFailed
from ...model.validation import truncate
from ...serving.live_models import LiveModels, ModelState
from ...serving.reconciler import Reconciler
from ..errors import JSON
from .request_json import decode_request

T = TypeVar("T")

READY, UNAVAILABLE, LOADING = "READY", "UNAVAILABLE", "LOADING"

CONFIG, FILE = "config", "file:"
"""Triton's parameters for the upload of a configuration or of files."""


class _IndexRequest(msgspec.Struct):
    ready: bool | None = None


class _Command(msgspec.Struct):
    parameters: dict[str, msgspec.Raw] | None = None


_INDEX, _COMMAND = msgspec.json.Decoder(_IndexRequest), msgspec.json.Decoder(_Command)


def open_inference_repository_blueprint(live: LiveModels, reconciler: Reconciler) -> Blueprint:
    """Return the blueprint of the index and of load and unload, below ``/v2/repository``."""
    blueprint = Blueprint("open_inference_repository", __name__)

    @blueprint.post("/v2/repository/index")
    def repository_index() -> Response:
        query = _body(_INDEX)
        entries = index(live.states, live.unloaded)
        if query.ready:
            entries = [entry for entry in entries if entry["state"] == READY]
        return Response(msgspec.json.encode(entries), content_type=JSON)

    @blueprint.post("/v2/repository/models/<name>/load")
    def load(name: str) -> Response:
        for parameter in _body(_COMMAND).parameters or {}:
            if parameter == CONFIG or parameter.startswith(FILE):
                raise LoadFailed(
                    name,
                    f"parameter '{truncate(parameter)}' is not supported: publish a version in the model folder",
                )
        reconciler.load(name)
        return _empty()

    @blueprint.post("/v2/repository/models/<name>/unload")
    def unload(name: str) -> Response:
        _body(_COMMAND)  # models do not depend on each other, so parameters have no effect
        reconciler.unload(name)
        return _empty()

    return blueprint


def index(
    states: Mapping[str, ModelState], unloaded: Mapping[str, tuple[int, ...]]
) -> list[dict[str, str]]:
    """Return an entry per version, and one with an empty version for a model without any."""
    entries: list[dict[str, str]] = []
    for name, state in states.items():
        known = dict.fromkeys(state.live, (READY, ""))
        # The entry omits the reason, which may name paths and libraries.
        rejected = dict.fromkeys(state.rejected, (UNAVAILABLE, "the file was rejected"))
        missing = dict.fromkeys(state.missing, (UNAVAILABLE, "the version does not exist"))
        for version, (status, reason) in {**missing, **rejected, **known}.items():
            entries.append(_entry(name, str(version), status, reason))
        if not (known or rejected or missing):
            problem = (UNAVAILABLE, "the folder can't be used")
            entries.append(_entry(name, "", *(problem if state.problem else (LOADING, ""))))
    for name, versions in unloaded.items():
        entries += [_entry(name, str(v), UNAVAILABLE, "unloaded") for v in versions or ("",)]
    return sorted(
        entries, key=lambda entry: (entry["name"], len(entry["version"]), entry["version"])
    )


def _entry(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def _body(decoder: msgspec.json.Decoder[T]) -> T:
    """Return the decoded body; an empty body counts as an empty object."""
    return decode_request(decoder, request.get_data(cache=False) or b"{}", "repository request")


def _empty() -> Response:
    return Response(b"{}", content_type=JSON)
