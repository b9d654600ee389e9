"""Schemas and responses that the operations of ``/openapi.json`` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import Problem
from ..errors import HTTP_CODES, INTERNAL_CODE, JSON, NOT_READY, TABLE

CODES = sorted(
    {code for _, code in TABLE.values()} | {*HTTP_CODES.values(), INTERNAL_CODE, NOT_READY}
)
"""Every error code."""

NULL = {"type": "null"}

TEXT = {"type": "string"}

COUNT = {"type": "integer", "minimum": 0}

OBJECT = {"type": "object"}

ERRORS = {
    "400": "The body or its rows are invalid; every problem is named.",
    "401": "The API key is missing or unknown.",
    "403": "The API key lacks the scope, or the service has no keys and the route needs one.",
    "404": "The model or version does not exist.",
    "413": "Too many rows or bytes.",
    "415": "The Content-Type or Content-Encoding is not supported.",
    "503": "Not ready yet, or overloaded.",
    "504": "The deadline passed before the request could run.",
}


def reference(name: str) -> dict[str, Any]:
    """Return a reference to a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the schema of an object with these required properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": dict(properties),
        **more,
    }


def array_of(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def content(schema: Mapping[str, Any], *examples: Any) -> dict[str, Any]:
    """Return the content of a media type.

    Args:
        schema: of the content.
        examples: valid values.
    """
    media_type: dict[str, Any] = {"schema": schema}
    if examples:
        media_type["examples"] = {f"row_{i}": {"value": value} for i, value in enumerate(examples)}
    return media_type


def error_responses(*statuses: str) -> dict[str, Any]:
    """Return the error responses by status."""
    error = {"schema": reference("Error")}
    return {
        status: {"description": ERRORS[status], "content": {JSON: error}} for status in statuses
    }


def json_operation(
    operation_id: str,
    summary: str,
    schema: Mapping[str, Any],
    *error_statuses: str,
    parameters: tuple[dict[str, Any], ...] = (),
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an operation whose 200 response is a JSON value.

    Args:
        operation_id: unique in the document.
        summary: one line.
        schema: of the value.
        error_statuses: statuses of its errors.
        parameters: of its path.
        body: media types of an optional body.
    """
    operation: dict[str, Any] = {"operationId": operation_id, "summary": summary}
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": False, "content": dict(body)}
    ok = {"description": summary, "content": {JSON: {"schema": schema}}}
    return operation | {"responses": {"200": ok, **error_responses(*error_statuses)}}


def path_parameter(name: str, description: str) -> dict[str, Any]:
    """Return a parameter in a path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


MODEL = path_parameter("name", "The model's name.")

VERSION = path_parameter("version", "The version.")


def error_schema() -> dict[str, Any]:
    """Return the schema of every error."""
    _, components = msgspec.json.schema_components([Problem])
    properties = components["Problem"]["properties"]
    return {
        "type": "object",
        "required": ["error", "code"],
        "properties": {
            "error": {"type": "string", "description": "What went wrong, as a sentence."},
            "code": {
                "type": "string",
                "description": "A code whose meaning never changes.",
                "enum": CODES,
            },
            "pointer": {
                "type": "string",
                "description": "The place in the body, as a JSON pointer.",
            },
            "problems": array_of(
                {
                    "type": "object",
                    "required": ["row", "expected", "got"],
                    "properties": {
                        name: _without_null(schema) for name, schema in properties.items()
                    },
                }
            ),
        },
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema without null and default: absent values are left out."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != NULL]
    return {key: value for key, value in kinds[0].items() if key != "default"}
