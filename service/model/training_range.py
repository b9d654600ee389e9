"""Values that a model was never shown: answered all the same, and named in the answer.

A height in metres sent to a model trained in centimetres should not pass silently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .columns import Columns
from .signature import Signature

WARNING_LIMIT = 20
"""Warnings in one answer at most."""

CATEGORIES_SHOWN = 20
"""Known categories that a warning lists at most."""


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """One value outside what training saw.

    Attributes:
        row: index of the row in the request, from 0.
        feature: the feature's name.
        value: what was sent; a datetime as text.
        seen: [smallest, largest] seen in training, or the categories seen (the commonest first).
    """

    row: int
    feature: str
    value: float | str
    seen: list[Any]


class RangeCheck:
    """The ranges and categories of one signature, ready to compare rows with."""

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
        """The values outside what training saw, in row order, at most ``WARNING_LIMIT``."""
        if len(columns) == 1 and self._is_usual(columns):
            return []
        found: list[OutOfRange] = []
        numbers = columns.numbers  # NaN compares false: missing is never out of range
        outside = (numbers < self._minimum) | (numbers > self._maximum)
        if np.count_nonzero(outside):
            for row, index in np.argwhere(outside)[:WARNING_LIMIT].tolist():
                feature = self._signature.numbers[index]
                limits = (feature.minimum, feature.maximum)
                seen = [None if limit is None else feature.json_value(limit) for limit in limits]
                value = feature.json_value(float(numbers[row, index]))
                found.append(OutOfRange(row, feature.name, value, seen))
        for index, known in self._known:
            values = columns.categories[:, index]
            if known.issuperset(values):
                continue
            feature = self._signature.categories[index]
            commonest = sorted(feature.categories, key=lambda c: -feature.categories[c])
            rows = (row for row, value in enumerate(values) if value not in known)
            for row, _ in zip(rows, range(WARNING_LIMIT), strict=False):
                found.append(
                    OutOfRange(row, feature.name, values[row], commonest[:CATEGORIES_SHOWN])
                )
        found.sort(key=lambda warned: warned.row)
        return found[:WARNING_LIMIT]

    def _is_usual(self, columns: Columns) -> bool:
        """Whether a single row has nothing to tell of: plain Python is quicker with so little."""
        (numbers,) = columns.numbers.tolist()
        for value, (minimum, maximum) in zip(numbers, self._limits, strict=True):
            if value < minimum or value > maximum:  # NaN is neither
                return False
        if self._known:
            (texts,) = columns.categories.tolist()
            for index, known in self._known:
                if texts[index] not in known:
                    return False
        return True
