"""TensorFlow Serving's ``:classify``: examples in, a pair of label and score for each class out.

{"examples": [{"height_cm": 172, "weight_kg": 95}]}
{"examples": [{"height_cm": 172}, {"height_cm": 180}], "context": {"weight_kg": 95}}

{"results": [[["underweight", 0.02], ["overweight", 0.98]]], "model": "bodymass", ...}

Pairs stand in the order of the model's classes, as TensorFlow Serving has them, not by score. A value
may be in a list of its own and a text in base64, as in the ``tf.Example`` that these stand for.
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
from ..reply import Response

EXAMPLES, CONTEXT = "/examples", "/context"

MERGING_COST = 32
"""How much longer than plain examples of as many bytes others take to read, about."""

_ABSENT = msgspec.Raw()

_encode = msgspec.json.Encoder().encode


class _Request(msgspec.Struct):
    """A request as far as it is read before its examples are. Other keys are passed over."""

    examples: msgspec.Raw
    context: msgspec.Raw = _ABSENT


class _Answer(msgspec.Struct, gc=False, omit_defaults=True):
    results: list[list[tuple[str, float]]]
    model: str
    version: str
    id: str
    threshold: msgspec.Raw | None = None
    warnings: Sequence[OutOfRange] | None = None


@dataclass(frozen=True)
class _Forms:
    """What is made for one model: the quick decoder of its examples, and its classes."""

    examples: msgspec.json.Decoder[Any]
    classes: list[str]
    threshold: msgspec.Raw | None


class ClassifyProtocol:
    """Decodes examples and encodes labels with scores; see the module's docstring.

    Args:
        max_rows: examples in one request at most.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._decoder = msgspec.json.Decoder(_Request)

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows that examples are."""
        body = nan_to_null(body)
        forms = _forms_of(model)
        columns = self._quick(model, forms, body)
        if columns is None:
            columns = self._thorough(model, body, header("content-type") or "")
        return Decoded(columns, forms)

    def encode(self, result: InferenceResult) -> Response:
        """A list of pairs for each example, and what was unusual in them."""
        forms: _Forms = result.context
        rows = result.prediction.probabilities.tolist()
        answer = _Answer(
            [list(zip(forms.classes, row, strict=True)) for row in rows],
            result.model.name,
            str(result.model.version),
            result.request_id,
            forms.threshold,
            result.out_of_range or None,
        )
        return Response(HTTPStatus.OK, _encode(answer), JSON)

    def decode_cost(self, header: Header, body: bytes) -> int:  # noqa: ARG002 - as all protocols
        """Its bytes; what only the thorough way understands is merged value by value, in Python."""
        is_plain = b'"context"' not in body and b'"b64"' not in body and body.count(b"[") == 1
        if is_plain and b"\\" not in body:  # which may spell any of these
            return len(body)
        # A context is merged into each example.
        return max(MERGING_COST, body.count(b"{")) * len(body)

    def _quick(self, model: Model, forms: _Forms, body: bytes) -> Columns | None:
        """The rows, if there is no context and they fit; else None, and nothing said of why."""
        try:
            request = self._decoder.decode(body)
            if request.context:
                return None
            check_list_length(request.examples, self._max_rows)
            examples = forms.examples.decode(request.examples)
        except DECODE_ERRORS:
            return None
        return model.row_types.from_rows(examples, self._max_rows)

    def _thorough(self, model: Model, body: bytes, content_type: str) -> Columns:
        """The rows, or an error that names everything wrong with them."""
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
        # More names than these are more unknown ones than are told of, and would stand in each row.
        most = len(model.signature.features) + PROBLEM_LIMIT + 1
        shared = {name: _plain(value) for name, value in islice(context.items(), most)}
        rows = [
            shared | {name: _plain(value) for name, value in example.items()}
            for example in _checked_names(examples, shared)
        ]
        in_example = locate_by_row(EXAMPLES)

        def locate(row: int, name: str | None) -> str | None:
            if name is not None and name in shared:
                return f"{CONTEXT}/{pointer_token(name)}"
            return in_example(row, name)

        return columns_from_values(model.signature, rows, locate)


def _forms_of(model: Model) -> _Forms:
    forms: _Forms | None = model.memo.get(_Forms)
    if forms is None:
        signature = model.signature
        forms = model.memo[_Forms] = _Forms(
            msgspec.json.Decoder(list[model.row_types.object_row]),  # type: ignore[name-defined]
            list(signature.classes),
            None if signature.threshold is None else signature.threshold_json,
        )
    return forms


def _check_objects(examples: Sequence[Any]) -> None:
    """Refuse examples that are no objects, up to the usual number of problems."""
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


def _checked_names(
    examples: Sequence[dict[str, Any]], context: Mapping[str, Any]
) -> Sequence[dict[str, Any]]:
    """The examples, once it is sure that none has a feature that the context has."""
    for row, example in enumerate(examples):
        for name in example.keys() & context.keys():
            raise InvalidRequest(
                f"'{truncate(name)}' stands in an example and in the context, which all share",
                f"{EXAMPLES}/{row}/{pointer_token(name)}",
            )
    return examples


def _plain(value: Any) -> Any:
    """A feature's value out of the list that it may be in, and out of base64."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None  # an empty list is how a tf.Example lacks a value
    match value:
        case {"b64": str(text)} if len(value) == 1:
            try:
                return base64.b64decode(text, validate=True).decode("utf-8")
            except ValueError:
                return value  # stays an object, and is refused as such
    return value
