"""Values outside the training range. The service answers them with a warning.

A height in meters sent to a model trained in centimeters should not pass silently.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from .columns import Columns
from .signature import Signature

WARNING_LIMIT = 20
"""Limit of warnings in one response."""

CATEGORY_LIMIT = 20
"""Limit of known categories in one warning."""


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """One value outside the training range.

    Attributes:
        row: index of the row in the request, from 0.
        feature: name of the feature.
        value: the value in the request; a datetime as text.
        seen: [smallest, largest] value in training, or the categories in training, the most
            frequent first.
    """

    row: int
    feature: str
    value: float | str
    seen: list[Any]


class RangeCheck:
    """The training ranges and categories of one signature, as arrays and sets for comparison."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        minimum = [-math.inf if f.minimum is None else f.minimum for f in signature.numbers]
        maximum = [math.inf if f.maximum is None else f.maximum for f in signature.numbers]
        self._limits = list(zip(minimum, maximum, strict=True))
        self._minimum, self._maximum = np.array(minimum), np.array(maximum)
        self._known = [
            (index, frozenset(f.categories) | {""})
            for index, f in enumerate(signature.categories)
            if f.categories
        ]

    def out_of_range(self, columns: Columns) -> list[OutOfRange]:
        """Return the values outside the training range in row order, up to ``WARNING_LIMIT``."""
        if len(columns) == 1 and self._contains(columns):
            return []
        found = [*self._numbers_outside(columns), *self._unknown_categories(columns)]
        found.sort(key=lambda warning: warning.row)
        return found[:WARNING_LIMIT]

    def _numbers_outside(self, columns: Columns) -> Iterator[OutOfRange]:
        numbers = columns.numbers  # comparisons with NaN are false: missing is never out of range
        outside = (numbers < self._minimum) | (numbers > self._maximum)
        if not np.count_nonzero(outside):
            return
        for row, index in np.argwhere(outside)[:WARNING_LIMIT].tolist():
            feature = self._signature.numbers[index]
            limits = (feature.minimum, feature.maximum)
            yield OutOfRange(
                row,
                feature.name,
                feature.json_value(float(numbers[row, index])),
                [None if limit is None else feature.json_value(limit) for limit in limits],
            )

    def _unknown_categories(self, columns: Columns) -> Iterator[OutOfRange]:
        for index, known in self._known:
            values = columns.categories[:, index]
            if known.issuperset(values):
                continue
            feature = self._signature.categories[index]
            by_frequency = sorted(feature.categories, key=lambda c: -feature.categories[c])
            rows = (row for row, value in enumerate(values) if value not in known)
            for row in islice(rows, WARNING_LIMIT):
                yield OutOfRange(row, feature.name, values[row], by_frequency[:CATEGORY_LIMIT])

    def _contains(self, columns: Columns) -> bool:
        """Return whether a single row is within the range; for one row, faster than numpy."""
        (numbers,) = columns.numbers.tolist()
        for value, (minimum, maximum) in zip(numbers, self._limits, strict=True):
            if value < minimum or value > maximum:  # both are false for NaN
                return False
        if self._known:
            (texts,) = columns.categories.tolist()
            for index, known in self._known:
                if texts[index] not in known:
                    return False
        return True
