"""Curves over all thresholds: what is gained and what is paid as a class is answered more often.

Defined as in scikit-learn (``sklearn.metrics``); see ``trainer.evaluation.scores`` on why not by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """Points from left to right, and the area below them.

    Attributes:
        x: float64 (points,), ascending.
        y: float64 (points,).
        area: from 0 to 1.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float


def roc_curve(positive: NDArray[np.bool_], values: NDArray[np.floating]) -> Curve:
    """The share of positive rows found (y) over the share of the others taken for positive (x).

    Points between which the line is straight are left out.

    Args:
        positive: which rows are of the class, (rows,).
        values: the class's probability for each row, (rows,).

    Raises:
        ValueError: when all rows are positive, or none is.
    """
    hits, others = _counted(positive, values)
    if not hits[-1] or not others[-1]:
        raise ValueError("positive holds one value only, expected both")
    x = np.concatenate([[0.0], others / others[-1]])
    y = np.concatenate([[0.0], hits / hits[-1]])
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    kept = _corners(np.concatenate([[0], hits]), np.concatenate([[0], others]))
    return Curve(x[kept], y[kept], area)


def precision_recall_curve(positive: NDArray[np.bool_], values: NDArray[np.floating]) -> Curve:
    """The share of answers that are right (y) over the share of positive rows found (x).

    Between two points y is that of the right one; the area below these steps is the average
    precision.

    Args:
        positive: which rows are of the class, (rows,).
        values: the class's probability for each row, (rows,).

    Raises:
        ValueError: when no row is positive.
    """
    hits, others = _counted(positive, values)
    if not hits[-1]:
        raise ValueError("positive is nowhere true, expected at least one row")
    recall, precision = hits / hits[-1], hits / (hits + others)
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    x, y = np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])
    return Curve(x, y, area)


def _counted(
    positive: NDArray[np.bool_], values: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positive and other rows at or above each different value, the largest first."""
    order = np.argsort(-values, kind="stable")
    falls = np.append(np.diff(values[order]) < 0, True)
    hits = np.cumsum(positive[order])[falls]
    answered = np.flatnonzero(falls) + 1
    return hits, answered - hits


def _corners(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which points a line through them needs: the ends, and where it changes direction."""
    dx, dy = np.diff(x), np.diff(y)
    turns = dx[1:] * dy[:-1] != dx[:-1] * dy[1:]
    return np.concatenate([[True], turns, [True]])
