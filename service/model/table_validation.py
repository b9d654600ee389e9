"""Convert tables to `Columns`, and find every problem in them.

CSV, npy and Arrow bodies hold columns. A column is converted as a whole: an array of numbers at
once, and other values once per distinct value. This takes a fraction of the time of `validation`,
which converts row by row, and reports problems in the same words.
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
    """A dictionary-encoded column of plain values.

    Attributes:
        keys: one for each row.
        values: the value of each key: a number, a boolean, a text, or None if missing.
    """

    keys: Sequence[Any]
    values: Mapping[Any, Any]

    @classmethod
    def of(cls, values: Sequence[Any]) -> DictionaryColumn:
        """Return a column of values of one type, or None, that are their own keys."""
        return cls(values, {value: value for value in values})


Numbers = npt.NDArray[np.float64]

Table = Mapping[str, DictionaryColumn | Numbers]
"""Columns by feature name. In arrays, missing is NaN, and datetimes are seconds since 1970."""


def columns_from_table(
    signature: Signature, table: Table, rows: int, missing: str = "null"
) -> Columns:
    """Return a table as `Columns`.

    Args:
        signature: the features of the rows.
        table: a column for each required feature, and optionally for others. Categories must be
            dictionary-encoded.
        rows: length of each column.
        missing: how the body writes a missing number, for problems.

    Raises:
        InvalidRows: with every problem in row order, up to ``PROBLEM_LIMIT``.
    """
    numbers = np.full((rows, len(signature.numbers)), np.nan)
    categories = np.full((rows, len(signature.categories)), "", dtype=object)
    positions = _positions(signature)
    problems: list[Problem] = []
    arrays: list[tuple[Feature, Numbers]] = []
    for feature in signature.features:
        column = table.get(feature.name)
        if column is None:
            continue
        target: npt.NDArray[Any] = categories if feature.kind is Kind.CATEGORY else numbers
        target = target[:, positions[feature.name]]
        if isinstance(column, DictionaryColumn):
            problems += islice(_store_values(feature, column, target), PROBLEM_LIMIT + 1)
        else:
            target[:] = column
            arrays.append((feature, column))
    if not _are_valid(signature, numbers):
        for feature, column in arrays:
            problems += islice(_number_problems(feature, column, missing), PROBLEM_LIMIT + 1)
    if problems:
        order = {feature.name: index for index, feature in enumerate(signature.features)}
        problems.sort(key=lambda problem: (problem.row, order[str(problem.feature)]))
        raise invalid_rows(problems)
    return Columns(numbers, categories)


def columns_from_matrix(signature: Signature, matrix: Numbers, missing: str) -> Columns:
    """Return an array (rows, features) in signature order as `Columns`.

    Args:
        signature: the features of the rows, without categories.
        matrix: the array.
        missing: how the body writes a missing number, for problems.

    Raises:
        InvalidRows: as `columns_from_table`.
    """
    if _are_valid(signature, matrix):
        return Columns(np.ascontiguousarray(matrix), np.empty((len(matrix), 0), dtype=object))
    table = {feature.name: matrix[:, i] for i, feature in enumerate(signature.features)}
    return columns_from_table(signature, table, len(matrix), missing)


def _are_valid(signature: Signature, numbers: Numbers) -> bool:
    """Return whether numbers are valid without a further check, as they nearly always are."""
    has_booleans = any(feature.kind is Kind.BOOLEAN for feature in signature.numbers)
    return not has_booleans and bool(np.isfinite(numbers).all())


def _positions(signature: Signature) -> dict[str, int]:
    """Return each feature's column in the ``numbers`` or ``categories`` array."""
    return {
        feature.name: index
        for features in (signature.numbers, signature.categories)
        for index, feature in enumerate(features)
    }


def _store_values(
    feature: Feature, column: DictionaryColumn, target: npt.NDArray[Any]
) -> Iterable[Problem]:
    """Convert a column into the target; return its problems, in which case nothing is stored."""
    converted: dict[Any, float | str] = {}
    mismatches: dict[Any, str] = {}
    for key, value in column.values.items():
        expected = mismatch(feature, value)
        if expected is None:
            converted[key] = convert(feature, value)
        else:
            mismatches[key] = expected
    if not mismatches:
        target[:] = np.array([converted[key] for key in column.keys], dtype=target.dtype)
        return ()
    return (
        Problem(row, feature.name, None, mismatches[key], describe(column.values[key]))
        for row, key in enumerate(column.keys)
        if key in mismatches
    )


def _number_problems(feature: Feature, column: Numbers, missing: str) -> Iterator[Problem]:
    """Yield a problem for each value that is infinite, missing but required, or not a boolean."""
    finite = np.isfinite(column)
    valid = finite
    if feature.kind is Kind.BOOLEAN:
        valid = (column == 0) | (column == 1)
    if not feature.required:
        valid = valid | np.isnan(column)
    if valid.all():
        return
    expected = describe_expected(feature)
    if feature.kind is Kind.DATETIME:
        expected = "seconds since 1970-01-01T00:00:00 UTC"
    for row in np.flatnonzero(~valid).tolist():
        value = float(column[row])
        if math.isnan(value):
            yield Problem(row, feature.name, None, expected, missing)
        else:
            in_range = "" if finite[row] else " within the range of doubles"
            yield Problem(row, feature.name, None, expected + in_range, describe(value))
