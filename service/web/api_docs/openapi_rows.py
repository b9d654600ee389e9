"""Rows in ``/openapi.json``: ``:predict``, ``:classify`` and ``/invocations`` of a model."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from ...model import datetimes
from ...model.artifact import Model
from ...model.signature import Feature, Kind
from ..errors import JSON
from ..rows import arrow_format
from ..rows.ndjson_stream import NDJSON
from ..rows.table_results import CSV, NPY
from .schemas import MISSING, TEXT, content, error_responses, many, named, required

LARGEST = sys.float_info.max
"""The largest double; JSON has no limit."""

SECONDS_A_DAY = 86_400

NOT_BLANK = "[^\\s\\u001c-\\u001f\\u0085]"
"""A character that is not trimmed; Python also trims ASCII's separators."""

BYTES = {"contentMediaType": "application/octet-stream"}
"""Binary content."""

FAILURES = ("400", "404", "413", "415", "503", "504")


def predict(model: Model, operation: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """Return the operation ``predict`` of one version, whose rows are the component ``row_name``."""
    row = named(row_name)
    by_row = required(
        {
            "instances": {
                "description": f"At most {max_rows} rows, either objects or lists.",
                "anyOf": [
                    many(row, maxItems=max_rows),
                    many(_listed(model), maxItems=max_rows),
                ],
            }
        }
    )
    examples = [{"instances": [row]} for row in _example_rows(model)]
    return {
        "operationId": operation,
        "summary": f"Predict with model {model.name}, version {model.version}",
        "description": f"{_decision(model)} `inputs` may hold columns instead, and gets columns back. "
        "Accept selects the format of the response; formats other than JSON name the model in "
        "X-Model-Name and X-Model-Version. X-Request-Timeout-Ms sets a deadline.",
        "requestBody": {
            "required": True,
            "content": {JSON: content(by_row, *examples), **_bodies(model)},
        },
        "responses": {
            "200": {
                "description": "One prediction per row, in order.",
                "content": _response_content(model),
            },
            **error_responses(*FAILURES),
        },
    }


def invocations(model: Model, operation: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """Return the operation ``/invocations`` of the default model."""
    row = named(row_name)
    names = [feature.name for feature in model.signature.features]
    frame = required(
        {
            "columns": many(
                {"enum": names},
                minItems=len(names),
                maxItems=len(names),
                uniqueItems=True,
                description="In the order of the values in each row of data.",
            ),
            "data": many(_listed(model), maxItems=max_rows),
        }
    )
    forms = [
        required({"dataframe_split": frame}),
        required({"dataframe_records": many(row, maxItems=max_rows)}),
        required({"instances": many(row, maxItems=max_rows)}),
        required({"inputs": many(_listed(model), maxItems=max_rows)}),
    ]
    examples = [
        {"dataframe_split": {"columns": names, "data": [[row.get(name) for name in names]]}}
        for row in _example_rows(model)
    ]
    return {
        "operationId": operation,
        "summary": f"Predict with model {model.name}, version {model.version}, with MLflow's bodies",
        "description": f"{_decision(model)} MLflow's `params` are ignored.",
        "requestBody": {
            "required": True,
            "content": {JSON: content({"anyOf": forms}, *examples), **_bodies(model)},
        },
        "responses": {
            "200": {
                "description": "One prediction per row, in order.",
                "content": _response_content(model),
            },
            **error_responses(*FAILURES),
        },
    }


def classify(model: Model, operation: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """Return the operation ``classify`` of one version."""
    examples = [{"examples": [row]} for row in _example_rows(model)]
    row = named(row_name)
    body = {
        "type": "object",
        "required": ["examples"],
        "properties": {
            "examples": many(row, maxItems=max_rows),
        },
    }
    pair = many({"type": ["string", "number"]}, minItems=2, maxItems=2)
    properties = {"results": many(many(pair)), "model": TEXT, "version": TEXT, "id": TEXT}
    return {
        "operationId": operation,
        "summary": f"Classify with model {model.name}, version {model.version}",
        "description": "TensorFlow Serving's examples. Each gets a pair of label and score per class, "
        "in the order of the classes.",
        "requestBody": {"required": True, "content": {JSON: content(body, *examples)}},
        "responses": {
            "200": {
                "description": "The scores of each example, in order.",
                "content": {JSON: {"schema": required(properties)}},
            },
            **error_responses(*FAILURES),
        },
    }


def _decision(model: Model) -> str:
    """Return the classes, and the decision threshold if there is one, as sentences."""
    text = f"Classes: {', '.join(model.signature.classes)}."
    if (threshold := model.signature.threshold) is not None:
        text += (
            f" The label is {threshold.positive} if its probability is at least "
            f"{threshold.value:g}."
        )
    return text


def _example_rows(model: Model) -> list[Mapping[str, Any]]:
    return [golden.row for golden in model.golden_rows[:3]]


def _listed(model: Model) -> dict[str, Any]:
    features = model.signature.features
    return {
        "type": "array",
        "prefixItems": [_value_schema(feature) for feature in features],
        "minItems": len(features),
        "maxItems": len(features),
        "description": "The values, in the order of the features: "
        + ", ".join(feature.name for feature in features),
    }


def _bodies(model: Model) -> dict[str, Any]:
    """Return the request formats other than JSON."""
    rows = _example_rows(model)
    table, lines = ([_as_csv(model, rows)], [_as_lines(rows)]) if rows else ([], [])
    array = (
        "An array (rows, features) in the order of the features, or a structured array by names."
    )
    return {
        CSV: content({**TEXT, "description": "With a header line, or with header=absent."}, *table),
        NDJSON: content(
            {**TEXT, "description": "One row per line; the response has one line per row."}, *lines
        ),
        NPY: content({**BYTES, "description": array}),
        **_if_installed({**BYTES, "description": "A table with columns by name."}),
    }


def _if_installed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return Arrow's content, if pyarrow is installed."""
    return {arrow_format.STREAM: content(schema)} if arrow_format.INSTALLED else {}


def _as_csv(model: Model, rows: list[Mapping[str, Any]]) -> str:
    written = io.StringIO()
    names = [feature.name for feature in model.signature.features]
    table = csv.DictWriter(written, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def _as_lines(rows: list[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(dict(row)) + "\n" for row in rows)


def _response_content(model: Model) -> dict[str, Any]:
    """Return the formats of a response."""
    classes = ", ".join(f"probability_{name}" for name in model.signature.classes)
    columns = f"label, probability, {classes}"
    return {
        JSON: {"schema": _response_schema(model)},
        CSV: {"schema": {**TEXT, "description": f"Columns: {columns}."}},
        NDJSON: {"schema": {**TEXT, "description": "One line per row, in order."}},
        NPY: {"schema": {**BYTES, "description": "The probabilities as float32 (rows, classes)."}},
        **_if_installed({**BYTES, "description": f"Columns: {columns}."}),
    }


def row_schema(model: Model) -> dict[str, Any]:
    """Return the schema of a row as an object."""
    features = model.signature.features
    return {
        "type": "object",
        "properties": {feature.name: _value_schema(feature) for feature in features},
        "required": [feature.name for feature in features if feature.required],
        "additionalProperties": False,
    }


def _value_schema(feature: Feature) -> dict[str, Any]:
    match feature.kind:
        case Kind.NUMBER:
            schema: dict[str, Any] = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
            if seen := _training_range(feature):
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
                schema["description"] = "In training: " + ", ".join(known[:20])
    return schema if feature.required else {"anyOf": [schema, MISSING]}


def _datetime_schema(feature: Feature) -> dict[str, Any]:
    """Return a date if training had whole days only, else a date and time; both are accepted."""
    limits = [limit for limit in (feature.minimum, feature.maximum) if limit is not None]
    whole_days = bool(limits) and all(limit % SECONDS_A_DAY == 0 for limit in limits)
    formats = "ISO 8601" if feature.format is None else f"{feature.format} or ISO 8601"
    sentences = [
        f"Expected: {datetimes.describe_format(feature.format)} ({formats}; UTC without an offset)."
    ]
    if seen := _training_range(feature):
        sentences.append(seen)
    return {
        "type": "string",
        "format": "date" if whole_days else "date-time",
        "description": " ".join(sentences),
    }


def _training_range(feature: Feature) -> str:
    """Return the training range as a sentence; empty if it is unknown."""
    if feature.minimum is None or feature.maximum is None:
        return ""
    low, high = map(feature.format_value, (feature.minimum, feature.maximum))
    unit = f" {feature.unit}" if feature.unit else ""
    return f"In training: {low} to {high}{unit}."


def _response_schema(model: Model) -> dict[str, Any]:
    probability = _probability()
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
            **named("Threshold"),
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
                "description": "Values outside the training range; their rows are answered too.",
                "items": {
                    "type": "object",
                    "required": ["row", "feature", "value", "seen"],
                    "properties": {
                        "row": {"type": "integer"},
                        "feature": {"type": "string"},
                        "value": {"type": ["number", "string"]},
                        "seen": many({"type": ["number", "string", "null"]}),
                    },
                },
            },
        },
    }


def _probability() -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 1.001}


def threshold_schema() -> dict[str, Any]:
    """Return the schema of a decision threshold."""
    return {
        "type": "object",
        "description": "Decision threshold of a model with two classes: the label is `class` if its "
        "probability is at least `value`, else the other class.",
        "required": ["class", "value", "metric"],
        "properties": {
            "class": {"type": "string"},
            "value": {"type": "number", "minimum": 0, "maximum": 1},
            "metric": {"type": "string", "description": "What the value was chosen for."},
        },
    }
