"""The Open Inference Protocol (V2) in ``/openapi.json``: inference, and all that stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model.artifact import Model
from ...model.signature import Kind, category_text
from ..errors import JSON
from ..open_inference.models import FEATURE_DATATYPES
from ..open_inference.protocol import BINARY, LABEL, LENGTH_HEADER, PROBABILITIES
from ..open_inference.datatypes import BINARY_ONLY, DATATYPES
from ..open_inference.tensor_inputs import graph_inputs
from .schemas import (
    ANYTHING,
    MODEL,
    TEXT,
    VERSION,
    WHOLE,
    asked,
    content,
    failures,
    many,
    named,
    required,
)

WHOLE_DIMENSION = {"type": "integer", "minimum": -1}

INFER_COUNTS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
)


def infer(model: Model, operation: str) -> dict[str, Any]:
    """``infer`` of one version of a model."""
    inputs = [f"{name} [rows, {len(held)}]" for name, held in graph_inputs(model).items()]
    examples = [{"inputs": _example_inputs(model, golden.row)} for golden in model.golden_rows[:3]]
    return {
        "operationId": operation,
        "summary": f"Infer with model {model.name}, version {model.version}",
        "description": "Inputs are "
        + ", ".join([*inputs, "or a tensor [rows] for each feature by its name"])
        + f"; outputs are {LABEL} [rows] and {PROBABILITIES} [rows, {len(model.signature.classes)}]. "
        f"With the header {LENGTH_HEADER}, tensors may follow the JSON as bytes.",
        "requestBody": {
            "required": True,
            "content": {JSON: content(named("InferRequest"), *examples)},
        },
        "responses": {
            "200": {
                "description": "The outputs that were asked for.",
                "content": {JSON: {"schema": named("InferAnswer")}, BINARY: {"schema": {}}},
            },
            **failures("400", "404", "413", "415", "503", "504"),
        },
    }


def _example_inputs(model: Model, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row as a tensor for each feature."""
    inputs = []
    for feature in model.signature.features:
        value = row.get(feature.name)
        if value is None:
            continue
        if feature.kind is Kind.CATEGORY:
            value = category_text(value)
        datatype = FEATURE_DATATYPES[feature.kind]
        inputs.append({"name": feature.name, "shape": [1], "datatype": datatype, "data": [value]})
    return inputs


def reading_paths() -> dict[str, Any]:
    """What is only read: server, models, statistics, the repository's index."""
    server = required({"name": TEXT, "version": TEXT, "extensions": many(TEXT)})
    names = required({"models": many(TEXT)})
    index = many(required(dict.fromkeys(("name", "version", "state", "reason"), TEXT)))
    only_ready = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    paths: dict[str, Any] = {
        "/v2": {"get": asked("server_metadata", "What the server is and can do", server)},
        "/v2/models": {"get": asked("model_names", "The names of the models", names)},
        "/v2/models/stats": {
            "get": asked("all_statistics", "What every model has done", named("Statistics"))
        },
        "/v2/repository/index": {
            "post": asked(
                "repository_index",
                "Every version, live or not, and why not",
                index,
                "400",
                "413",
                body={JSON: content(only_ready)},
            )
        },
    }
    for path, suffix, parameters in (
        ("/v2/models/{name}", "", (MODEL,)),
        ("/v2/models/{name}/versions/{version}", "_of_version", (MODEL, VERSION)),
    ):
        for ending, operation, summary, schema, failing in (
            ("", "model_metadata", "What a model takes and gives", "Metadata", "503"),
            ("/ready", "model_ready", "Whether a model answers", "Ready", "503"),
            ("/stats", "model_statistics", "What a model has done", "Statistics", "503"),
            ("/config", "model_config", "A model as Triton's clients ask for it", "Config", "503"),
        ):
            paths[path + ending] = {
                "get": asked(
                    operation + suffix,
                    summary,
                    named(schema),
                    "404",
                    failing,
                    parameters=parameters,
                )
            }
    return paths


def managing_paths() -> dict[str, Any]:
    """Load and unload, which need a key with the scope admin."""
    parameters = {"type": "object", "properties": {"parameters": {"type": "object"}}}
    return {
        f"/v2/repository/models/{{name}}/{action}": {
            "post": asked(
                action,
                summary,
                ANYTHING,
                "400",
                "404",
                "413",
                "503",
                parameters=(MODEL,),
                body={JSON: content(parameters, {})},
            )
        }
        for action, summary in (
            ("load", "Look for a model's versions now, and have them live"),
            ("unload", "Have a model answer no more"),
        )
    }


def schemas(max_rows: int) -> dict[str, Any]:
    """The components that the paths name.

    Args:
        max_rows: rows in one request at most.
    """
    tensor = {"name": TEXT, "datatype": {"enum": list(DATATYPES)}}
    shape = {"shape": many(WHOLE_DIMENSION)}
    duration = required({"count": WHOLE, "ns": WHOLE})
    configured = required({"name": TEXT, "data_type": TEXT, "dims": many(WHOLE_DIMENSION)})
    done = {
        "name": TEXT,
        "version": TEXT,
        "last_inference": {**WHOLE, "description": "Milliseconds since 1970."},
        "inference_count": {**WHOLE, "description": "Rows."},
        "execution_count": {**WHOLE, "description": "Runs; calls that wait together share one."},
        "inference_stats": required(dict.fromkeys(INFER_COUNTS, duration)),
        "batch_stats": many(ANYTHING, description="Always empty."),
    }
    return {
        "InferRequest": _request_schema(max_rows),
        "InferAnswer": _answer_schema(),
        "Metadata": required(
            {
                "name": TEXT,
                "versions": many(TEXT),
                "platform": TEXT,
                "inputs": many(required(tensor | shape)),
                "outputs": many(required(tensor | shape)),
            }
        ),
        "Ready": required({"name": TEXT, "ready": {"type": "boolean"}}),
        "Statistics": required({"model_stats": many(required(done))}),
        "Config": required(
            {
                "name": TEXT,
                "platform": TEXT,
                "max_batch_size": WHOLE,
                "input": many(configured),
                "output": many(configured),
            }
        ),
    }


def _request_schema(max_rows: int) -> dict[str, Any]:
    value = {"type": ["number", "string", "boolean", "null"]}
    tensor = required(
        {
            "name": {**TEXT, "description": "An input of the graph, or a feature."},
            "shape": many(WHOLE, description=f"At most {max_rows} rows."),
            "datatype": {"enum": [name for name in DATATYPES if name not in BINARY_ONLY]},
            "data": many(
                {"anyOf": [value, many(value)]},
                description="As many values as the shape says, flat or nested, row by row.",
            ),
        }
    )
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Comes back as it is."},
            "inputs": many(tensor, minItems=1),
            "outputs": many(required({"name": TEXT})),
        },
    }


def _answer_schema() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": [LABEL, PROBABILITIES]},
            "datatype": {"enum": ["BYTES", "FP32"]},
            "shape": many({"type": "integer"}),
            "data": many({"type": ["string", "number"]}),
            "parameters": ANYTHING,
        },
    }
    warnings = {**TEXT, "description": "JSON: values outside what training saw."}
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": TEXT,
            "model_version": TEXT,
            "id": {"type": ["string", "integer"]},
            "parameters": {"type": "object", "properties": {"warnings": warnings}},
            "outputs": many(tensor),
        },
    }
