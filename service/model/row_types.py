"""Decoded JSON to Columns, the quick way: msgspec types generated from a signature.

msgspec fills these types while it parses, so a row that fits is checked for nothing and touched
once more, to become part of an array. What doesn't fit is looked at again by ``problems``, which
is slow and thorough.
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

_WHOLE = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

VALUE_TYPES: dict[Kind, Any] = {
    # msgspec takes whole numbers for float, and refuses true, "1.5", NaN and 1e400 by itself.
    Kind.NUMBER: float,
    Kind.BOOLEAN: bool | Literal[0, 1],
    Kind.DATETIME: str,
    # Longer whole numbers are left to the thorough way, which knows how large is too large.
    Kind.CATEGORY: str | bool | _WHOLE | float,
}
"""What JSON may hold for a feature of each kind."""


ESCAPED_IN_JSON = re.compile(r'["\\\x00-\x1f]')
"""What msgspec takes in no field's name: it compares names as they stand in JSON."""


Get = Callable[[Any], Sequence[Any]]
"""Gives the values of some fields of a row."""


class RowTypes:
    """The generated types of one signature, and the way from their instances to Columns.

    Attributes:
        named: a row as an object, ``{"height_cm": 172, "weight_kg": 95}``.
        listed: a row as an array in signature order, ``[172, 95]``.
        columns: all rows by column, ``{"height_cm": [172], "weight_kg": [95]}``.
    """

    named: type[msgspec.Struct]
    listed: type[msgspec.Struct]
    columns: type[msgspec.Struct]

    def __init__(self, signature: Signature) -> None:
        fields: list[Any] = []
        column_fields: list[Any] = []
        names: dict[str, str] = {}  # f0, f1 ...: a feature's name need not be an identifier
        for index, feature in enumerate(signature.features):
            field = f"f{index}"
            names[field] = _key(feature.name)
            value: Any = VALUE_TYPES[feature.kind]
            if feature.required:
                fields.append((field, value))
                column_fields.append((field, _list_of(value)))
            else:
                fields.append((field, value | None, None))
                column_fields.append((field, _list_of(value | None) | None, None))
        self.object_row = msgspec.defstruct(
            "Row",
            fields,
            rename=names,
            forbid_unknown_fields=True,
            kw_only=True,  # so that an optional feature may stand before a required one
        )
        self.columns = msgspec.defstruct(
            "RowColumns",
            column_fields,
            rename=names,
            forbid_unknown_fields=True,
            kw_only=True,
        )
        self.array_row = msgspec.defstruct(
            "RowList",
            # An array has a place for each value, so here a missing one is written null.
            [field[:2] for field in fields],
            array_like=True,
            forbid_unknown_fields=True,
        )
        fields_of = {
            feature.name: field for field, feature in zip(names, signature.features, strict=True)
        }
        self._number_fields = [fields_of[f.name] for f in signature.numbers]
        self._category_fields = [fields_of[f.name] for f in signature.categories]
        self._datetimes = {
            fields_of[f.name]: f for f in signature.numbers if f.kind is Kind.DATETIME
        }
        self._get_numbers = _getter(self._number_fields)
        if not self._category_fields:
            self._get_numbers = msgspec.structs.astuple  # all fields, at half the cost
        if self._datetimes:  # decided here once, so that rows without any don't pay for it
            self._get_numbers = _reading(self._get_numbers, self._number_fields, self._datetimes)
        self._get_categories = _getter(self._category_fields)
        self._required_categories = [
            index for index, feature in enumerate(signature.categories) if feature.required
        ]

    def from_rows(self, rows: Sequence[msgspec.Struct], max_rows: int) -> Columns | None:
        """Rows of ``named`` or ``listed`` as Columns.

        Returns None when a required category is empty text or a text is no datetime, which no type
        can refuse; the slow pass then says where.

        Raises:
            TooManyRows: for more than ``max_rows``, before any array is made.
        """
        n, width, texts_each = len(rows), len(self._number_fields), len(self._category_fields)
        check_row_count(n, max_rows)
        try:
            numbers = _numbers(chain.from_iterable(map(self._get_numbers, rows)), n * width)
        except ValueError:
            return None
        if not texts_each:
            return Columns(numbers.reshape(n, width), np.empty((n, 0), dtype=object))
        texts = _texts(chain.from_iterable(map(self._get_categories, rows)))
        if "" in texts and any("" in texts[i::texts_each] for i in self._required_categories):
            return None
        categories = np.array(texts, dtype=object)
        return Columns(numbers.reshape(n, width), categories.reshape(n, texts_each))

    def from_columns(self, columns: msgspec.Struct, max_rows: int) -> Columns | None:
        """An instance of ``columns`` as Columns; None as in `from_rows`, or for unequal lengths.

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


def _key(name: str) -> str:
    """The name by which msgspec knows a feature.

    It can't hold quotes, backslashes and control characters. A name that nobody can guess stands in
    for one that has some, so that rows which use it are refused here and left to the thorough way.
    """
    return token_hex(16) if ESCAPED_IN_JSON.search(name) else name


def _list_of(value: Any) -> Any:
    """The type of a list of values; apart, for a type checker takes ``list[value]`` literally."""
    return list[value]


def check_row_count(rows: int, max_rows: int) -> None:
    """Hold a number of rows against the limit.

    Raises:
        TooManyRows: when there are more.
    """
    if rows > max_rows:
        raise TooManyRows(max_rows, rows)


def _numbers(values: Iterable[Any], count: int) -> npt.NDArray[np.float64]:
    """So many values as float64; None becomes NaN, true becomes 1."""
    return np.fromiter(values, np.float64, count)


def _texts(values: Iterable[Any]) -> list[str]:
    """Values as categories are spelled; the shortest way for texts, which most are."""
    return [v.strip() if type(v) is str else _text_or_missing(v) for v in values]


def _text_or_missing(value: str | bool | float | None) -> str:
    return "" if value is None else category_text(value)


def _seconds(feature: Feature, text: str | None) -> float | None:
    return None if text is None else feature.seconds(text)


def _reading(get: Get, fields: Sequence[str], datetimes: Mapping[str, Feature]) -> Get:
    """What ``get`` gives of these fields, with the texts of datetimes read as seconds."""
    places = [(place, datetimes[field]) for place, field in enumerate(fields) if field in datetimes]

    def values(row: Any) -> Sequence[Any]:
        numbers = list(get(row))
        for place, feature in places:
            numbers[place] = _seconds(feature, numbers[place])
        return numbers

    return values


def _getter(fields: Sequence[str]) -> Get:
    if len(fields) == 1:
        (field,) = fields
        return lambda row: (getattr(row, field),)
    return attrgetter(*fields) if fields else lambda _row: ()
