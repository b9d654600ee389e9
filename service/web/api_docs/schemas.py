"""What the operations of ``/openapi.json`` have in common: their failures, and how content is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import Problem
from ..errors import HTTP_CODES, INTERNAL_CODE, JSON, NOT_READY, TABLE

CODES = sorted(
    {code for _, code in TABLE.values()} | {*HTTP_CODES.values(), INTERNAL_CODE, NOT_READY}
)
"""Every code that a failure may carry."""

MISSING = {"type": "null"}

TEXT = {"type": "string"}

WHOLE = {"type": "integer", "minimum": 0}

ANYTHING = {"type": "object"}

FAILED = {
    "400": "The body or its rows don't fit; every problem is named.",
    "401": "No key was sent, or one that is not known.",
    "403": "The key is not good for this, or there are no keys and it needs one.",
    "404": "No such model or version.",
    "413": "Too many rows or bytes.",
    "415": "A Content-Type or Content-Encoding that is not taken.",
    "503": "Not ready (yet), or too busy.",
    "504": "The time that the request gave was over before its turn came.",
}


def named(name: str) -> dict[str, Any]:
    """A schema that stands among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def required(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An object that has all of these."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": dict(properties),
        **more,
    }


def many(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A list."""
    return {"type": "array", "items": items, **more}


def content(schema: Mapping[str, Any], *examples: Any) -> dict[str, Any]:
    """What a media type holds.

    Args:
        schema: of it.
        examples: values that work when sent.
    """
    told: dict[str, Any] = {"schema": schema}
    if examples:
        told["examples"] = {f"row_{i}": {"value": value} for i, value in enumerate(examples)}
    return told


def failures(*statuses: str) -> dict[str, Any]:
    """The responses of these statuses."""
    error = {"schema": named("Error")}
    return {s: {"description": FAILED[s], "content": {JSON: error}} for s in statuses}


def asked(
    operation: str,
    summary: str,
    schema: Mapping[str, Any],
    *failing: str,
    parameters: tuple[dict[str, Any], ...] = (),
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An operation that answers 200 with one JSON value.

    Args:
        operation: its id.
        summary: of one line.
        schema: of the value.
        failing: statuses of its failures.
        parameters: of its path.
        body: media types of a body that may be sent.
    """
    told: dict[str, Any] = {"operationId": operation, "summary": summary}
    if parameters:
        told["parameters"] = list(parameters)
    if body:
        told["requestBody"] = {"required": False, "content": dict(body)}
    ok = {"description": summary, "content": {JSON: {"schema": schema}}}
    return told | {"responses": {"200": ok, **failures(*failing)}}


def path_parameter(name: str, description: str) -> dict[str, Any]:
    """A part of a path."""
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
    """The one shape of every failure."""
    _, components = msgspec.json.schema_components([Problem])
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
            "pointer": {"type": "string", "description": "Where in the body, as a JSON pointer."},
            "problems": many(
                {
                    "type": "object",
                    "required": ["row", "expected", "got"],
                    "properties": {name: _plain(schema) for name, schema in properties.items()},
                }
            ),
        },
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without null and default: what is None is left out of an answer."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != MISSING]
    return {key: value for key, value in kinds[0].items() if key != "default"}
