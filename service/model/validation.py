"""Plain values to Columns, the thorough way: every problem found and named, not the first alone.

JSON rows come this way after the quick way (``row_forms``) refused them, to say everything that is
wrong with them at once. What comes by column is held against the same rules in ``tables``.
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
"""Problems reported at most: enough to mend a client with, and the answer stays small."""

SHOWN_CHARACTERS = 40
"""How much of a wrong value an answer repeats."""

COMPARED_CHARACTERS = 200
"""Longer unknown names are compared with none of the known."""


def describe_expected(feature: Feature) -> str:
    """What a feature asks for, in words."""
    match feature.kind:
        case Kind.NUMBER | Kind.BOOLEAN:
            return feature.kind.value
        case Kind.DATETIME:
            return datetimes.expected(feature.format)
        case Kind.CATEGORY:
            return "text"


def invalid_rows(found: Sequence[Problem]) -> InvalidRows:
    """What to raise for problems, of which one more than are told says that there are more."""
    return InvalidRows(found[:PROBLEM_LIMIT], truncated=len(found) > PROBLEM_LIMIT)


class _Collector:
    """Takes problems up to one more than the limit, which tells that there are more."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    @property
    def full(self) -> bool:
        return len(self.problems) > PROBLEM_LIMIT

    def raise_if_any(self) -> None:
        if self.problems:
            raise invalid_rows(self.problems)

    def add(self, *problems: Problem) -> None:
        for problem in problems:
            if not self.full:
                self.problems.append(problem)


Locate = Callable[[int, str | None], str | None]
"""Gives the JSON pointer (RFC 6901) of a row, or of one value in it by name or position."""


def no_location(_row: int, _name: str | None) -> None:
    """The place of values that came in no JSON body."""


def locate_by_row(base: str) -> Locate:
    """Places of rows that stand one after the other at ``base``."""
    return lambda row, name: f"{base}/{row}" + ("" if name is None else f"/{pointer_token(name)}")


def locate_by_column(base: str) -> Locate:
    """Places of values that stand in columns at ``base``."""
    return lambda row, name: base if name is None else f"{base}/{pointer_token(name)}/{row}"


def columns_from_values(
    signature: Signature, rows: Sequence[Any], locate: Locate = no_location
) -> Columns:
    """Rows of plain values as Columns.

    Args:
        signature: what the rows must look like.
        rows: each a mapping by feature name, or a list in signature order; of a model with one
            feature also its value alone.
        locate: tells where a value stands, for the problems.

    Raises:
        InvalidRows: with every problem found, up to ``PROBLEM_LIMIT``.
    """
    found = _Collector()
    numbers = np.full((len(rows), len(signature.numbers)), np.nan)
    categories = np.full((len(rows), len(signature.categories)), "", dtype=object)
    number_index = {f.name: i for i, f in enumerate(signature.numbers)}
    category_index = {f.name: i for i, f in enumerate(signature.categories)}
    for index, row in enumerate(rows):
        if found.full:
            break
        for feature, value, where in _cells(signature, row, index, locate, found):
            if (expected := mismatch(feature, value)) is not None:
                found.add(Problem(index, feature.name, where, expected, describe(value)))
            elif feature.kind is Kind.CATEGORY:
                categories[index, category_index[feature.name]] = convert(feature, value)
            else:
                numbers[index, number_index[feature.name]] = convert(feature, value)
    found.raise_if_any()
    return Columns(numbers, categories)


def rows_from_columns(
    signature: Signature, columns: Mapping[str, Any], pointer: str
) -> list[dict[str, Any]]:
    """Columns of plain values turned into rows, for `columns_from_values`.

    Raises:
        InvalidRows: when a column is unknown, missing or no list, or they are not equally long.
    """
    found = _Collector()
    lists: dict[str, list[Any]] = {}

    def locate(_row: int, name: str | None) -> str:
        return f"{pointer}/{pointer_token(name or '')}"

    unknown = _unknown(signature, columns, 0, locate)
    meant = {problem.did_you_mean for problem in unknown}
    for feature in signature.features:
        name, where = feature.name, locate(0, feature.name)
        values = columns.get(name)
        if isinstance(values, list):
            lists[name] = _flat(values)
        elif name in columns and (values is not None or feature.required):
            found.add(Problem(0, name, where, "a list of values", describe(values)))
        elif feature.required and name not in meant:
            found.add(Problem(0, name, where, "a list of values", "nothing"))
    found.add(*unknown)
    longest = max(map(len, lists.values()), default=0)
    for name, values in lists.items():
        if len(values) != longest:
            expected = f"{count_values(longest)}, as in the longest column"
            found.add(
                Problem(len(values), name, locate(0, name), expected, count_values(len(values)))
            )
    found.raise_if_any()
    return [{name: values[i] for name, values in lists.items()} for i in range(longest)]


def check_unique_columns(names: Sequence[str], whose: str) -> None:
    """Refuse a table that names a column twice.

    Args:
        names: as they were given.
        whose: they are, for the message.

    Raises:
        InvalidRequest: naming the first of them in order of the alphabet.
    """
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise InvalidRequest(f"{whose} names {truncate(min(repeated))!r} twice")


def check_column_names(
    signature: Signature, names: Sequence[str], locate: Locate = no_location
) -> None:
    """Hold the names of a header against the signature: once, not again in every row.

    Args:
        signature: what features there are.
        names: as they were given.
        locate: tells where a name stands, for the problems.

    Raises:
        InvalidRows: for unknown names, and features that are needed and missing.
    """
    found = _Collector()
    there = set(names)
    unknown = _unknown(signature, names, 0, locate)
    meant = {problem.did_you_mean for problem in unknown}
    for feature in signature.features:
        if feature.required and feature.name not in there and feature.name not in meant:
            where = locate(0, feature.name)
            found.add(Problem(0, feature.name, where, "a column of this name", "nothing"))
    found.add(*unknown)
    found.raise_if_any()


def _cells(
    signature: Signature, row: Any, index: int, locate: Locate, found: _Collector
) -> Iterator[tuple[Feature, Any, str | None]]:
    """Each feature of one row with its value and place; problems with the row itself are added."""
    if isinstance(row, Mapping):
        unknown = _unknown(signature, row, index, locate)
        meant = {problem.did_you_mean for problem in unknown}
        for feature in signature.features:
            where = locate(index, feature.name)
            if feature.name in row:
                yield feature, row[feature.name], where
            elif feature.required and feature.name not in meant:
                found.add(
                    Problem(index, feature.name, where, describe_expected(feature), "nothing")
                )
        found.add(*unknown)
    elif isinstance(row, list):
        if len(row) != len(signature.features):
            names = ", ".join(feature.name for feature in signature.features)
            expected = f"{count_values(len(signature.features))}: {truncate(names, 200)}"
            found.add(Problem(index, None, locate(index, None), expected, count_values(len(row))))
            return
        for position, feature in enumerate(signature.features):
            yield feature, row[position], locate(index, str(position))
    elif len(signature.features) == 1:
        yield signature.features[0], row, locate(index, None)
    else:
        found.add(
            Problem(
                index,
                None,
                locate(index, None),
                "an object or a list of feature values",
                describe(row),
            )
        )


def _unknown(signature: Signature, names: Iterable[str], row: int, locate: Locate) -> list[Problem]:
    """A problem for each unknown name, with the missing one that it resembles.

    Comparing is slow, so no more are looked at than tell that there are too many, and no long ones.
    """
    unknown = list(islice((n for n in names if n not in signature.by_name), PROBLEM_LIMIT + 1))
    if not unknown:
        return []
    there = set(names)
    missing = [name for name in signature.by_name if name not in there]
    problems = []
    for name in unknown:
        short = len(name) <= COMPARED_CHARACTERS
        close = difflib.get_close_matches(name, missing, n=1) if short else []
        said = truncate(name)
        problems.append(
            Problem(row, said, locate(row, name), "a known feature", said, next(iter(close), None))
        )
    return problems


def _flat(values: list[Any]) -> list[Any]:
    """A column without the lists of one that stand around each value of a tensor (rows, 1)."""
    if values and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value for (value,) in values]
    return values


def convert(feature: Feature, value: Any) -> float | str:
    """How Columns hold a value that `refusal` lets pass."""
    if feature.kind is Kind.CATEGORY:
        return "" if value is None else category_text(value)
    if value is None:
        return math.nan
    return feature.seconds(value) if feature.kind is Kind.DATETIME else float(value)


def mismatch(feature: Feature, value: Any) -> str | None:
    """What was expected where a plain value won't do for a feature; None where it will."""
    but = ""
    match value:
        case None:
            fits = not feature.required
        case _ if feature.kind is Kind.DATETIME:
            fits = isinstance(value, str) and _is_datetime(feature, value)
        case bool():
            fits = feature.kind is not Kind.NUMBER
        case int() | float() if feature.kind is Kind.BOOLEAN:
            fits = isinstance(value, int) and value in {0, 1}
        case int() | float():
            fits = _is_double(value)
            but = " within the range of doubles"
        case str() if feature.kind is Kind.CATEGORY and _has_lone_surrogate(value):
            fits = False
            but = " without lone surrogates"
        case str():
            # Blank text is a missing category.
            fits = feature.kind is Kind.CATEGORY and bool(value.strip() or not feature.required)
        case _:
            fits = False
    return None if fits else describe_expected(feature) + but


def describe(value: Any) -> str:
    """A JSON value in words and shortened, such as ``string "tall"``."""
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
    """A caller's text made safe to repeat: shortened, and writable as UTF-8."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def pointer_token(name: str) -> str:
    """A name as one reference token of a JSON pointer (RFC 6901)."""
    return truncate(name, 200).replace("~", "~0").replace("/", "~1")


def count_values(n: int) -> str:
    """So many values, in words."""
    return f"{n} value" if n == 1 else f"{n} values"


def _is_double(value: float) -> bool:
    """Whether a number is within the range of doubles; a whole one may have any length."""
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
