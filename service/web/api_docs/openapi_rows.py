"""Rows in ``/openapi.json``: ``:predict``, ``:classify`` and ``/invocations`` by a model's features."""

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
from .schemas import MISSING, TEXT, content, failures, many, named, required

LARGEST = sys.float_info.max
"""JSON knows no largest number, doubles do."""

SECONDS_A_DAY = 86_400

NOT_BLANK = "[^\\s\\u001c-\\u001f\\u0085]"
"""A character that is not trimmed: Python trims the separators of ASCII too."""

BYTES = {"contentMediaType": "application/octet-stream"}
"""What is no text."""

FAILURES = ("400", "404", "413", "415", "503", "504")


def predict(model: Model, operation: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """``predict`` of one version of a model, whose rows are the component ``row_name``."""
    row = named(row_name)
    by_row = required(
        {
            "instances": {
                "description": f"At most {max_rows} rows, all objects or all lists.",
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
        "description": f"{_decision(model)} Columns under `inputs` are taken too, and answered as "
        "columns. Accept chooses the form of the answer; those that don't name the model in it say "
        "it in X-Model-Name and X-Model-Version. X-Request-Timeout-Ms limits the wait.",
        "requestBody": {
            "required": True,
            "content": {JSON: content(by_row, *examples), **_bodies(model)},
        },
        "responses": {
            "200": {"description": "A prediction for each row, in order.", "content": _said(model)},
            **failures(*FAILURES),
        },
    }


def invocations(model: Model, operation: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """``/invocations`` with the default model."""
    row = named(row_name)
    names = [feature.name for feature in model.signature.features]
    frame = required(
        {
            "columns": many(
                {"enum": names},
                minItems=len(names),
                maxItems=len(names),
                uniqueItems=True,
                description="In any order, which is that of the values in each row of the data.",
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
        "summary": f"Predict with model {model.name}, version {model.version}, as MLflow does",
        "description": f"{_decision(model)} MLflow's `params` are passed over.",
        "requestBody": {
            "required": True,
            "content": {JSON: content({"anyOf": forms}, *examples), **_bodies(model)},
        },
        "responses": {
            "200": {"description": "A prediction for each row, in order.", "content": _said(model)},
            **failures(*FAILURES),
        },
    }


def classify(model: Model, operation: str, row_name: str, max_rows: int) -> dict[str, Any]:
    """``classify`` of one version of a model."""
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
        "description": "TensorFlow Serving's examples: for each a pair of label and score for each "
        "class, in the order of the classes.",
        "requestBody": {"required": True, "content": {JSON: content(body, *examples)}},
        "responses": {
            "200": {
                "description": "The scores of each example, in order.",
                "content": {JSON: {"schema": required(properties)}},
            },
            **failures(*FAILURES),
        },
    }


def _decision(model: Model) -> str:
    """What is told of each row, and by which rule."""
    said = f"Tells for each row which it is of: {', '.join(model.signature.classes)}."
    if (threshold := model.signature.threshold) is not None:
        said += (
            f" It is {threshold.positive} where the probability of that is at least "
            f"{threshold.value:g}."
        )
    return said


def _example_rows(model: Model) -> list[Mapping[str, Any]]:
    return [golden.row for golden in model.golden_rows[:3]]


def _listed(model: Model) -> dict[str, Any]:
    features = model.signature.features
    return {
        "type": "array",
        "prefixItems": [_value_schema(feature) for feature in features],
        "minItems": len(features),
        "maxItems": len(features),
        "description": "The values in signature order: "
        + ", ".join(feature.name for feature in features),
    }


def _bodies(model: Model) -> dict[str, Any]:
    """The bodies that are no JSON."""
    rows = _example_rows(model)
    table, lines = ([_as_csv(model, rows)], [_as_lines(rows)]) if rows else ([], [])
    array = "An array (rows, features) in signature order, or a record array by names."
    return {
        CSV: content({**TEXT, "description": "With a header, or with header=absent."}, *table),
        NDJSON: content(
            {**TEXT, "description": "A row a line, each answered in its line."}, *lines
        ),
        NPY: content({**BYTES, "description": array}),
        **_where_installed({**BYTES, "description": "A table by names."}),
    }


def _where_installed(schema: dict[str, Any]) -> dict[str, Any]:
    """Arrow, where it is spoken."""
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


def _said(model: Model) -> dict[str, Any]:
    """The forms of an answer."""
    classes = ", ".join(f"probability_{name}" for name in model.signature.classes)
    columns = f"label, probability, {classes}"
    return {
        JSON: {"schema": _answer_schema(model)},
        CSV: {"schema": {**TEXT, "description": f"The columns {columns}."}},
        NDJSON: {"schema": {**TEXT, "description": "A line for each row, in order."}},
        NPY: {"schema": {**BYTES, "description": "The probabilities as float32 (rows, classes)."}},
        **_where_installed({**BYTES, "description": f"The columns {columns}."}),
    }


def row_schema(model: Model) -> dict[str, Any]:
    """A row as an object."""
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
    said = [
        f"Expected is {datetimes.describe_format(feature.format)} ({formats}, UTC without an offset)."
    ]
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
    low, high = map(feature.format_value, (feature.minimum, feature.maximum))
    unit = f" {feature.unit}" if feature.unit else ""
    return f"Seen in training: {low} to {high}{unit}."


def _answer_schema(model: Model) -> dict[str, Any]:
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
                "description": "Values outside what training saw; they were answered all the same.",
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
    """How a model that has a threshold decides."""
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
