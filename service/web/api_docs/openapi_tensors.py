"""The Open Inference Protocol (V2) in ``/openapi.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model.artifact import Model
from ...model.signature import Kind, category_text
from ..errors import JSON
from ..open_inference.datatypes import BINARY_ONLY, DATATYPES
from ..open_inference.models import FEATURE_DATATYPES
from ..open_inference.protocol import BINARY, LABEL, LENGTH_HEADER, PROBABILITIES
from ..open_inference.tensor_inputs import graph_inputs
from .schemas import (
    ANYTHING,
    MODEL,
    TEXT,
    VERSION,
    WHOLE,
    content,
    error_responses,
    json_operation,
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
    """Return the operation ``infer`` of one version."""
    inputs = [f"{name} [rows, {len(held)}]" for name, held in graph_inputs(model).items()]
    examples = [{"inputs": _example_inputs(model, golden.row)} for golden in model.golden_rows[:3]]
    return {
        "operationId": operation,
        "summary": f"Infer with model {model.name}, version {model.version}",
        "description": "Inputs are "
        + ", ".join([*inputs, "or a tensor [rows] for each feature by its name"])
        + f"; outputs are {LABEL} [rows] and {PROBABILITIES} [rows, {len(model.signature.classes)}]. "
        f"With the header {LENGTH_HEADER}, binary tensors follow the JSON.",
        "requestBody": {
            "required": True,
            "content": {JSON: content(named("InferRequest"), *examples)},
        },
        "responses": {
            "200": {
                "description": "The requested outputs.",
                "content": {JSON: {"schema": named("InferResponse")}, BINARY: {"schema": {}}},
            },
            **error_responses("400", "404", "413", "415", "503", "504"),
        },
    }


def _example_inputs(model: Model, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row as one tensor per feature."""
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
    """Return the reading paths: server, models, statistics, repository index."""
    server = required({"name": TEXT, "version": TEXT, "extensions": many(TEXT)})
    names = required({"models": many(TEXT)})
    index = many(required(dict.fromkeys(("name", "version", "state", "reason"), TEXT)))
    only_ready = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    paths: dict[str, Any] = {
        "/v2": {
            "get": json_operation(
                "server_metadata", "The server's name, version and extensions", server
            )
        },
        "/v2/models": {"get": json_operation("model_names", "The names of the models", names)},
        "/v2/models/stats": {
            "get": json_operation(
                "all_statistics", "Statistics of every model", named("Statistics")
            )
        },
        "/v2/repository/index": {
            "post": json_operation(
                "repository_index",
                "Every version with its state",
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
            ("", "model_metadata", "Inputs and outputs of a model", "Metadata", "503"),
            ("/ready", "model_ready", "Whether a model is ready", "Ready", "503"),
            ("/stats", "model_statistics", "Statistics of a model", "Statistics", "503"),
            ("/config", "model_config", "A model's Triton configuration", "Config", "503"),
        ):
            paths[path + ending] = {
                "get": json_operation(
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
    """Return load and unload, which need the scope admin."""
    parameters = {"type": "object", "properties": {"parameters": {"type": "object"}}}
    return {
        f"/v2/repository/models/{{name}}/{action}": {
            "post": json_operation(
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
            ("load", "Load a model's versions now"),
            ("unload", "Unload a model"),
        )
    }


def schemas(max_rows: int) -> dict[str, Any]:
    """Return the schemas of the components.

    Args:
        max_rows: most rows per request.
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
        "execution_count": {**WHOLE, "description": "Runs; a batch is one run."},
        "inference_stats": required(dict.fromkeys(INFER_COUNTS, duration)),
        "batch_stats": many(ANYTHING, description="Always empty."),
    }
    return {
        "InferRequest": _request_schema(max_rows),
        "InferResponse": _response_schema(),
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
                description="The values, flat or nested, row by row.",
            ),
        }
    )
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Returned unchanged."},
            "inputs": many(tensor, minItems=1),
            "outputs": many(required({"name": TEXT})),
        },
    }


def _response_schema() -> dict[str, Any]:
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
    warnings = {**TEXT, "description": "JSON: values outside the training range."}
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
