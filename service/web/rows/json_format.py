"""Rows as JSON: objects, lists or columns.

A body is decoded into types that were generated from the signature, and one that doesn't fit is
looked at again, slowly and thoroughly, to say everything that is wrong with it. Bodies that would
become a great many objects are counted before any of them does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ...errors import InvalidRequest
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.row_types import VALUE_TYPES, check_row_count
from ...model.validation import (
    by_column,
    by_row,
    columns_from_values,
    describe,
    rows_from_columns,
)
from ..errors import JSON
from ..json_body import REFUSED, checked_count, may_be_a_crowd, parsed


class _Unread(msgspec.Struct):
    """A body whose rows were not read yet."""

    instances: msgspec.Raw = msgspec.Raw(b"{}")
    inputs: msgspec.Raw = msgspec.Raw(b"{}")


_UNREAD = msgspec.json.Decoder(_Unread)


class JsonRows:
    """Reads the rows of one model: its quick decoders, in the order in which they are tried.

    Unknown keys beside the rows (signature_name, parameters) are other protocols' business.

    Args:
        model: whose rows they are.
        taken: media types that may be sent, for who sends another.
    """

    def __init__(self, model: Model, taken: Sequence[str] = (JSON,)) -> None:
        self._signature, self._forms, self._taken = model.signature, model.forms, taken
        forms = model.forms
        self._named = _decoder("instances", list[forms.named])  # type: ignore[name-defined]
        self._listed = _decoder("instances", list[forms.listed])  # type: ignore[name-defined]
        either = forms.columns | list[forms.listed]  # type: ignore[name-defined]
        self._columns = _decoder("inputs", either)
        self._values: dict[str, msgspec.json.Decoder[Any]] = {}
        if len(model.signature.features) == 1:
            (feature,) = model.signature.features
            value = VALUE_TYPES[feature.kind]
            values: Any = list[value if feature.required else value | None]  # type: ignore[misc]
            self._values = {key: _decoder(key, values) for key in ("instances", "inputs")}

    def read(self, body: bytes, content_type: str, max_rows: int) -> tuple[Columns, bool]:
        """The rows in a body, and whether they want to be answered as columns.

        Args:
            body: as received, or inflated.
            content_type: what its sender called it, for the case that it is no JSON.
            max_rows: rows in one request at most.

        Raises:
            RequestError: for whatever is wrong with them.
        """
        if len(body) >= 2 * max_rows:
            _check_row_count_early(body, max_rows)
        return self._quick(body, max_rows) or self._thorough(body, content_type, max_rows)

    def _quick(self, body: bytes, max_rows: int) -> tuple[Columns, bool] | None:
        """The rows, if they fit; else None, and nothing said of why."""
        try:
            instances = self._named.decode(body).instances
        except REFUSED:
            try:
                instances = self._listed.decode(body).instances
            except REFUSED:
                return self._quick_inputs(body, max_rows)
        columns = self._forms.from_rows(instances, max_rows)
        return None if columns is None else (columns, False)

    def _quick_inputs(self, body: bytes, max_rows: int) -> tuple[Columns, bool] | None:
        try:
            inputs = self._columns.decode(body).inputs
        except REFUSED:
            return self._quick_values(body, max_rows)
        columns = (
            self._forms.from_rows(inputs, max_rows)
            if isinstance(inputs, list)
            else self._forms.from_columns(inputs, max_rows)
        )
        return None if columns is None else (columns, True)

    def _quick_values(self, body: bytes, max_rows: int) -> tuple[Columns, bool] | None:
        """The same of values alone, which are rows of a model with one feature."""
        for key, decoder in self._values.items():
            try:
                values = getattr(decoder.decode(body), key)
            except REFUSED:
                continue
            (field,) = self._forms.columns.__struct_fields__
            columns = self._forms.from_columns(self._forms.columns(**{field: values}), max_rows)
            return None if columns is None else (columns, key == "inputs")
        return None

    def _thorough(self, body: bytes, content_type: str, max_rows: int) -> tuple[Columns, bool]:
        """The rows, or an error that names everything wrong with them."""
        request = parsed(body, content_type, max_rows, self._taken)
        if not isinstance(request, dict):
            raise InvalidRequest(
                f'expected an object such as {{"instances": [...]}}, got {describe(request)}'
            )
        key = next((key for key in ("instances", "inputs") if key in request), None)
        if key is None:
            example = ", ".join(f'"{name}": ...' for name in list(self._signature.by_name)[:3])
            raise InvalidRequest(
                f'expected "instances" or "inputs" in the body: {{"instances": [{{{example}}}]}}'
            )
        pointer, rows, locate = f"/{key}", request[key], by_row(f"/{key}")
        if key == "inputs" and isinstance(rows, dict):
            # Before they are turned into rows, which take far more room.
            columns = [values for values in rows.values() if isinstance(values, list)]
            check_row_count(max(map(len, columns), default=0), max_rows)
            rows, locate = rows_from_columns(self._signature, rows, pointer), by_column(pointer)
        if not isinstance(rows, list):
            expected = "a list of rows" if key == "instances" else "columns or a list of rows"
            raise InvalidRequest(f"expected {expected}, got {describe(rows)}", pointer)
        check_row_count(len(rows), max_rows)
        return columns_from_values(self._signature, rows, locate), key == "inputs"


def _decoder(key: str, kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Body", [(key, kind)]))


def _check_row_count_early(body: bytes, max_rows: int) -> None:
    """Count the rows of a body that may have too many before any becomes an object.

    Two bytes, ``{}``, may be a row of a hundred optional features: decoding first and counting
    then would let a small body take a lot of memory.
    """
    if not may_be_a_crowd(body, max_rows):
        return
    with suppress(*REFUSED):
        unread = _UNREAD.decode(body)
        for rows in (unread.instances, unread.inputs):
            if bytes(rows)[:1] == b"[":
                checked_count(rows, max_rows)
