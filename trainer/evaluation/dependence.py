"""Partial dependence on one feature, and predictions over a grid of two.

Partial dependence (Friedman 2001, Greedy Function Approximation, section 8.2) is the mean prediction
for real rows after one feature is set to the same value in all. With correlated features, some of
these rows may be impossible.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .importance import Predict, draw_rows

ROWS = 200
"""Most rows of each mean; more move the curve by less than its line's width."""

POINTS = 24
"""Most values of a number."""

LEVELS = 10
"""Most levels of a category, the most frequent ones."""

TAIL = 0.01
"""Share of the rows at each end that is left out, so that no outlier stretches the curve."""

GRID = 72
"""Points along each side of a decision map."""

MARGIN = 0.03
"""Space added to each side of a map, as a share of its width."""

HIGHEST = np.finfo(np.float64).max / 4
"""Limit of a map's values, so that sums of them do not overflow."""


@dataclass(frozen=True)
class Dependence:
    """The partial dependence on one feature.

    Attributes:
        values: of the feature, (points,): float64 ascending, or text, the most frequent first.
        probabilities: mean probability of each class, float64 (points, classes).
        rows: rows of each mean.
        left_out: number of levels that are not among the values.
    """

    values: NDArray[Any]
    probabilities: NDArray[np.float64]
    rows: int
    left_out: int = 0


@dataclass(frozen=True)
class DecisionMap:
    """The predictions over a grid of two number features.

    Attributes:
        x: values of the first feature, float64 (points,).
        y: values of the second feature, float64 (points,).
        probabilities: (points of y, points of x, classes).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    probabilities: NDArray[np.floating]

    def margins(self, threshold: tuple[int, float] | None = None) -> NDArray[np.float64]:
        """Return each class's lead over the other classes, (points of y, points of x, classes).

        The lead is above 0 where the class is predicted.

        Args:
            threshold: index of a class, and the probability from which it is predicted; the most
                likely class is predicted where None.
        """
        p = self.probabilities.astype(np.float64)
        if threshold:
            index, value = threshold
            lead = p[:, :, index] - value
            signs = np.where(np.arange(p.shape[2]) == index, 1, -1)
            return lead[:, :, None] * signs
        second, first = np.sort(p, axis=2)[:, :, -2:].transpose(2, 0, 1)
        best_other = np.where(p == first[:, :, None], second[:, :, None], first[:, :, None])
        margins: NDArray[np.float64] = p - best_other
        return margins


def partial_dependence(
    predict: Predict,
    numbers: NDArray[np.float64],
    categories: NDArray[Any],
    index: int,
    rng: np.random.Generator,
) -> Dependence:
    """Return the partial dependence on one feature.

    Args:
        predict: the model.
        numbers: (rows, numbers).
        categories: (rows, categories).
        index: of the feature, counted through numbers, then categories; at least one row has a
            value.
        rng: draws the rows if there are more than `ROWS`.
    """
    rows = draw_rows(len(numbers), ROWS, rng)
    kind = int(index >= numbers.shape[1])  # 0 for a number, 1 for a category
    column = index - kind * numbers.shape[1]
    left_out = 0
    if kind:
        values, left_out = _most_frequent(categories[:, column])
    else:
        values = _grid_of_numbers(numbers[:, column])
    parts = [np.repeat(part[None, rows], len(values), axis=0) for part in (numbers, categories)]
    parts[kind][:, :, column] = values[:, None]
    flat = [part.reshape(len(values) * len(rows), part.shape[2]) for part in parts]
    probabilities = predict(*flat).astype(np.float64)
    means = probabilities.reshape(len(values), len(rows), -1).mean(axis=1)
    return Dependence(values, means, len(rows), left_out)


def decision_map(predict: Predict, numbers: NDArray[np.float64]) -> DecisionMap:
    """Return the predictions over the range of two number features, without outliers.

    Args:
        predict: a model of two number features.
        numbers: real rows, (rows, 2), with at least one value in each column.
    """
    x, y = (_map_values(column) for column in numbers.T)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    probabilities = predict(grid, np.empty((len(grid), 0), dtype=object))
    return DecisionMap(x, y, probabilities.reshape(len(y), len(x), -1))


def _grid_of_numbers(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all distinct values if they are few, otherwise `POINTS` evenly spaced values."""
    known = column[~np.isnan(column)]
    distinct = np.unique(known)
    if len(distinct) <= POINTS:
        return distinct
    low, high = _quantiles(known, TAIL)
    if not low < high:
        return distinct[[0, -1]]
    return 4 * np.linspace(low / 4, high / 4, POINTS)


def _quantiles(known: NDArray[np.float64], tail: float) -> tuple[float, float]:
    # Quarters are exact; the difference of two values near 1e308 would overflow.
    low, high = 4 * np.quantile(known / 4, [tail, 1 - tail])
    return float(low), float(high)


def _map_values(column: NDArray[np.float64]) -> NDArray[np.float64]:
    known = column[~np.isnan(column)]
    # A fifth of the tail of a curve, because a map shows points, and readers expect nearly all.
    low, high = (edge / 4 for edge in _quantiles(known, TAIL / 5))
    margin = (high - low) * MARGIN or 0.5
    return 4 * np.linspace(low - margin, high + margin, GRID).clip(-HIGHEST, HIGHEST)


def _most_frequent(column: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the most frequent texts, ties in alphabetical order, and the number of the others."""
    counts = Counter(text for text in column.tolist() if text)
    texts = sorted(counts, key=lambda text: (-counts[text], text))
    values = np.empty(min(len(texts), LEVELS), dtype=object)
    values[:] = texts[:LEVELS]
    return values, len(texts) - len(values)
