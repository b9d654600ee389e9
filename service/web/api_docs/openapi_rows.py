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
from .schemas import NULL, TEXT, array_of, content, error_responses, object_of, reference

LARGEST = sys.float_info.max
"""The largest double; JSON has no limit."""

SECONDS_A_DAY = 86_400

NOT_BLANK = "[^\\s\\u001c-\\u001f\\u0085]"
"""A character that is not trimmed; Python also trims ASCII's separators."""

BYTES = {"contentMediaType": "application/octet-stream"}
"""Binary content."""

FAILURES = ("400", "404", "413", "415", "503", "504")


def predict(model: Model, operation_id: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """Return the operation ``predict`` of one version, whose rows are the component ``row_name``."""
    row = reference(row_name)
    by_row = object_of(
        {
            "instances": {
                "description": f"At most {max_rows} rows, either objects or lists.",
                "anyOf": [
                    array_of(row, maxItems=max_rows),
                    array_of(_values_schema(model), maxItems=max_rows),
                ],
            }
        }
    )
    examples = [{"instances": [example]} for example in _example_rows(model)]
    return {
        "operationId": operation_id,
        "summary": f"Predict with model {model.name}, version {model.version}",
        "description": f"{_decision(model)} To send and get columns, use `inputs` instead of "
        "`instances`. The header Accept selects the format of the response. In formats other than "
        "JSON, the headers X-Model-Name and X-Model-Version name the model. X-Request-Timeout-Ms "
        "sets a deadline in milliseconds.",
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


def invocations(model: Model, operation_id: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """Return the operation ``/invocations`` of the default model."""
    row = reference(row_name)
    names = [feature.name for feature in model.signature.features]
    frame = object_of(
        {
            "columns": array_of(
                {"enum": names},
                minItems=len(names),
                maxItems=len(names),
                uniqueItems=True,
                description="In the order of the values in each row of data.",
            ),
            "data": array_of(_values_schema(model), maxItems=max_rows),
        }
    )
    layouts = [
        object_of({"dataframe_split": frame}),
        object_of({"dataframe_records": array_of(row, maxItems=max_rows)}),
        object_of({"instances": array_of(row, maxItems=max_rows)}),
        object_of({"inputs": array_of(_values_schema(model), maxItems=max_rows)}),
    ]
    examples = [
        {"dataframe_split": {"columns": names, "data": [[example.get(name) for name in names]]}}
        for example in _example_rows(model)
    ]
    return {
        "operationId": operation_id,
        "summary": f"Predict with model {model.name}, version {model.version}, with the bodies of MLflow",
        "description": f"{_decision(model)} MLflow's `params` are ignored.",
        "requestBody": {
            "required": True,
            "content": {JSON: content({"anyOf": layouts}, *examples), **_bodies(model)},
        },
        "responses": {
            "200": {
                "description": "One prediction per row, in order.",
                "content": _response_content(model),
            },
            **error_responses(*FAILURES),
        },
    }


def classify(model: Model, operation_id: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """Return the operation ``classify`` of one version."""
    examples = [{"examples": [row]} for row in _example_rows(model)]
    row = reference(row_name)
    body = {
        "type": "object",
        "required": ["examples"],
        "properties": {
            "examples": array_of(row, maxItems=max_rows),
        },
    }
    pair = array_of({"type": ["string", "number"]}, minItems=2, maxItems=2)
    properties = {"results": array_of(array_of(pair)), "model": TEXT, "version": TEXT, "id": TEXT}
    return {
        "operationId": operation_id,
        "summary": f"Classify with model {model.name}, version {model.version}",
        "description": "Each example gets a pair of label and score per class, in the order of the "
        "classes, as in TensorFlow Serving.",
        "requestBody": {"required": True, "content": {JSON: content(body, *examples)}},
        "responses": {
            "200": {
                "description": "The scores of each example, in order.",
                "content": {JSON: {"schema": object_of(properties)}},
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


def _values_schema(model: Model) -> dict[str, Any]:
    """Return the schema of a row as an array."""
    features = model.signature.features
    return {
        "type": "array",
        "prefixItems": [_value_schema(feature) for feature in features],
        "minItems": len(features),
        "maxItems": len(features),
        "description": "The values, in the order of the features: "
        + ", ".join(feature.name for feature in features)
        + ".",
    }


def _bodies(model: Model) -> dict[str, Any]:
    """Return the request formats other than JSON."""
    rows = _example_rows(model)
    table, lines = ([_as_csv(model, rows)], [_as_lines(rows)]) if rows else ([], [])
    array = (
        "An array (rows, features) in the order of the features, or a structured array by names."
    )
    return {
        CSV: content(
            {
                **TEXT,
                "description": "With a header line; without one if the Content-Type has header=absent.",
            },
            *table,
        ),
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
    text = io.StringIO()
    names = [feature.name for feature in model.signature.features]
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _as_lines(rows: list[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(dict(row)) + "\n" for row in rows)


def _response_content(model: Model) -> dict[str, Any]:
    """Return the response formats."""
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
            if sentence := _training_range(feature):
                schema["description"] = sentence
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
    return schema if feature.required else {"anyOf": [schema, NULL]}


def _datetime_schema(feature: Feature) -> dict[str, Any]:
    """Return a date if training had whole days only, else a date and time; both are accepted."""
    limits = [limit for limit in (feature.minimum, feature.maximum) if limit is not None]
    whole_days = bool(limits) and all(limit % SECONDS_A_DAY == 0 for limit in limits)
    formats = "ISO 8601" if feature.format is None else f"{feature.format} or ISO 8601"
    sentences = [
        f"Expected: {datetimes.describe_format(feature.format)} ({formats}; UTC without an offset)."
    ]
    if sentence := _training_range(feature):
        sentences.append(sentence)
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
    threshold_property: dict[str, Any] = {}
    if (threshold := model.signature.threshold) is not None:
        required.append("threshold")
        threshold_property["threshold"] = {
            **reference("Threshold"),
            "const": msgspec.to_builtins(threshold),
        }
    return {
        "type": "object",
        "required": required,
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "id": {"type": "string"},
            **threshold_property,
            "predictions": array_of(prediction),
            "warnings": {
                "type": "array",
                "description": "Values outside the training range. Their rows get predictions too.",
                "items": {
                    "type": "object",
                    "required": ["row", "feature", "value", "seen"],
                    "properties": {
                        "row": {"type": "integer"},
                        "feature": {"type": "string"},
                        "value": {"type": ["number", "string"]},
                        "seen": array_of({"type": ["number", "string", "null"]}),
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
            "metric": {"type": "string", "description": "The score that the value optimizes."},
        },
    }
