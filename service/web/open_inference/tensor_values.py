"""Values of a request's tensors: read by datatype, checked by the signature, compared if repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import Problem
from ...model.columns import Columns
from ...model.signature import Feature, Kind, Signature
from ...model.validation import PROBLEM_LIMIT, describe, describe_expected
from .json_tensor import JsonTensor
from .lenient_data import SECONDS, read_leniently
from .tensor import DatatypeMismatch, RequestTensor


@dataclass(frozen=True, slots=True)
class Slot:
    """The features of one accepted tensor.

    Attributes:
        features: in order; all of them categories, or none.
        names: of the features.
        holds_text: whether they are categories.
        columns: slice of ``Columns.numbers`` or ``Columns.categories``; None for all columns.
        datetime: the feature, if the tensor holds a datetime as text; graph inputs hold seconds.
    """

    features: tuple[Feature, ...]
    names: tuple[str, ...]
    holds_text: bool
    columns: slice | None
    datetime: Feature | None = None


Assigned = list[tuple[RequestTensor, Slot]]
"""The tensors of a request with their slots."""


def read_values(
    tensor: RequestTensor, slot: Slot, rows: int, found: list[Problem]
) -> npt.NDArray[Any]:
    """Return the values of a tensor, (rows, features), and add problems to ``found``.

    Invalid values get stand-ins, so that reading goes on and finds further problems.
    """
    before = len(found)
    try:
        return _read_typed(tensor, slot, rows, found)
    except DatatypeMismatch:
        del found[before:]
        if not isinstance(tensor, JsonTensor):
            raise
        in_seconds = slot.datetime is None
        block = read_leniently(tensor, slot.features, rows, found, in_seconds=in_seconds)
        if block is None:
            raise
        return block


def _read_typed(
    tensor: RequestTensor, slot: Slot, rows: int, found: list[Problem]
) -> npt.NDArray[Any]:
    width = len(slot.features)
    if slot.holds_text:
        return np.array(tensor.texts(rows, width), dtype=object).reshape(rows, width)
    if slot.datetime is None:
        return tensor.numbers(rows, width)
    seconds, wrong = _read_datetimes(tensor, slot.datetime, rows)
    found += wrong
    return seconds


def _read_datetimes(
    tensor: RequestTensor, feature: Feature, rows: int
) -> tuple[npt.NDArray[np.float64], list[Problem]]:
    """Return the seconds (rows, 1) of a datetime's texts, and a problem per invalid text."""
    seconds = np.full((rows, 1), np.nan)
    found: list[Problem] = []
    for row, text in enumerate(tensor.texts(rows, 1)):
        if not text:
            continue  # stays NaN; later rejected if the feature is required
        try:
            seconds[row] = feature.seconds(text)
        except ValueError:
            seconds[row] = 0  # else it would also be reported as missing
            place = tensor.pointer(row, 0, 1)
            found.append(
                Problem(row, feature.name, place, describe_expected(feature), describe(text))
            )
            if len(found) > PROBLEM_LIMIT:
                break
    return seconds, found


def find_differences(columns: Columns, assigned: Assigned, repeated: Assigned) -> list[Problem]:
    """Return a problem per value of a repeated tensor that differs from the first tensor's."""
    found: list[Problem] = []
    for tensor, slot in repeated:
        wrong: list[Problem] = []
        block = read_values(tensor, slot, len(columns), wrong)
        found += wrong
        whole = columns.categories if slot.holds_text else columns.numbers
        first = whole if slot.columns is None else whole[:, slot.columns]
        both_missing = (block != block) & (first != first)  # noqa: PLR0124 - NaN in both
        differs = (block != first) & ~both_missing
        differs[list({problem.row for problem in wrong})] = False
        for row, place in np.argwhere(differs)[: PROBLEM_LIMIT + 1].tolist():
            feature, value = slot.features[place], block[row, place]
            source, _ = _source(assigned, feature, row)
            pointer = tensor.pointer(row, place, len(slot.features))
            got = describe(value) if slot.holds_text else _describe_number(tensor, float(value))
            expected = f"the same as in input '{source.name}'"
            found.append(Problem(row, feature.name, pointer, expected, got))
        if len(found) > PROBLEM_LIMIT:
            break
    return found


class ValueChecks:
    """Finds values that the signature rejects though their datatype is right.

    Args:
        signature: of the model.
    """

    def __init__(self, signature: Signature) -> None:
        self._numbers, self._categories = signature.numbers, signature.categories
        self._required = np.array([feature.required for feature in signature.numbers], dtype=bool)
        kinds = [feature.kind for feature in signature.numbers]
        self._booleans = [place for place, kind in enumerate(kinds) if kind is Kind.BOOLEAN]
        self._required_categories = [p for p, f in enumerate(signature.categories) if f.required]

    def problems(self, columns: Columns, assigned: Assigned) -> list[Problem]:
        """Return problems of numbers and categories, each kind up to one more than is reported."""
        found: list[Problem] = []
        numbers = columns.numbers
        if not self._are_plain(numbers):
            for row, place in self._rejected(numbers):
                feature = self._numbers[place]
                found.append(_number_problem(assigned, feature, row, float(numbers[row, place])))
        for place in self._required_categories:
            is_blank = columns.categories[:, place] == ""
            if is_blank.any():
                feature = self._categories[place]
                rows = np.flatnonzero(is_blank)[: PROBLEM_LIMIT + 1].tolist()
                found += [_blank_problem(assigned, feature, row) for row in rows]
        return found

    def _are_plain(self, numbers: npt.NDArray[np.float64]) -> bool:
        """Return whether all numbers are finite and all booleans valid: the usual case."""
        if np.count_nonzero(np.isfinite(numbers)) != numbers.size:
            return False
        return not self._booleans or not _not_boolean(numbers[:, self._booleans]).any()

    def _rejected(self, numbers: npt.NDArray[np.float64]) -> list[list[int]]:
        """Return row and column of infinite, missing but required, and non-boolean numbers."""
        missing = np.isnan(numbers)
        rejected = np.isinf(numbers) | (missing & self._required)
        if self._booleans:
            odd = _not_boolean(numbers[:, self._booleans])
            rejected[:, self._booleans] |= odd & ~missing[:, self._booleans]
        places: list[list[int]] = np.argwhere(rejected)[: PROBLEM_LIMIT + 1].tolist()
        return places


def _not_boolean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which values are neither 0 nor 1."""
    odd: npt.NDArray[np.bool_] = (values != 0) & (values != 1)
    return odd


def _source(assigned: Assigned, feature: Feature, row: int) -> tuple[RequestTensor, str]:
    """Return the tensor of a feature, and the JSON pointer of its value in a row."""
    tensor, slot = next(pair for pair in assigned if feature.name in pair[1].names)
    return tensor, tensor.pointer(row, slot.names.index(feature.name), len(slot.names))


def _blank_problem(assigned: Assigned, feature: Feature, row: int) -> Problem:
    _, pointer = _source(assigned, feature, row)
    return Problem(row, feature.name, pointer, describe_expected(feature), describe(""))


def _number_problem(assigned: Assigned, feature: Feature, row: int, value: float) -> Problem:
    tensor, pointer = _source(assigned, feature, row)
    expected = describe_expected(feature)
    if feature.kind is Kind.DATETIME and not tensor.is_text:
        expected = SECONDS
    return Problem(row, feature.name, pointer, expected, _describe_number(tensor, value))


def _describe_number(tensor: RequestTensor, value: float) -> str:
    """Return a number as the client wrote it."""
    if math.isnan(value):
        return describe("") if tensor.is_text else tensor.missing
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return describe(value)
