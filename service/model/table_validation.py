"""Tables to Columns: whole columns at once, and every problem found and named.

A column is an array of numbers, or plain values of which each different one is looked at once. So a
table takes a fraction of the time that its rows would one by one, with the same words for what is
wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import Problem
from .columns import Columns
from .signature import Feature, Kind, Signature
from .validation import (
    PROBLEM_LIMIT,
    convert,
    describe,
    describe_expected,
    invalid_rows,
    mismatch,
)


@dataclass(frozen=True, slots=True)
class DictionaryColumn:
    """A column of plain values.

    Attributes:
        keys: one for each row.
        values: what each key means: a number, a boolean, a text, or None where it is missing.
    """

    keys: Sequence[Any]
    values: Mapping[Any, Any]

    @classmethod
    def of(cls, values: Sequence[Any]) -> DictionaryColumn:
        """A column of values of one type, or None, that stand for themselves."""
        return cls(values, {value: value for value in values})


Numbers = npt.NDArray[np.float64]

Table = Mapping[str, DictionaryColumn | Numbers]
"""Columns by the names of their features; in arrays NaN is missing, and datetimes are seconds."""


def columns_from_table(
    signature: Signature, table: Table, rows: int, missing: str = "null"
) -> Columns:
    """A table as Columns.

    Args:
        signature: what the rows must look like.
        table: a column for each required feature and any other, each of so many rows, an array
            where the feature is no category.
        rows: how many.
        missing: how a missing number was written, in words.

    Raises:
        InvalidRows: with every problem found, up to ``PROBLEM_LIMIT``, in row order.
    """
    numbers = np.full((rows, len(signature.numbers)), np.nan)
    categories = np.full((rows, len(signature.categories)), "", dtype=object)
    places = _places(signature)
    found: list[Problem] = []
    unchecked: list[tuple[Feature, Numbers]] = []
    for feature in signature.features:
        column = table.get(feature.name)
        if column is None:
            continue
        of_kind: npt.NDArray[Any] = categories if feature.kind is Kind.CATEGORY else numbers
        if isinstance(column, DictionaryColumn):
            wrong = _take_values(feature, column, of_kind[:, places[feature.name]])
            found += islice(wrong, PROBLEM_LIMIT + 1)
        else:
            of_kind[:, places[feature.name]] = column
            unchecked.append((feature, column))
    if not _are_plain(signature, numbers):
        for feature, column in unchecked:
            found += islice(_wrong_numbers(feature, column, missing), PROBLEM_LIMIT + 1)
    if found:
        order = {feature.name: place for place, feature in enumerate(signature.features)}
        found.sort(key=lambda problem: (problem.row, order[str(problem.feature)]))
        raise invalid_rows(found)
    return Columns(numbers, categories)


def columns_from_matrix(signature: Signature, matrix: Numbers, missing: str) -> Columns:
    """An array (rows, features) in signature order as Columns, of a model without categories.

    Raises:
        InvalidRows: as `columns_from_table`.
    """
    if _are_plain(signature, matrix):
        return Columns(np.ascontiguousarray(matrix), np.empty((len(matrix), 0), dtype=object))
    table = {feature.name: matrix[:, at] for at, feature in enumerate(signature.features)}
    return columns_from_table(signature, table, len(matrix), missing)


def _are_plain(signature: Signature, numbers: Numbers) -> bool:
    """Whether nothing can be wrong with them; nearly always that is all to know."""
    only_numbers = all(feature.kind is not Kind.BOOLEAN for feature in signature.numbers)
    return only_numbers and bool(np.isfinite(numbers).all())


def _places(signature: Signature) -> dict[str, int]:
    """Where each feature stands among those of its tensor."""
    return {
        feature.name: place
        for features in (signature.numbers, signature.categories)
        for place, feature in enumerate(features)
    }


def _take_values(
    feature: Feature, column: DictionaryColumn, target: npt.NDArray[Any]
) -> Iterable[Problem]:
    """Put a column where it belongs, or say what is wrong with it."""
    taken: dict[Any, float | str] = {}
    wrong: dict[Any, str] = {}
    for key, value in column.values.items():
        expected = mismatch(feature, value)
        if expected is None:
            taken[key] = convert(feature, value)
        else:
            wrong[key] = expected
    if not wrong:
        target[:] = np.array([taken[key] for key in column.keys], dtype=target.dtype)
        return ()
    return (
        Problem(row, feature.name, None, wrong[key], describe(column.values[key]))
        for row, key in enumerate(column.keys)
        if key in wrong
    )


def _wrong_numbers(feature: Feature, column: Numbers, missing: str) -> Iterator[Problem]:
    """What is infinite, missing and required, or no boolean."""
    finite = np.isfinite(column)
    good = finite
    if feature.kind is Kind.BOOLEAN:
        good = (column == 0) | (column == 1)
    if not feature.required:
        good = good | np.isnan(column)
    if good.all():
        return
    expected = describe_expected(feature)
    if feature.kind is Kind.DATETIME:
        expected = "seconds since 1970-01-01T00:00:00 UTC"
    for row in np.flatnonzero(~good).tolist():
        value = float(column[row])
        if math.isnan(value):
            yield Problem(row, feature.name, None, expected, missing)
        else:
            beyond = "" if finite[row] else " within the range of doubles"
            yield Problem(row, feature.name, None, expected + beyond, describe(value))
