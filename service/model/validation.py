"""Convert plain values to `Columns` row by row, and find every problem in them.

JSON rows come here after `row_types` has rejected them, so that the response lists all problems at
once. Tables go through `table_validation`, which follows the same rules.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InvalidRequest, InvalidRows, Problem
from . import datetimes
from .columns import Columns
from .signature import Feature, Kind, Signature, category_text

PROBLEM_LIMIT = 20
"""Limit of problems in a response: enough to correct a client, and the response stays small."""

SHOWN_CHARACTERS = 40
"""Limit of a wrong value's length in a response."""

LISTED_CHARACTERS = 200
"""Limit of a name's length in a JSON pointer, and of the text that lists all features."""

COMPARED_CHARACTERS = 200
"""Unknown names that are longer are not compared with the known names."""


def describe_expected(feature: Feature) -> str:
    """Return in words which values a feature takes."""
    match feature.kind:
        case Kind.NUMBER | Kind.BOOLEAN:
            return feature.kind.value
        case Kind.DATETIME:
            return datetimes.describe_format(feature.format)
        case Kind.CATEGORY:
            return "text"


def invalid_rows(problems: Sequence[Problem]) -> InvalidRows:
    """Return the error for problems; more than ``PROBLEM_LIMIT`` of them are truncated."""
    return InvalidRows(problems[:PROBLEM_LIMIT], truncated=len(problems) > PROBLEM_LIMIT)


class _Problems:
    """Collects problems up to one more than the limit; the last one marks truncation."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    @property
    def is_full(self) -> bool:
        return len(self._problems) > PROBLEM_LIMIT

    def add(self, *problems: Problem) -> None:
        for problem in problems:
            if not self.is_full:
                self._problems.append(problem)

    def raise_if_any(self) -> None:
        if self._problems:
            raise invalid_rows(self._problems)


Locate = Callable[[int, str | None], str | None]
"""Returns the JSON pointer (RFC 6901) to a row, or to its value of that name or position."""


def no_location(_row: int, _name: str | None) -> None:
    """Return None, for bodies that are not JSON."""


def locate_by_row(base: str) -> Locate:
    """Return the pointers to values in a list of rows at ``base``."""
    return lambda row, name: f"{base}/{row}" + ("" if name is None else f"/{pointer_token(name)}")


def locate_by_column(base: str) -> Locate:
    """Return the pointers to values in an object of columns at ``base``."""
    return lambda row, name: base if name is None else f"{base}/{pointer_token(name)}/{row}"


def columns_from_values(
    signature: Signature, rows: Sequence[Any], locate: Locate = no_location
) -> Columns:
    """Return rows of plain values as `Columns`.

    Args:
        signature: the features of the rows.
        rows: each row is a mapping by feature name or a list in signature order. If the model has
            one feature, a row may be its value.
        locate: returns the pointers of the problems.

    Raises:
        InvalidRows: with every problem, up to ``PROBLEM_LIMIT``.
    """
    problems = _Problems()
    numbers = np.full((len(rows), len(signature.numbers)), np.nan)
    categories = np.full((len(rows), len(signature.categories)), "", dtype=object)
    number_index = {f.name: i for i, f in enumerate(signature.numbers)}
    category_index = {f.name: i for i, f in enumerate(signature.categories)}
    for index, row in enumerate(rows):
        if problems.is_full:
            break
        for feature, value, pointer in _cells(signature, row, index, locate, problems):
            if (expected := mismatch(feature, value)) is not None:
                problems.add(Problem(index, feature.name, pointer, expected, describe(value)))
            elif feature.kind is Kind.CATEGORY:
                categories[index, category_index[feature.name]] = convert(feature, value)
            else:
                numbers[index, number_index[feature.name]] = convert(feature, value)
    problems.raise_if_any()
    return Columns(numbers, categories)


def rows_from_columns(
    signature: Signature, columns: Mapping[str, Any], pointer: str
) -> list[dict[str, Any]]:
    """Return columns of plain values as rows, for `columns_from_values`.

    Args:
        signature: the features of the rows.
        columns: lists of values by feature name.
        pointer: JSON pointer to the columns.

    Raises:
        InvalidRows: a column is unknown, missing or not a list, or lengths differ.
    """
    problems = _Problems()
    lists: dict[str, list[Any]] = {}

    def locate(_row: int, name: str | None) -> str:
        return f"{pointer}/{pointer_token(name or '')}"

    unknown = _unknown_names(signature, columns, 0, locate)
    suggested = {problem.did_you_mean for problem in unknown}
    for feature in signature.features:
        name, place = feature.name, locate(0, feature.name)
        values = columns.get(name)
        if isinstance(values, list):
            lists[name] = _flatten(values)
        elif name in columns and (values is not None or feature.required):
            problems.add(Problem(0, name, place, "a list of values", describe(values)))
        elif feature.required and name not in suggested:
            problems.add(Problem(0, name, place, "a list of values", "nothing"))
    problems.add(*unknown)
    rows = max(map(len, lists.values()), default=0)
    for name, values in lists.items():
        if len(values) != rows:
            expected, got = count_values(rows), count_values(len(values))
            expected += ", as in the longest column"
            problems.add(Problem(len(values), name, locate(0, name), expected, got))
    problems.raise_if_any()
    return [{name: values[i] for name, values in lists.items()} for i in range(rows)]


def check_unique_columns(names: Sequence[str], table: str) -> None:
    """Reject a table that names a column twice.

    Args:
        names: the column names.
        table: the subject of the message, such as ``the CSV header``.

    Raises:
        InvalidRequest: with the alphabetically first repeated name.
    """
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidRequest(f"{table} names {truncate(min(repeated))!r} twice")


def check_column_names(
    signature: Signature, names: Sequence[str], locate: Locate = no_location
) -> None:
    """Check the column names of a table once, rather than in every row.

    Args:
        signature: the features.
        names: the column names.
        locate: returns the pointers of the problems.

    Raises:
        InvalidRows: for unknown names, and for required features without a column.
    """
    problems = _Problems()
    present = set(names)
    unknown = _unknown_names(signature, names, 0, locate)
    suggested = {problem.did_you_mean for problem in unknown}
    for feature in signature.features:
        if feature.required and feature.name not in present and feature.name not in suggested:
            pointer = locate(0, feature.name)
            problems.add(Problem(0, feature.name, pointer, "a column of this name", "nothing"))
    problems.add(*unknown)
    problems.raise_if_any()


def _cells(
    signature: Signature, row: Any, index: int, locate: Locate, problems: _Problems
) -> Iterator[tuple[Feature, Any, str | None]]:
    """Yield feature, value and pointer of each value in a row; collect problems of the row."""
    if isinstance(row, Mapping):
        yield from _cells_of_object(signature, row, index, locate, problems)
    elif isinstance(row, list):
        if len(row) != len(signature.features):
            names = ", ".join(feature.name for feature in signature.features)
            count = count_values(len(signature.features))
            expected = f"{count}: {truncate(names, LISTED_CHARACTERS)}"
            pointer = locate(index, None)
            problems.add(Problem(index, None, pointer, expected, count_values(len(row))))
            return
        for position, feature in enumerate(signature.features):
            yield feature, row[position], locate(index, str(position))
    elif len(signature.features) == 1:
        yield signature.features[0], row, locate(index, None)
    else:
        expected = "an object or a list of feature values"
        problems.add(Problem(index, None, locate(index, None), expected, describe(row)))


def _cells_of_object(
    signature: Signature,
    row: Mapping[str, Any],
    index: int,
    locate: Locate,
    problems: _Problems,
) -> Iterator[tuple[Feature, Any, str | None]]:
    unknown = _unknown_names(signature, row, index, locate)
    suggested = {problem.did_you_mean for problem in unknown}
    for feature in signature.features:
        pointer = locate(index, feature.name)
        if feature.name in row:
            yield feature, row[feature.name], pointer
        elif feature.required and feature.name not in suggested:
            expected = describe_expected(feature)
            problems.add(Problem(index, feature.name, pointer, expected, "nothing"))
    problems.add(*unknown)


def _unknown_names(
    signature: Signature, names: Iterable[str], row: int, locate: Locate
) -> list[Problem]:
    """Return a problem for each unknown name, with the missing name that it resembles.

    Comparisons are slow. So at most one name more than the limit is compared, and no long names.
    """
    unknown = list(islice((n for n in names if n not in signature.by_name), PROBLEM_LIMIT + 1))
    if not unknown:
        return []
    present = set(names)
    missing = [name for name in signature.by_name if name not in present]
    problems = []
    for name in unknown:
        is_short = len(name) <= COMPARED_CHARACTERS
        similar = difflib.get_close_matches(name, missing, n=1) if is_short else []
        shown = truncate(name)
        suggestion = next(iter(similar), None)
        problems.append(
            Problem(row, shown, locate(row, name), "a known feature", shown, suggestion)
        )
    return problems


def _flatten(values: list[Any]) -> list[Any]:
    """Return a column without the one-value lists of a tensor of shape (rows, 1)."""
    if values and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value for (value,) in values]
    return values


def convert(feature: Feature, value: Any) -> float | str:
    """Return a valid value as `Columns` hold it; `mismatch` has checked it."""
    if feature.kind is Kind.CATEGORY:
        return "" if value is None else category_text(value)
    if value is None:
        return math.nan
    return feature.seconds(value) if feature.kind is Kind.DATETIME else float(value)


def mismatch(feature: Feature, value: Any) -> str | None:
    """Return in words what the feature takes instead of this value; None if the value is valid."""
    condition = ""
    match value:
        case None:
            is_valid = not feature.required
        case _ if feature.kind is Kind.DATETIME:
            is_valid = isinstance(value, str) and _is_datetime(feature, value)
        case bool():
            is_valid = feature.kind is not Kind.NUMBER
        case int() | float() if feature.kind is Kind.BOOLEAN:
            is_valid = isinstance(value, int) and value in {0, 1}
        case int() | float():
            is_valid = _is_double(value)
            condition = " within the range of doubles"
        case str() if feature.kind is Kind.CATEGORY and _has_lone_surrogate(value):
            is_valid = False
            condition = " without lone surrogates"
        case str():
            # Blank text is a missing category.
            is_valid = feature.kind is Kind.CATEGORY and bool(value.strip() or not feature.required)
        case _:
            is_valid = False
    return None if is_valid else describe_expected(feature) + condition


def describe(value: Any) -> str:
    """Return a JSON value in words and truncated, such as ``string "tall"``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"number {truncate(str(value))}" if _is_double(value) else "a larger number"
        case str():
            return f"string {json.dumps(truncate(value), ensure_ascii=False)}"
        case list():
            return f"array of {len(value)}"
        case _:
            return "object"


def truncate(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return a client's text cut to a length, with lone surrogates replaced by question marks."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def pointer_token(name: str) -> str:
    """Return a name as a reference token of a JSON pointer (RFC 6901)."""
    return truncate(name, LISTED_CHARACTERS).replace("~", "~0").replace("/", "~1")


def count_values(n: int) -> str:
    """Return a number of values in words: ``1 value``, ``2 values``."""
    return f"{n} value" if n == 1 else f"{n} values"


def _is_double(value: float) -> bool:
    """Return whether a number is within the range of doubles; an int may have any length."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_datetime(feature: Feature, text: str) -> bool:
    try:
        feature.seconds(text)
    except ValueError:
        return False
    return True


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
