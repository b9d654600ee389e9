"""TensorFlow Serving's ``:classify``: examples in, a pair of label and score for each class out.

{"examples": [{"height_cm": 172, "weight_kg": 95}]}
{"examples": [{"height_cm": 172}, {"height_cm": 180}], "context": {"weight_kg": 95}}

{"results": [[["underweight", 0.02], ["overweight", 0.98]]], "model": "bodymass", ...}

Pairs are in the order of the model's classes, as in TensorFlow Serving. As in a ``tf.Example``, a value
may be a list of one value, and a text may be in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any

import msgspec

from ...errors import InvalidRequest, Problem
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.per_model import PerModel
from ...model.row_types import check_row_count
from ...model.training_range import OutOfRange
from ...model.validation import (
    PROBLEM_LIMIT,
    columns_from_values,
    describe,
    invalid_rows,
    locate_by_row,
    pointer_token,
    truncate,
)
from ..errors import JSON
from ..inference.protocol import Decoded, Header, InferenceResult
from ..json_body import DECODE_ERRORS, check_list_length, nan_to_null, parse_json
from ..response import Response

EXAMPLES, CONTEXT = "/examples", "/context"

MERGING_COST = 32
"""Decoding examples with a context takes about this many times longer than plain examples."""

_ABSENT = msgspec.Raw()

_encode = msgspec.json.Encoder().encode


class _Request(msgspec.Struct):
    """A request whose examples are not decoded yet. Other keys are ignored."""

    examples: msgspec.Raw
    context: msgspec.Raw = _ABSENT


class _Body(msgspec.Struct, gc=False, omit_defaults=True):
    results: list[list[tuple[str, float]]]
    model: str
    version: str
    id: str
    threshold: msgspec.Raw | None = None
    warnings: Sequence[OutOfRange] | None = None


@dataclass(frozen=True)
class _ModelCodecs:
    """The fast decoder of one model's examples, its classes and its threshold as JSON."""

    examples: msgspec.json.Decoder[Any]
    classes: list[str]
    threshold: msgspec.Raw | None


class ClassifyProtocol:
    """Decodes examples, and encodes labels with scores.

    Args:
        max_rows: most examples per request.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._decoder = msgspec.json.Decoder(_Request)

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """Return the rows of the examples.

        Raises:
            RequestError: if the body is invalid.
        """
        body = nan_to_null(body)
        codecs = _codecs_of(model)
        columns = self._decode_fast(model, codecs, body)
        if columns is None:
            columns = self._decode_with_errors(model, body, header("content-type") or "")
        return Decoded(columns, codecs)

    def encode(self, result: InferenceResult) -> Response:
        """Return a list of pairs per example, with warnings about values out of range."""
        codecs: _ModelCodecs = result.context
        rows = result.prediction.probabilities.tolist()
        response = _Body(
            [list(zip(codecs.classes, row, strict=True)) for row in rows],
            result.model.name,
            str(result.model.version),
            result.request_id,
            codecs.threshold,
            result.out_of_range or None,
        )
        return Response(HTTPStatus.OK, _encode(response), JSON)

    def decode_cost(self, header: Header, body: bytes) -> int:  # noqa: ARG002 - as all protocols
        """Return the cost in bytes of JSON; examples with a context are merged value by value."""
        is_plain = b'"context"' not in body and b'"b64"' not in body and body.count(b"[") == 1
        if is_plain and b"\\" not in body:  # an escape may spell any of these
            return len(body)
        # A context is merged into each example.
        return max(MERGING_COST, body.count(b"{")) * len(body)

    def _decode_fast(self, model: Model, codecs: _ModelCodecs, body: bytes) -> Columns | None:
        """Return the rows, or None if there is a context or a row is invalid."""
        try:
            request = self._decoder.decode(body)
            if request.context:
                return None
            check_list_length(request.examples, self._max_rows)
            examples = codecs.examples.decode(request.examples)
        except DECODE_ERRORS:
            return None
        return model.row_types.from_rows(examples, self._max_rows)

    def _decode_with_errors(self, model: Model, body: bytes, content_type: str) -> Columns:
        """Return the rows, or raise an error that names every problem."""
        examples, context = self._parse(model, body, content_type)
        # More unknown names would not be reported, but would be copied into each row.
        most = len(model.signature.features) + PROBLEM_LIMIT + 1
        shared = {name: _plain(value) for name, value in islice(context.items(), most)}
        _check_names(examples, shared)
        rows = [
            shared | {name: _plain(value) for name, value in example.items()}
            for example in examples
        ]
        in_example = locate_by_row(EXAMPLES)

        def locate(row: int, name: str | None) -> str | None:
            if name is not None and name in shared:
                return f"{CONTEXT}/{pointer_token(name)}"
            return in_example(row, name)

        return columns_from_values(model.signature, rows, locate)

    def _parse(
        self, model: Model, body: bytes, content_type: str
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return examples and context of a request.

        Raises:
            RequestError: if they are missing, too many, or not objects.
        """
        request = parse_json(body, content_type, self._max_rows)
        if not isinstance(request, dict):
            raise InvalidRequest(
                f'expected an object such as {{"examples": [...]}}, got {describe(request)}'
            )
        if "examples" not in request:
            example = ", ".join(f'"{name}": ...' for name in list(model.signature.by_name)[:3])
            raise InvalidRequest(
                f'expected "examples" in the body: {{"examples": [{{{example}}}]}}'
            )
        examples, context = request["examples"], request.get("context") or {}
        if not isinstance(examples, list):
            raise InvalidRequest(f"expected a list of examples, got {describe(examples)}", EXAMPLES)
        if not isinstance(context, dict):
            raise InvalidRequest(
                f"expected an object of features, got {describe(context)}", CONTEXT
            )
        check_row_count(len(examples), self._max_rows)
        _check_objects(examples)
        return examples, context


def _make_codecs(model: Model) -> _ModelCodecs:
    signature = model.signature
    return _ModelCodecs(
        msgspec.json.Decoder(list[model.row_types.object_row]),  # type: ignore[name-defined]
        list(signature.classes),
        None if signature.threshold is None else signature.threshold_json,
    )


_codecs_of = PerModel(_make_codecs)


def _check_objects(examples: Sequence[Any]) -> None:
    """Raise InvalidRows for examples that are not objects."""
    wrong = islice(
        ((row, value) for row, value in enumerate(examples) if not isinstance(value, dict)),
        PROBLEM_LIMIT + 1,
    )
    found = [
        Problem(row, None, f"{EXAMPLES}/{row}", "an object of feature values", describe(value))
        for row, value in wrong
    ]
    if found:
        raise invalid_rows(found)


def _check_names(examples: Sequence[dict[str, Any]], context: Mapping[str, Any]) -> None:
    """Raise InvalidRequest for a feature in both an example and the context."""
    for row, example in enumerate(examples):
        for name in example.keys() & context.keys():
            raise InvalidRequest(
                f"'{truncate(name)}' is in an example and in the context, expected one of them",
                f"{EXAMPLES}/{row}/{pointer_token(name)}",
            )


def _plain(value: Any) -> Any:
    """Return a feature's value without the list around it, decoded from base64."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None  # an empty list is a missing value of a tf.Example
    match value:
        case {"b64": str(text)} if len(value) == 1:
            try:
                return base64.b64decode(text, validate=True).decode("utf-8")
            except ValueError:
                return value  # stays an object, which is rejected later
    return value
