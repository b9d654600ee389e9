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
    COUNT,
    MODEL,
    OBJECT,
    TEXT,
    VERSION,
    array_of,
    content,
    error_responses,
    json_operation,
    object_of,
    reference,
)

DIMENSION = {"type": "integer", "minimum": -1}

INFER_COUNTS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
)


def infer(model: Model, operation_id: str) -> dict[str, Any]:
    """Return the operation ``infer`` of one version."""
    inputs = [f"{name} [rows, {len(features)}]" for name, features in graph_inputs(model).items()]
    examples = [{"inputs": _example_inputs(model, golden.row)} for golden in model.golden_rows[:3]]
    return {
        "operationId": operation_id,
        "summary": f"Infer with model {model.name}, version {model.version}",
        "description": f"Inputs: {', '.join(inputs)}; or one tensor [rows] per feature, by its name. "
        f"Outputs: {LABEL} [rows] and {PROBABILITIES} [rows, {len(model.signature.classes)}]. "
        f"With the header {LENGTH_HEADER}, binary tensors follow the JSON.",
        "requestBody": {
            "required": True,
            "content": {JSON: content(reference("InferRequest"), *examples)},
        },
        "responses": {
            "200": {
                "description": "The requested outputs.",
                "content": {JSON: {"schema": reference("InferResponse")}, BINARY: {"schema": {}}},
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
    """Return the paths that read: server, models, statistics, repository index."""
    server = object_of({"name": TEXT, "version": TEXT, "extensions": array_of(TEXT)})
    names = object_of({"models": array_of(TEXT)})
    index = array_of(object_of(dict.fromkeys(("name", "version", "state", "reason"), TEXT)))
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
                "all_statistics", "Statistics of every model", reference("Statistics")
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
        for ending, operation_id, summary, schema in (
            ("", "model_metadata", "Inputs and outputs of a model", "Metadata"),
            ("/ready", "model_ready", "Whether a model is ready", "Ready"),
            ("/stats", "model_statistics", "Statistics of a model", "Statistics"),
            ("/config", "model_config", "A model's Triton configuration", "Config"),
        ):
            paths[path + ending] = {
                "get": json_operation(
                    operation_id + suffix,
                    summary,
                    reference(schema),
                    "404",
                    "503",
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
                OBJECT,
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
    shape = {"shape": array_of(DIMENSION)}
    duration = object_of({"count": COUNT, "ns": COUNT})
    configured = object_of({"name": TEXT, "data_type": TEXT, "dims": array_of(DIMENSION)})
    statistics = {
        "name": TEXT,
        "version": TEXT,
        "last_inference": {**COUNT, "description": "Milliseconds since 1970."},
        "inference_count": {**COUNT, "description": "Rows."},
        "execution_count": {**COUNT, "description": "Runs; a batch is one run."},
        "inference_stats": object_of(dict.fromkeys(INFER_COUNTS, duration)),
        "batch_stats": array_of(OBJECT, description="Always empty."),
    }
    return {
        "InferRequest": _request_schema(max_rows),
        "InferResponse": _response_schema(),
        "Metadata": object_of(
            {
                "name": TEXT,
                "versions": array_of(TEXT),
                "platform": TEXT,
                "inputs": array_of(object_of(tensor | shape)),
                "outputs": array_of(object_of(tensor | shape)),
            }
        ),
        "Ready": object_of({"name": TEXT, "ready": {"type": "boolean"}}),
        "Statistics": object_of({"model_stats": array_of(object_of(statistics))}),
        "Config": object_of(
            {
                "name": TEXT,
                "platform": TEXT,
                "max_batch_size": COUNT,
                "input": array_of(configured),
                "output": array_of(configured),
            }
        ),
    }


def _request_schema(max_rows: int) -> dict[str, Any]:
    value = {"type": ["number", "string", "boolean", "null"]}
    tensor = object_of(
        {
            "name": {**TEXT, "description": "An input of the graph, or a feature."},
            "shape": array_of(COUNT, description=f"At most {max_rows} rows."),
            "datatype": {"enum": [name for name in DATATYPES if name not in BINARY_ONLY]},
            "data": array_of(
                {"anyOf": [value, array_of(value)]},
                description="The values, flat or nested, row by row.",
            ),
        }
    )
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Returned unchanged."},
            "inputs": array_of(tensor, minItems=1),
            "outputs": array_of(object_of({"name": TEXT})),
        },
    }


def _response_schema() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": [LABEL, PROBABILITIES]},
            "datatype": {"enum": ["BYTES", "FP32"]},
            "shape": array_of({"type": "integer"}),
            "data": array_of({"type": ["string", "number"]}),
            "parameters": OBJECT,
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
            "outputs": array_of(tensor),
        },
    }
