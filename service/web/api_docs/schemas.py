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
"""Every code of an error."""

MISSING = {"type": "null"}

TEXT = {"type": "string"}

WHOLE = {"type": "integer", "minimum": 0}

ANYTHING = {"type": "object"}

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


def named(name: str) -> dict[str, Any]:
    """Return a reference to a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def required(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the schema of an object with these required properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": dict(properties),
        **more,
    }


def many(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def content(schema: Mapping[str, Any], *examples: Any) -> dict[str, Any]:
    """Return the content of a media type.

    Args:
        schema: of the content.
        examples: valid values.
    """
    described: dict[str, Any] = {"schema": schema}
    if examples:
        described["examples"] = {f"row_{i}": {"value": value} for i, value in enumerate(examples)}
    return described


def error_responses(*statuses: str) -> dict[str, Any]:
    """Return the error responses of some statuses."""
    error = {"schema": named("Error")}
    return {s: {"description": ERRORS[s], "content": {JSON: error}} for s in statuses}


def json_operation(
    operation: str,
    summary: str,
    schema: Mapping[str, Any],
    *failing: str,
    parameters: tuple[dict[str, Any], ...] = (),
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an operation whose 200 response is a JSON value.

    Args:
        operation: id of the operation.
        summary: one line.
        schema: of the value.
        failing: statuses of its errors.
        parameters: of its path.
        body: media types of an optional body.
    """
    described: dict[str, Any] = {"operationId": operation, "summary": summary}
    if parameters:
        described["parameters"] = list(parameters)
    if body:
        described["requestBody"] = {"required": False, "content": dict(body)}
    ok = {"description": summary, "content": {JSON: {"schema": schema}}}
    return described | {"responses": {"200": ok, **error_responses(*failing)}}


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
            "problems": many(
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
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != MISSING]
    return {key: value for key, value in kinds[0].items() if key != "default"}
