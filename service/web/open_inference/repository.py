"""The model repository of the Open Inference Protocol: what could be live, and load and unload.

Loading takes what lies in the model folder; nothing is uploaded. Who may load and unload is the
guard's business: without keys, nobody.
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
from .tensor import decoded

T = TypeVar("T")

READY, UNAVAILABLE, LOADING = "READY", "UNAVAILABLE", "LOADING"

CONFIG, FILE = "config", "file:"
"""Parameters that would make a model of what is sent: its configuration, and its files."""


class _IndexRequest(msgspec.Struct):
    ready: bool | None = None


class _Command(msgspec.Struct):
    parameters: dict[str, msgspec.Raw] | None = None


_INDEX, _COMMAND = msgspec.json.Decoder(_IndexRequest), msgspec.json.Decoder(_Command)


def open_inference_repository_blueprint(live: LiveModels, reconciler: Reconciler) -> Blueprint:
    """``/v2/repository/index``, and ``load`` and ``unload`` below ``/v2/repository/models``."""
    blueprint = Blueprint("open_inference_repository", __name__)

    @blueprint.post("/v2/repository/index")
    def repository_index() -> Response:
        wanted = _asked(_INDEX)
        entries = index(live.states, live.unloaded)
        if wanted.ready:
            entries = [entry for entry in entries if entry["state"] == READY]
        return Response(msgspec.json.encode(entries), content_type=JSON)

    @blueprint.post("/v2/repository/models/<name>/load")
    def load(name: str) -> Response:
        for parameter in _asked(_COMMAND).parameters or {}:
            if parameter == CONFIG or parameter.startswith(FILE):
                raise LoadFailed(
                    name,
                    f"parameter '{truncate(parameter)}' is not taken, publish a version instead",
                )
        reconciler.load(name)
        return _done()

    @blueprint.post("/v2/repository/models/<name>/unload")
    def unload(name: str) -> Response:
        _asked(_COMMAND)  # no model depends on another, so no parameter changes anything
        reconciler.unload(name)
        return _done()

    return blueprint


def index(
    states: Mapping[str, ModelState], unloaded: Mapping[str, tuple[int, ...]]
) -> list[dict[str, str]]:
    """Each version that is live, refused, missing or unloaded; a model being loaded has none yet."""
    entries: list[dict[str, str]] = []
    for name, state in states.items():
        known = dict.fromkeys(state.live, (READY, ""))
        # As elsewhere: the reason itself may speak of paths and libraries.
        refused = dict.fromkeys(state.rejected, (UNAVAILABLE, "the file was refused"))
        missing = dict.fromkeys(state.missing, (UNAVAILABLE, "it is not there"))
        for version, (told, reason) in {**missing, **refused, **known}.items():
            entries.append(_entry(name, str(version), told, reason))
        if not (known or refused or missing):
            problem = (UNAVAILABLE, "its folder can't be used")
            entries.append(_entry(name, "", *(problem if state.problem else (LOADING, ""))))
    for name, versions in unloaded.items():
        entries += [_entry(name, str(v), UNAVAILABLE, "unloaded") for v in versions or ("",)]
    return sorted(
        entries, key=lambda entry: (entry["name"], len(entry["version"]), entry["version"])
    )


def _entry(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def _asked(decoder: msgspec.json.Decoder[T]) -> T:
    """The request's body; nothing is the same as an empty object."""
    return decoded(decoder, request.get_data(cache=False) or b"{}", "repository request")


def _done() -> Response:
    return Response(b"{}", content_type=JSON)
