"""What the answers depend on: one column, or two, taken through their values.

Partial dependence (Friedman 2001, Greedy Function Approximation, section 8.2) is the mean answer to
real rows when one column has the same value in all of them. It may show rows that can't be, where
columns go together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .importance import Predict, some

ROWS = 200
"""Rows in each mean: more move the curve by less than its line's width."""

POINTS = 24
"""Values of a number at most."""

LEVELS = 10
"""Categories at most, the commonest ones."""

OUTER = 0.01
"""Share of the rows at each end that is left out: a curve should not be drawn for one outlier."""

GRID = 72
"""Points of a decision map along each side."""

MARGIN = 0.03
"""What is added to a map on each side, as a share of its width."""

HIGHEST = np.finfo(np.float64).max / 4


@dataclass(frozen=True)
class Dependence:
    """The mean answers as one column takes value after value.

    Attributes:
        values: of the column: float64, ascending, or text, the commonest first, (points,).
        probabilities: the mean of each class's probability, float64 (points, classes).
        rows: how many rows each mean is over.
        left_out: how many categories are not among the values.
    """

    values: NDArray[Any]
    probabilities: NDArray[np.float64]
    rows: int
    left_out: int = 0


@dataclass(frozen=True)
class DecisionMap:
    """The answers over a rectangle of two numbers.

    Attributes:
        x: values of the first column, float64 (points,).
        y: values of the second column, float64 (points,).
        probabilities: (points of y, points of x, classes).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    probabilities: NDArray[np.floating]

    def margins(self, threshold: tuple[int, float] | None = None) -> NDArray[np.float64]:
        """By how much each class is ahead of all others, (points of y, points of x, classes).

        It is above 0 where the class is answered.

        Args:
            threshold: of two classes, the place of one and from which probability on it is
                answered, if that is not the likeliest class.
        """
        p = self.probabilities.astype(np.float64)
        if threshold:
            place, value = threshold
            ahead = p[:, :, place] - value
            signs = np.where(np.arange(p.shape[2]) == place, 1, -1)
            return ahead[:, :, None] * signs
        second, first = np.sort(p, axis=2)[:, :, -2:].transpose(2, 0, 1)
        best = np.where(p == first[:, :, None], second[:, :, None], first[:, :, None])
        margins: NDArray[np.float64] = p - best
        return margins


def partial_dependence(
    predict: Predict,
    numbers: NDArray[np.float64],
    categories: NDArray[Any],
    column: int,
    rng: np.random.Generator,
) -> Dependence:
    """The dependence on one column.

    Args:
        predict: the model.
        numbers: (rows, numbers).
        categories: (rows, categories).
        column: counted through the numbers, then through the categories; known in at least one row.
        rng: picks the rows, where there are more than are needed.
    """
    rows = some(len(numbers), ROWS, rng)
    which = int(column >= numbers.shape[1])
    place = column - which * numbers.shape[1]
    left_out = 0
    if which:
        values, left_out = _commonest(categories[:, place])
    else:
        values = _range(numbers[:, place])
    parts = [np.repeat(part[None, rows], len(values), axis=0) for part in (numbers, categories)]
    parts[which][:, :, place] = values[:, None]
    flat = [part.reshape(len(values) * len(rows), part.shape[2]) for part in parts]
    answers = predict(*flat).astype(np.float64)
    return Dependence(
        values, answers.reshape(len(values), len(rows), -1).mean(axis=1), len(rows), left_out
    )


def decision_map(predict: Predict, numbers: NDArray[np.float64]) -> DecisionMap:
    """The answers over all that two number columns have been, (rows, 2), but for outliers.

    Args:
        predict: a model of two number columns and no others.
        numbers: real rows, each column with some that are known.
    """
    x, y = (_axis(column) for column in numbers.T)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    answers = predict(grid, np.empty((len(grid), 0), dtype=object))
    return DecisionMap(x, y, answers.reshape(len(y), len(x), -1))


def _range(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values to take a number through: all if they are few, else evenly from end to end."""
    known = column[~np.isnan(column)]
    different = np.unique(known)
    if len(different) <= POINTS:
        return different
    low, high = _quantiles(known, OUTER)
    if not low < high:
        return different[[0, -1]]
    return 4 * np.linspace(low / 4, high / 4, POINTS)


def _quantiles(known: NDArray[np.float64], outer: float) -> tuple[float, float]:
    # Of the quarters, which is exact: what lies between two values of 1e308 may overflow.
    low, high = 4 * np.quantile(known / 4, [outer, 1 - outer])
    return float(low), float(high)


def _axis(column: NDArray[np.float64]) -> NDArray[np.float64]:
    known = column[~np.isnan(column)]
    # 0.2 %: of a map people expect to see nearly all of the points.
    low, high = (edge / 4 for edge in _quantiles(known, OUTER / 5))
    margin = (high - low) * MARGIN or 0.5
    return 4 * np.linspace(low - margin, high + margin, GRID).clip(-HIGHEST, HIGHEST)


def _commonest(column: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The commonest texts, ties in the order of their letters, and how many others there are."""
    counts = Counter(text for text in column.tolist() if text)
    texts = sorted(counts, key=lambda text: (-counts[text], text))
    values = np.empty(min(len(texts), LEVELS), dtype=object)
    values[:] = texts[:LEVELS]
    return values, len(texts) - len(values)
