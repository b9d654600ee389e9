"""``/openapi.json``: the interface as OpenAPI 3.1, made from the signatures of the live models."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from flask import Blueprint, Response

from pigeonhole import __version__

from ...api_keys import ADMIN, METRICS, PREDICT, READ
from ...model.artifact import Model
from ...serving.live_models import LiveModels
from ..auth import ANY_KEY, OPEN
from ..errors import JSON
from . import openapi_rows, openapi_tensors
from .schemas import (
    ANYTHING,
    MODEL,
    TEXT,
    VERSION,
    asked,
    error_schema,
    failures,
    many,
    named,
    required,
)

PLAIN = "text/plain"

KEY, PASSWORD = "key", "password"

SECURITY = {
    KEY: {"type": "http", "scheme": "bearer", "description": "A key's token."},
    PASSWORD: {
        "type": "http",
        "scheme": "basic",
        "description": "A key's token as the password of any user; not for what an admin does.",
    },
}

FOR_ANY_KEY = frozenset(
    {"/version", "/v2"}
    | {f"/v2/models/{{name}}{version}/ready" for version in ("", "/versions/{version}")}
)
"""Paths of what whoever has a key may read."""

TAGS = {
    "/v1/": "TensorFlow Serving and KServe V1",
    "/v2": "Open Inference Protocol",
    "/invocations": "MLflow and SageMaker",
    "/ping": "MLflow and SageMaker",
    "/version": "MLflow and SageMaker",
    "": "Pigeonhole",
}
"""Whose each path is, by how it begins; the first that fits."""


def openapi_blueprint(live: LiveModels, max_rows: int, *, has_keys: bool) -> Blueprint:
    """``/openapi.json`` for what is live at the moment of asking.

    Args:
        live: the models.
        max_rows: rows in one request at most.
        has_keys: whether keys are asked for.
    """
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        document = openapi_document(live, max_rows, has_keys=has_keys)
        return Response(msgspec.json.encode(document), content_type=JSON)

    return blueprint


def openapi_document(live: LiveModels, max_rows: int, *, has_keys: bool) -> dict[str, Any]:
    """The whole document."""
    predictions, rows = _of_models(live, max_rows)
    groups = {
        PREDICT: predictions,
        READ: _reading_paths() | openapi_tensors.reading_paths(),
        METRICS: {"/metrics": {"get": _text("metrics", "Metrics for Prometheus")}},
        ADMIN: openapi_tensors.managing_paths(),
        OPEN: _probes(),
    }
    for scope, paths in groups.items():
        for path, methods in paths.items():
            for operation in methods.values():
                operation["tags"] = [next(TAGS[start] for start in TAGS if path.startswith(start))]
                asked_for = ANY_KEY if path in FOR_ANY_KEY else scope
                _ask_for_key(operation, asked_for, has_keys=has_keys)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pigeonhole",
            "version": __version__,
            "summary": "Labels and probabilities from trained classifiers.",
        },
        "paths": {path: told for paths in groups.values() for path, told in paths.items()},
        "components": {
            "schemas": {
                "Error": error_schema(),
                "Status": _status_schema(),
                "Threshold": openapi_rows.threshold_schema(),
                **openapi_tensors.schemas(max_rows),
                **rows,
            },
            "securitySchemes": SECURITY,
        },
    }


def _of_models(live: LiveModels, max_rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The paths of predictions, each by the features of its model, and the schemas of rows."""
    default = live.default_model()
    states = live.states  # read once: it is replaced whenever a model comes or goes
    words = distinct_words({*states, *({default.name} if default else ())})
    paths: dict[str, Any] = {}
    rows: dict[str, Any] = {}

    def row_of(model: Model) -> str:
        # With the version, for another may ask for other features.
        name = f"Row_{words[model.name]}_v{model.version}"
        rows[name] = openapi_rows.row_schema(model)
        return name

    if default is not None:
        row = row_of(default)
        paths["/predict"] = {"post": openapi_rows.predict(default, "predict", row, max_rows)}
        told = openapi_rows.invocations(default, "invocations", row, max_rows)
        paths["/invocations"] = {"post": told}
    for name, state in sorted(states.items()):
        if (newest := state.newest) is None:
            continue
        live_now = [("", "newest", newest)] + [
            (f"/versions/{version}", f"v{version}", model)
            for version, (model, _) in sorted(state.live.items())
        ]
        for path, which, model in live_now:
            row = row_of(model)
            v1, v2 = f"/v1/models/{name}{path}", f"/v2/models/{name}{path}"
            of_model = f"{words[name]}_{which}"
            paths[f"{v1}:predict"] = {
                "post": openapi_rows.predict(model, f"predict_{of_model}", row, max_rows)
            }
            paths[f"{v1}:classify"] = {
                "post": openapi_rows.classify(model, f"classify_{of_model}", row, max_rows)
            }
            paths[f"{v2}/infer"] = {"post": openapi_tensors.infer(model, f"infer_{of_model}")}
    return paths, rows


def distinct_words(names: Iterable[str]) -> dict[str, str]:
    """Each name as letters, digits and underscores, no two alike even without case and underscores.

    Generators of clients call classes and files by what the document calls things, each in the
    spelling of its language.
    """
    words: dict[str, str] = {}
    there: set[str] = set()
    for name in sorted(names):
        plain = word = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
        for number in itertools.count(2):
            folded = word.replace("_", "").lower()
            if folded not in there:
                break
            word = f"{plain}_{number}"
        there.add(folded)
        words[name] = word
    return words


def _ask_for_key(operation: dict[str, Any], scope: str, *, has_keys: bool) -> None:
    """Tell of an operation which key it takes."""
    if scope == ADMIN:
        operation["security"] = [{KEY: [scope]}]
        refused = ("401", "403") if has_keys else ("403",)
    elif scope == ANY_KEY and has_keys:
        operation["security"] = [{KEY: []}, {PASSWORD: []}]
        refused = ("401",)
    elif scope != OPEN and has_keys:
        operation["security"] = [{KEY: [scope]}, {PASSWORD: [scope]}]
        refused = ("401", "403")
    else:
        return
    operation["responses"] |= failures(*refused)


def _reading_paths() -> dict[str, Any]:
    """What is read of models as TensorFlow Serving and KServe do, and the service itself."""
    status = named("Status")
    metadata = required({"model_spec": ANYTHING, "metadata": ANYTHING})
    base, of_version = "/v1/models/{name}", "/v1/models/{name}/versions/{version}"
    both = (MODEL, VERSION)
    told: dict[str, dict[str, Any]] = {
        "/v1/models": asked("models", "The names of the models", required({"models": many(TEXT)})),
        base: asked(
            "model",
            "One model: its state, features and classes",
            status,
            "404",
            "503",
            parameters=(MODEL,),
        ),
        of_version: asked("model_version", "One version", status, "404", parameters=both),
        f"{base}/metadata": asked(
            "signature", "A model's signature", metadata, "404", "503", parameters=(MODEL,)
        ),
        f"{of_version}/metadata": asked(
            "version_signature", "A version's signature", metadata, "404", "503", parameters=both
        ),
        "/openapi.json": asked("openapi", "This document", ANYTHING),
        "/version": _text("version", "The service's version"),
    }
    return {path: {"get": operation} for path, operation in told.items()}


def _probes() -> dict[str, Any]:
    """Who is alive and ready; no key is asked for here."""
    live = required({"live": {"type": "boolean"}})
    ready = required({"ready": {"type": "boolean"}})
    told: dict[str, dict[str, Any]] = {}
    for path in ("/health/live", "/v2/health/live"):
        name = "live" if path.startswith("/v2") else "health_live"
        told[path] = asked(name, "Whether the process answers", live)
    for path, name in (
        ("/health/ready", "health_ready"),
        ("/v2/health/ready", "ready"),
        ("/ping", "ping"),
    ):
        told[path] = asked(name, "Whether the models are ready", ready, "503")
    return {path: {"get": operation} for path, operation in told.items()}


def _text(operation: str, summary: str) -> dict[str, Any]:
    """An operation that answers text."""
    ok = {"description": summary, "content": {PLAIN: {"schema": TEXT}}}
    return {"operationId": operation, "summary": summary, "responses": {"200": ok}}


def _status_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "ready", "model_version_status"],
        "properties": {
            "name": TEXT,
            "ready": {"type": "boolean"},
            "model_version_status": many(ANYTHING),
            "threshold": named("Threshold"),
        },
    }
