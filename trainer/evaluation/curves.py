"""ROC and precision-recall curves of one class, over all thresholds.

Defined as in ``sklearn.metrics``, which takes long to import (see ``trainer.evaluation.scores``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """A curve, and the area under it.

    Attributes:
        x: float64 (points,), ascending.
        y: float64 (points,).
        area: area under the curve, from 0 to 1.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float


def roc_curve(positive: NDArray[np.bool_], values: NDArray[np.floating]) -> Curve:
    """Return the true positive rate (y) by the false positive rate (x), without points on a line.

    Args:
        positive: which rows are of the class, (rows,).
        values: the class's probability for each row, (rows,).

    Raises:
        ValueError: all rows are positive, or none is.
    """
    hits, others = _cumulative_counts(positive, values)
    if not hits[-1] or not others[-1]:
        raise ValueError("positive holds one value only, expected both")
    x = np.concatenate([[0.0], others / others[-1]])
    y = np.concatenate([[0.0], hits / hits[-1]])
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    corners = _corners(np.concatenate([[0], hits]), np.concatenate([[0], others]))
    return Curve(x[corners], y[corners], area)


def precision_recall_curve(positive: NDArray[np.bool_], values: NDArray[np.floating]) -> Curve:
    """Return precision (y) by recall (x), as steps whose area is the average precision.

    Args:
        positive: which rows are of the class, (rows,).
        values: the class's probability for each row, (rows,).

    Raises:
        ValueError: no row is positive.
    """
    hits, others = _cumulative_counts(positive, values)
    if not hits[-1]:
        raise ValueError("positive is false for all rows, expected at least one positive row")
    recall, precision = hits / hits[-1], hits / (hits + others)
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    x, y = np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])
    return Curve(x, y, area)


def _cumulative_counts(
    positive: NDArray[np.bool_], values: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many positive and other rows are at or above each distinct value, descending."""
    order = np.argsort(-values, kind="stable")
    is_last_of_value = np.append(np.diff(values[order]) < 0, True)
    hits = np.cumsum(positive[order])[is_last_of_value]
    rows = np.flatnonzero(is_last_of_value) + 1
    return hits, rows - hits


def _corners(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which points are ends or change the direction of the line, (points,)."""
    dx, dy = np.diff(x), np.diff(y)
    turns = dx[1:] * dy[:-1] != dx[:-1] * dy[1:]
    return np.concatenate([[True], turns, [True]])
