"""``/openapi.json``: the interface as OpenAPI 3.1, made from the signatures of the live models."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Blueprint, Response

from service import __version__
from service.errors import Problem
from service.model import datetimes
from service.model.artifact import Model
from service.model.signature import Feature, Kind, category_text
from service.serving.live_models import LiveModels
from service.web.errors import HTTP_CODES, INTERNAL_CODE, JSON, TABLE
from service.web.health import NOT_READY
from service.web.open_inference import BINARY, LABEL, LENGTH_HEADER, PROBABILITIES
from service.web.tensor_forms import graph_inputs
from service.web.tensors import DATATYPES, FP16

MISSING = {"type": "null"}

LARGEST = sys.float_info.max
"""JSON knows no largest number, doubles do."""

SECONDS_A_DAY = 86_400

NOT_BLANK = "[^\\s\\u001c-\\u001f\\u0085]"
"""A character that is not trimmed: Python trims the separators of ASCII too."""

CODES = sorted(
    {code for _, code in TABLE.values()} | {*HTTP_CODES.values(), INTERNAL_CODE, NOT_READY}
)
"""Every code that a failure may carry."""


def openapi_blueprint(live: LiveModels, max_rows: int) -> Blueprint:
    """``/openapi.json`` for what is live at the moment of asking.

    Args:
        live: the models.
        max_rows: rows in one request at most.
    """
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(msgspec.json.encode(openapi_document(live, max_rows)), content_type=JSON)

    return blueprint


def openapi_document(live: LiveModels, max_rows: int) -> dict[str, Any]:
    """The whole document."""
    default = live.default_model()
    states = live.states  # read once: it is replaced whenever a model comes or goes
    paths: dict[str, Any] = {}
    schemas = {
        "Error": _error_schema(),
        "Status": _status_schema(),
        "Threshold": _threshold_schema(),
        "InferRequest": _infer_request_schema(max_rows),
        "InferAnswer": _infer_answer_schema(),
    }
    if default is not None:
        paths["/predict"] = {"post": _predict(default, "predict", max_rows)}
        schemas[_schema_name(default)] = _row_schema(default)
    for name, state in sorted(states.items()):
        if (newest := state.newest) is None:
            continue
        paths[f"/v1/models/{name}:predict"] = {
            "post": _predict(newest, f"predict_newest_{name}", max_rows)
        }
        paths[f"/v2/models/{name}/infer"] = {"post": _infer(newest, f"infer_newest_{name}")}
        for version, (model, _) in sorted(state.live.items()):
            paths[f"/v1/models/{name}/versions/{version}:predict"] = {
                "post": _predict(model, f"predict_{version}_{name}", max_rows)
            }
            paths[f"/v2/models/{name}/versions/{version}/infer"] = {
                "post": _infer(model, f"infer_{version}_{name}")
            }
            schemas[_schema_name(model)] = _row_schema(model)
    paths |= _reading_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pigeonhole",
            "version": __version__,
            "summary": "Labels and probabilities from trained classifiers.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _predict(model: Model, operation: str, max_rows: int) -> dict[str, Any]:
    signature = model.signature
    row = {"$ref": f"#/components/schemas/{_schema_name(model)}"}
    listed = {
        "type": "array",
        "prefixItems": [_value_schema(feature) for feature in signature.features],
        "minItems": len(signature.features),
        "maxItems": len(signature.features),
        "description": "The values in signature order: "
        + ", ".join(feature.name for feature in signature.features),
    }
    by_row: dict[str, Any] = {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {
                "description": f"At most {max_rows} rows, all objects or all lists.",
                "anyOf": [
                    {"type": "array", "items": row, "maxItems": max_rows},
                    {"type": "array", "items": listed, "maxItems": max_rows},
                ],
            }
        },
    }
    examples = {
        f"row_{index}": {"value": {"instances": [golden.row]}}
        for index, golden in enumerate(model.golden[:3])
    }
    content: dict[str, Any] = {"schema": by_row}
    if examples:
        content["examples"] = examples
    classes = ", ".join(signature.classes)
    decision = ""
    if (threshold := signature.threshold) is not None:
        decision = (
            f"It is {threshold.positive} where the probability of that is at least "
            f"{threshold.value:g}. "
        )
    return {
        "operationId": operation,
        "summary": f"Predict with model {model.name}, version {model.version}",
        "description": f"Tells for each row which it is of: {classes}. {decision}"
        "Columns under `inputs` and `text/csv` are taken too.",
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": {
            "200": {
                "description": "A prediction for each row, in order.",
                "content": {JSON: {"schema": _answer_schema(model)}},
            },
            **_failures("400", "404", "413", "415", "503"),
        },
    }


def _infer(model: Model, operation: str) -> dict[str, Any]:
    inputs = [f"{name} [rows, {len(held)}]" for name, held in graph_inputs(model).items()]
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/InferRequest"}}
    examples = {
        f"row_{index}": {"value": {"inputs": _example_inputs(model, golden.row)}}
        for index, golden in enumerate(model.golden[:3])
    }
    if examples:
        content["examples"] = examples
    answer = {"schema": {"$ref": "#/components/schemas/InferAnswer"}}
    return {
        "operationId": operation,
        "summary": f"Infer with model {model.name}, version {model.version}",
        "description": "The Open Inference Protocol (V2). Inputs are "
        + ", ".join([*inputs, "or a tensor [rows] for each feature by its name"])
        + f"; outputs are {LABEL} [rows] and {PROBABILITIES} [rows, {len(model.signature.classes)}]. "
        f"With the header {LENGTH_HEADER}, tensors may follow the JSON as bytes.",
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": {
            "200": {
                "description": "The outputs that were asked for.",
                "content": {JSON: answer, BINARY: {"schema": {}}},
            },
            **_failures("400", "404", "413", "415", "503", "504"),
        },
    }


def _example_inputs(model: Model, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row as a tensor for each feature."""
    inputs = []
    for feature in model.signature.features:
        value = row.get(feature.name)
        if value is None:
            continue
        datatype = {Kind.NUMBER: "FP64", Kind.BOOLEAN: "BOOL"}.get(feature.kind, "BYTES")
        if feature.kind is Kind.CATEGORY:
            value = category_text(value)
        inputs.append({"name": feature.name, "shape": [1], "datatype": datatype, "data": [value]})
    return inputs


def _infer_request_schema(max_rows: int) -> dict[str, Any]:
    named = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string", "description": "An input of the graph, or a feature."},
            "shape": {
                "type": "array",
                "description": f"At most {max_rows} rows.",
                "items": {"type": "integer", "minimum": 0},
            },
            "datatype": {"enum": [datatype for datatype in DATATYPES if datatype != FP16]},
            "data": {
                "type": "array",
                "description": "As many values as the shape says, flat or nested, row by row.",
            },
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Comes back as it is."},
            "inputs": {"type": "array", "minItems": 1, "items": tensor},
            "outputs": {"type": "array", "items": named},
        },
    }


def _infer_answer_schema() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": [LABEL, PROBABILITIES]},
            "datatype": {"enum": ["BYTES", "FP32"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array", "items": {"type": ["string", "number"]}},
            "parameters": {"type": "object"},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": ["string", "integer"]},
            "parameters": {
                "type": "object",
                "properties": {
                    "warnings": {
                        "type": "string",
                        "description": "JSON: values outside what training saw.",
                    }
                },
            },
            "outputs": {"type": "array", "items": tensor},
        },
    }


def _schema_name(model: Model) -> str:
    # With the version, for another one may ask for other features.
    return f"Row.{model.name}.{model.version}"


def _row_schema(model: Model) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {f.name: _value_schema(f) for f in model.signature.features},
        "required": [f.name for f in model.signature.features if f.required],
        "additionalProperties": False,
    }


def _value_schema(feature: Feature) -> dict[str, Any]:
    match feature.kind:
        case Kind.NUMBER:
            schema: dict[str, Any] = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
            if seen := _seen(feature):
                schema["description"] = seen
        case Kind.BOOLEAN:
            schema = {"type": "boolean"}
        case Kind.DATETIME:
            schema = _datetime_schema(feature)
        case Kind.CATEGORY:
            schema = {"type": "string"}
            if feature.required:
                schema["pattern"] = NOT_BLANK
            if feature.categories:
                known = sorted(feature.categories, key=lambda c: -feature.categories[c])
                schema["description"] = "Seen in training: " + ", ".join(known[:20])
    return schema if feature.required else {"anyOf": [schema, MISSING]}


def _datetime_schema(feature: Feature) -> dict[str, Any]:
    """A date where training saw whole days only, else a date with its time; the other is taken too."""
    limits = [limit for limit in (feature.minimum, feature.maximum) if limit is not None]
    whole_days = bool(limits) and all(limit % SECONDS_A_DAY == 0 for limit in limits)
    formats = "ISO 8601" if feature.format is None else f"{feature.format} or ISO 8601"
    said = [f"Expected is {datetimes.expected(feature.format)} ({formats}, UTC without an offset)."]
    if seen := _seen(feature):
        said.append(seen)
    return {
        "type": "string",
        "format": "date" if whole_days else "date-time",
        "description": " ".join(said),
    }


def _seen(feature: Feature) -> str:
    """The range that training saw, as a sentence; empty where it is not known."""
    if feature.minimum is None or feature.maximum is None:
        return ""
    low, high = map(feature.shown, (feature.minimum, feature.maximum))
    unit = f" {feature.unit}" if feature.unit else ""
    return f"Seen in training: {low} to {high}{unit}."


def _answer_schema(model: Model) -> dict[str, Any]:
    probability = {"type": "number", "minimum": 0, "maximum": 1.001}
    classes = list(model.signature.classes)
    prediction = {
        "type": "object",
        "required": ["label", "probability", "probabilities"],
        "properties": {
            "label": {"enum": classes},
            "probability": probability,
            "probabilities": {
                "type": "object",
                "required": classes,
                "properties": dict.fromkeys(classes, probability),
            },
        },
    }
    required = ["model", "version", "id", "predictions"]
    properties: dict[str, Any] = {}
    if (threshold := model.signature.threshold) is not None:
        required.append("threshold")
        properties["threshold"] = {
            "$ref": "#/components/schemas/Threshold",
            "const": msgspec.to_builtins(threshold),
        }
    return {
        "type": "object",
        "required": required,
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "id": {"type": "string"},
            **properties,
            "predictions": {"type": "array", "items": prediction},
            "warnings": {
                "type": "array",
                "description": "Values outside what training saw; they were answered all the same.",
                "items": {
                    "type": "object",
                    "required": ["row", "feature", "value", "seen"],
                    "properties": {
                        "row": {"type": "integer"},
                        "feature": {"type": "string"},
                        "value": {"type": ["number", "string"]},
                        "seen": {"type": "array"},
                    },
                },
            },
        },
    }


def _threshold_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "How a model with two classes decides: the label is `class` where its "
        "probability is at least `value`, else the other class.",
        "required": ["class", "value", "metric"],
        "properties": {
            "class": {"type": "string"},
            "value": {"type": "number", "minimum": 0, "maximum": 1},
            "metric": {"type": "string", "description": "What the value was chosen for."},
        },
    }


def _error_schema() -> dict[str, Any]:
    (problem,), components = msgspec.json.schema_components([Problem])
    del problem
    properties = components["Problem"]["properties"]
    return {
        "type": "object",
        "required": ["error", "code"],
        "properties": {
            "error": {"type": "string", "description": "What went wrong, one sentence."},
            "code": {
                "type": "string",
                "description": "Never changes its meaning.",
                "enum": CODES,
            },
            "problems": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["row", "expected", "got"],
                    "properties": {name: _plain(schema) for name, schema in properties.items()},
                },
            },
        },
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without null and default: what is None is left out of an answer."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != MISSING]
    return {key: value for key, value in kinds[0].items() if key != "default"}


def _status_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "ready", "model_version_status"],
        "properties": {
            "name": {"type": "string"},
            "ready": {"type": "boolean"},
            "model_version_status": {"type": "array", "items": {"type": "object"}},
            "threshold": {"$ref": "#/components/schemas/Threshold"},
        },
    }


def _failures(*statuses: str) -> dict[str, Any]:
    said = {
        "400": "The body or its rows don't fit; every problem is named.",
        "404": "No such model or version.",
        "413": "Too many rows or bytes.",
        "415": "A Content-Type or Content-Encoding that is not taken.",
        "503": "Not ready (yet).",
        "504": "The time that the request gave was over before its turn came.",
    }
    error = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {s: {"description": said[s], "content": {JSON: error}} for s in statuses}


def _reading_paths() -> dict[str, Any]:
    def read(
        operation: str, summary: str, schema: dict[str, Any], *failures: str
    ) -> dict[str, Any]:
        return {
            "get": {
                "operationId": operation,
                "summary": summary,
                "responses": {
                    "200": {"description": summary, "content": {JSON: {"schema": schema}}},
                    **_failures(*failures),
                },
            }
        }

    names = {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": {"type": "string"}}},
    }
    status = {"$ref": "#/components/schemas/Status"}
    anything = {"type": "object"}
    model = read("model", "One model: its state, features and classes", status, "404")
    version = read("model_version", "One version of a model", status, "404")
    name_parameter = _path_parameter("name", "The model's name.")
    model["get"]["parameters"] = [name_parameter]
    version["get"]["parameters"] = [name_parameter, _path_parameter("version", "The version.")]
    metrics = read("metrics", "Metrics for Prometheus", anything)
    metrics["get"]["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/v1/models": read("models", "The names of the models", names),
        "/v1/models/{name}": model,
        "/v1/models/{name}/versions/{version}": version,
        "/health/live": read("health_live", "Whether the process answers", anything),
        "/health/ready": read("health_ready", "Whether the models are ready", anything, "503"),
        "/metrics": metrics,
        "/openapi.json": read("openapi", "This document", anything),
    }


def _path_parameter(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }
