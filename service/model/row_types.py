"""Convert JSON rows to `Columns` by msgspec types generated from the signature.

msgspec checks the rows while it parses them. Valid rows are then copied into arrays. Rows that
msgspec or a later check rejects go to `validation`, which is slower and reports every problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from secrets import token_hex
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import TooManyRows
from .columns import Columns
from .signature import Feature, Kind, Signature, category_text

_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

VALUE_TYPES: dict[Kind, Any] = {
    # For float, msgspec takes integers too and rejects true, "1.5", NaN and 1e400.
    Kind.NUMBER: float,
    Kind.BOOLEAN: bool | Literal[0, 1],
    Kind.DATETIME: str,
    # Larger integers go to `validation`, which checks that they are within the range of doubles.
    Kind.CATEGORY: str | bool | _INT64 | float,
}
"""Types of JSON values by kind."""

ESCAPED_IN_JSON = re.compile(r'["\\\x00-\x1f]')
"""Characters that JSON escapes. msgspec compares field names with the escaped text, so it does not
recognize names with such characters."""

GetValues = Callable[[Any], Sequence[Any]]
"""Returns the values of some fields of a row."""


class RowTypes:
    """The msgspec types of one signature, and the conversion of their instances to `Columns`.

    Attributes:
        object_row: a row as an object, ``{"height_cm": 172, "weight_kg": 95}``.
        array_row: a row as an array in signature order, ``[172, 95]``.
        columns: all rows by column, ``{"height_cm": [172], "weight_kg": [95]}``.
    """

    object_row: type[msgspec.Struct]
    array_row: type[msgspec.Struct]
    columns: type[msgspec.Struct]

    def __init__(self, signature: Signature) -> None:
        # Fields are called f0, f1 ..., because features' names need not be identifiers.
        field_of = {feature.name: f"f{i}" for i, feature in enumerate(signature.features)}
        self._define_types(signature, field_of)
        self._number_fields = [field_of[feature.name] for feature in signature.numbers]
        self._category_fields = [field_of[feature.name] for feature in signature.categories]
        self._datetimes = {
            field_of[feature.name]: feature
            for feature in signature.numbers
            if feature.kind is Kind.DATETIME
        }
        self._get_numbers = _getter(self._number_fields)
        if not self._category_fields:
            self._get_numbers = msgspec.structs.astuple  # all fields, in half the time
        if self._datetimes:
            self._get_numbers = _with_seconds(
                self._get_numbers, self._number_fields, self._datetimes
            )
        self._get_categories = _getter(self._category_fields)
        self._required_categories = [
            index for index, feature in enumerate(signature.categories) if feature.required
        ]

    def _define_types(self, signature: Signature, field_of: Mapping[str, str]) -> None:
        """Define the msgspec types; each has a field for each feature."""
        fields: list[Any] = []
        column_fields: list[Any] = []
        for feature in signature.features:
            field, value = field_of[feature.name], VALUE_TYPES[feature.kind]
            if feature.required:
                fields.append((field, value))
                column_fields.append((field, _list_of(value)))
            else:
                fields.append((field, value | None, None))
                column_fields.append((field, _list_of(value | None) | None, None))
        names = {field: _json_name(name) for name, field in field_of.items()}
        # Keyword-only types allow an optional field before a required one.
        self.object_row = msgspec.defstruct(
            "Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True
        )
        self.columns = msgspec.defstruct(
            "RowColumns", column_fields, rename=names, forbid_unknown_fields=True, kw_only=True
        )
        # Fields of an array have no defaults: a missing value is null.
        self.array_row = msgspec.defstruct(
            "RowList",
            [field[:2] for field in fields],
            array_like=True,
            forbid_unknown_fields=True,
        )

    def from_rows(self, rows: Sequence[msgspec.Struct], max_rows: int) -> Columns | None:
        """Return instances of ``object_row`` or ``array_row`` as `Columns`.

        Returns None for invalid values that a type can't reject: a required category that is empty,
        or text that is not a datetime.

        Raises:
            TooManyRows: there are more than ``max_rows``; checked before arrays are allocated.
        """
        n, width = len(rows), len(self._number_fields)
        text_width = len(self._category_fields)
        check_row_count(n, max_rows)
        try:
            numbers = _numbers(chain.from_iterable(map(self._get_numbers, rows)), n * width)
        except ValueError:
            return None
        if not text_width:
            return Columns(numbers.reshape(n, width), np.empty((n, 0), dtype=object))
        texts = _texts(chain.from_iterable(map(self._get_categories, rows)))
        if "" in texts and any("" in texts[i::text_width] for i in self._required_categories):
            return None
        categories = np.array(texts, dtype=object)
        return Columns(numbers.reshape(n, width), categories.reshape(n, text_width))

    def from_columns(self, columns: msgspec.Struct, max_rows: int) -> Columns | None:
        """Return an instance of ``columns`` as `Columns`.

        Returns None as `from_rows` does, and if the lengths of columns differ.

        Raises:
            TooManyRows: as `from_rows`.
        """
        lists = msgspec.structs.asdict(columns)
        lengths = {len(values) for values in lists.values() if values is not None}
        if len(lengths) > 1:
            return None
        n = max(lengths, default=0)
        check_row_count(n, max_rows)
        missing = [None] * n
        try:
            for field, feature in self._datetimes.items():
                lists[field] = [_seconds(feature, text) for text in lists[field] or missing]
        except ValueError:
            return None
        values = [missing if lists[f] is None else lists[f] for f in self._number_fields]
        numbers = _numbers(chain.from_iterable(values), n * len(values)).reshape(len(values), n)
        texts = [_texts(missing if lists[f] is None else lists[f]) for f in self._category_fields]
        if any("" in texts[index] for index in self._required_categories):
            return None
        categories = np.array(texts, dtype=object).reshape(len(texts), n)
        return Columns(np.ascontiguousarray(numbers.T), np.ascontiguousarray(categories.T))


def _json_name(name: str) -> str:
    """Return the name of a feature's field in JSON.

    It is a random name if msgspec can't recognize the feature's name. Rows with that feature are
    then rejected here and go to `validation`.
    """
    return token_hex(16) if ESCAPED_IN_JSON.search(name) else name


def _list_of(value: Any) -> Any:
    """Return the type of a list; type checkers don't accept ``list[value]`` in an expression."""
    return list[value]


def check_row_count(rows: int, max_rows: int) -> None:
    """Reject more rows than the limit.

    Raises:
        TooManyRows: ``rows`` is larger than ``max_rows``.
    """
    if rows > max_rows:
        raise TooManyRows(max_rows, rows)


def _numbers(values: Iterable[Any], count: int) -> npt.NDArray[np.float64]:
    """Return values as float64; None becomes NaN, true becomes 1."""
    return np.fromiter(values, np.float64, count)


def _texts(values: Iterable[Any]) -> list[str]:
    """Return values as categories; most are texts, which need only be trimmed."""
    return [v.strip() if type(v) is str else _text_or_missing(v) for v in values]


def _text_or_missing(value: str | bool | float | None) -> str:
    return "" if value is None else category_text(value)


def _seconds(feature: Feature, text: str | None) -> float | None:
    return None if text is None else feature.seconds(text)


def _with_seconds(
    get_values: GetValues, fields: Sequence[str], datetimes: Mapping[str, Feature]
) -> GetValues:
    """Return a getter of the same fields that converts datetimes to seconds."""
    positions = [(i, datetimes[field]) for i, field in enumerate(fields) if field in datetimes]

    def get_with_seconds(row: Any) -> Sequence[Any]:
        values = list(get_values(row))
        for position, feature in positions:
            values[position] = _seconds(feature, values[position])
        return values

    return get_with_seconds


def _getter(fields: Sequence[str]) -> GetValues:
    if len(fields) == 1:
        (field,) = fields
        return lambda row: (getattr(row, field),)
    return attrgetter(*fields) if fields else lambda _row: ()
