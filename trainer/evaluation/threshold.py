"""A decision threshold: the probability from which one of two classes is predicted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError

RECALL_AT_PRECISION = re.compile(r"recall@(0(?:\.\d+)?|1(?:\.0*)?)")
"""Recall at a minimum precision: ``recall@0.9``."""

METRICS = ("accuracy", "f1", "recall@PRECISION")


@dataclass(frozen=True)
class Threshold:
    """The decision threshold of a model of two classes.

    Attributes:
        positive: index of the threshold's class.
        value: the lowest probability that predicts the class; a float32 value.
        metric: the metric that it maximizes.
    """

    positive: int
    value: float
    metric: str


def check_metric(metric: str) -> None:
    """Raise SettingError if the metric is not one of `METRICS`."""
    if metric not in METRICS[:2] and not RECALL_AT_PRECISION.fullmatch(metric):
        raise SettingError(
            "--threshold",
            f"is {metric!r}, expected accuracy, f1, or recall at a precision, as in recall@0.9",
        )


def best_threshold(metric: str, positive: NDArray[np.bool_], probabilities: NDArray[Any]) -> float:
    """Return the threshold with the best metric on held-out rows, a float32 value.

    It lies half way between two neighboring probabilities. Of equally good thresholds, the highest
    one wins that predicts the class for any of these rows.

    Args:
        metric: one of `METRICS`.
        positive: which rows are of the class, (rows,).
        probabilities: the class's probability for each row, float32 (rows,).

    Raises:
        SettingError: the metric is unknown, no threshold reaches its precision, or no row is of the
            class.
    """
    check_metric(metric)
    if not positive.any():
        raise SettingError(
            "--threshold", "can't be chosen, because no validation row has the class"
        )
    order = np.argsort(-probabilities, kind="stable")
    values, rows = probabilities[order].astype(np.float64), len(probabilities)
    # Candidate i predicts the class for the i + 1 most likely rows; the last one for no row.
    predicted, hits = np.append(np.arange(1, rows + 1), 0), np.append(np.cumsum(positive[order]), 0)
    upper, lower = np.append(values, 1.0), np.concatenate([values[1:], [0.0], values[:1]])
    possible = lower < upper  # no threshold separates rows of equal probability
    possible[rows - 1] = True
    figures = _metric_values(metric, predicted, hits)
    if not (figures[possible] >= 0).any():
        highest = (hits / np.maximum(predicted, 1))[possible].max()
        raise SettingError(
            "--threshold",
            f"is {metric!r}, but the highest precision on the validation rows is {highest:.3g}",
        )
    best = int(np.argmax(np.where(possible, figures, -2.0)))
    middle = np.float32((upper[best] + lower[best]) / 2)
    # Rounding the middle of two adjacent float32 values may give the lower one.
    return float(middle if middle > lower[best] else upper[best])


def _metric_values(
    metric: str, predicted: NDArray[np.int64], hits: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the metric of each candidate; -1 where its precision is too low.

    Args:
        metric: one of `METRICS`.
        predicted: rows that the candidate predicts as the class; the second to last predicts all.
        hits: rows of the class among them.
    """
    rows, positives = int(predicted[-2]), int(hits[-2])
    if metric == "accuracy":
        return (hits + (rows - positives) - (predicted - hits)) / rows
    if metric == "f1":
        return 2 * hits / (predicted + positives)
    stated = RECALL_AT_PRECISION.fullmatch(metric)
    least = float(stated[1]) if stated else 1.0
    precision = hits / np.maximum(predicted, 1)
    return np.where((precision >= least) & (predicted > 0), hits / positives, -1.0)
