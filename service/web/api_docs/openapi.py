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
    MODEL,
    OBJECT,
    TEXT,
    VERSION,
    array_of,
    error_responses,
    error_schema,
    json_operation,
    object_of,
    reference,
)

PLAIN = "text/plain"

KEY, PASSWORD = "key", "password"

SECURITY = {
    KEY: {"type": "http", "scheme": "bearer", "description": "The token of an API key."},
    PASSWORD: {
        "type": "http",
        "scheme": "basic",
        "description": "The token of an API key as password, with any user; not for the scope admin.",
    },
}

FOR_ANY_KEY = frozenset(
    {"/version", "/v2"}
    | {f"/v2/models/{{name}}{version}/ready" for version in ("", "/versions/{version}")}
)
"""Paths that need an API key of any scope."""

TAGS = {
    "/v1/": "TensorFlow Serving and KServe V1",
    "/v2": "Open Inference Protocol",
    "/invocations": "MLflow and SageMaker",
    "/ping": "MLflow and SageMaker",
    "/version": "MLflow and SageMaker",
    "": "Pigeonhole",
}
"""Tags of paths by their prefix; the first match counts."""


def openapi_blueprint(live: LiveModels, max_rows: int, *, has_keys: bool) -> Blueprint:
    """Return the blueprint of ``/openapi.json``, which describes the live models.

    Args:
        live: the live models.
        max_rows: most rows per request.
        has_keys: whether requests need API keys.
    """
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        document = openapi_document(live, max_rows, has_keys=has_keys)
        return Response(msgspec.json.encode(document), content_type=JSON)

    return blueprint


def openapi_document(live: LiveModels, max_rows: int, *, has_keys: bool) -> dict[str, Any]:
    """Return the whole document."""
    predictions, rows = _model_paths(live, max_rows)
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
                needed = ANY_KEY if path in FOR_ANY_KEY else scope
                _require_key(operation, needed, has_keys=has_keys)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pigeonhole",
            "version": __version__,
            "summary": "Labels and probabilities from trained classifiers.",
        },
        "paths": {path: item for paths in groups.values() for path, item in paths.items()},
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


def _model_paths(live: LiveModels, max_rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the prediction paths with the features of each model, and the schemas of rows."""
    default = live.default_model()
    states = live.states  # read once, because reloads replace it
    identifiers = distinct_identifiers({*states, *({default.name} if default else ())})
    paths: dict[str, Any] = {}
    rows: dict[str, Any] = {}

    def row_of(model: Model) -> str:
        # With the version, because another version may have other features.
        name = f"Row_{identifiers[model.name]}_v{model.version}"
        rows[name] = openapi_rows.row_schema(model)
        return name

    if default is not None:
        row = row_of(default)
        paths["/predict"] = {"post": openapi_rows.predict(default, "predict", row, max_rows)}
        operation = openapi_rows.invocations(default, "invocations", row, max_rows)
        paths["/invocations"] = {"post": operation}
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
            of_model = f"{identifiers[name]}_{which}"
            paths[f"{v1}:predict"] = {
                "post": openapi_rows.predict(model, f"predict_{of_model}", row, max_rows)
            }
            paths[f"{v1}:classify"] = {
                "post": openapi_rows.classify(model, f"classify_{of_model}", row, max_rows)
            }
            paths[f"{v2}/infer"] = {"post": openapi_tensors.infer(model, f"infer_{of_model}")}
    return paths, rows


def distinct_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return an identifier per name, of letters, digits and underscores.

    Client generators change case and underscores to suit their language, so the identifiers differ
    in more than these.
    """
    identifiers: dict[str, str] = {}
    used: set[str] = set()
    for name in sorted(names):
        plain = identifier = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
        for number in itertools.count(2):
            folded = identifier.replace("_", "").lower()
            if folded not in used:
                break
            identifier = f"{plain}_{number}"
        used.add(folded)
        identifiers[name] = identifier
    return identifiers


def _require_key(operation: dict[str, Any], scope: str, *, has_keys: bool) -> None:
    """Add the needed API key, and its errors, to an operation."""
    if scope == ADMIN:
        operation["security"] = [{KEY: [scope]}]
        statuses = ("401", "403") if has_keys else ("403",)
    elif scope == ANY_KEY and has_keys:
        operation["security"] = [{KEY: []}, {PASSWORD: []}]
        statuses = ("401",)
    elif scope != OPEN and has_keys:
        operation["security"] = [{KEY: [scope]}, {PASSWORD: [scope]}]
        statuses = ("401", "403")
    else:
        return
    operation["responses"] |= error_responses(*statuses)


def _reading_paths() -> dict[str, Any]:
    """Return the reading paths of TensorFlow Serving and KServe V1, and of the service."""
    status = reference("Status")
    metadata = object_of({"model_spec": OBJECT, "metadata": OBJECT})
    base, of_version = "/v1/models/{name}", "/v1/models/{name}/versions/{version}"
    both = (MODEL, VERSION)
    operations: dict[str, dict[str, Any]] = {
        "/v1/models": json_operation(
            "models", "The names of the models", object_of({"models": array_of(TEXT)})
        ),
        base: json_operation(
            "model",
            "One model: its state, features and classes",
            status,
            "404",
            "503",
            parameters=(MODEL,),
        ),
        of_version: json_operation("model_version", "One version", status, "404", parameters=both),
        f"{base}/metadata": json_operation(
            "signature", "A model's signature", metadata, "404", "503", parameters=(MODEL,)
        ),
        f"{of_version}/metadata": json_operation(
            "version_signature", "A version's signature", metadata, "404", "503", parameters=both
        ),
        "/openapi.json": json_operation("openapi", "This document", OBJECT),
        "/version": _text("version", "The service's version"),
    }
    return {path: {"get": operation} for path, operation in operations.items()}


def _probes() -> dict[str, Any]:
    """Return the health paths, which need no key."""
    live = object_of({"live": {"type": "boolean"}})
    ready = object_of({"ready": {"type": "boolean"}})
    operations: dict[str, dict[str, Any]] = {}
    for path in ("/health/live", "/v2/health/live"):
        name = "live" if path.startswith("/v2") else "health_live"
        operations[path] = json_operation(name, "Whether the process answers", live)
    for path, name in (
        ("/health/ready", "health_ready"),
        ("/v2/health/ready", "ready"),
        ("/ping", "ping"),
    ):
        operations[path] = json_operation(name, "Whether the models are ready", ready, "503")
    return {path: {"get": operation} for path, operation in operations.items()}


def _text(operation_id: str, summary: str) -> dict[str, Any]:
    """Return an operation whose response is plain text."""
    ok = {"description": summary, "content": {PLAIN: {"schema": TEXT}}}
    return {"operationId": operation_id, "summary": summary, "responses": {"200": ok}}


def _status_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "ready", "model_version_status"],
        "properties": {
            "name": TEXT,
            "ready": {"type": "boolean"},
            "model_version_status": array_of(OBJECT),
            "threshold": reference("Threshold"),
        },
    }
