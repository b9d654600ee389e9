"""A decision threshold: from which probability on one of two classes is answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError

RECALL = re.compile(r"recall@(0(?:\.\d+)?|1(?:\.0*)?)")
"""Recall at a precision that must be reached: ``recall@0.9``."""

METRICS = ("accuracy", "f1", "recall@PRECISION")


@dataclass(frozen=True)
class Threshold:
    """From which probability on one of two classes is answered, where that is not simply 0.5.

    Attributes:
        positive: place of the class among the classes.
        value: the least probability that it is answered with; a float32 value.
        metric: what it was chosen for.
    """

    positive: int
    value: float
    metric: str


def check_metric(metric: str) -> None:
    """Raise SettingError for what is none of `METRICS`."""
    if metric not in METRICS[:2] and not RECALL.fullmatch(metric):
        raise SettingError(
            "--threshold",
            f"is {metric!r}, expected accuracy, f1, or recall at a precision, as in recall@0.9",
        )


def best_threshold(metric: str, positive: NDArray[np.bool_], chances: NDArray[Any]) -> float:
    """The threshold that is best on rows that were not fitted to.

    It lies half way between the two probabilities that it parts, so that it serves rows like
    these, not these alone; a float32 value. Of thresholds that are as good, the highest that
    answers any of these rows with the class.

    Args:
        metric: one of `METRICS`.
        positive: which rows are of the class, (rows,).
        chances: the class's probability for each row, float32 (rows,).

    Raises:
        SettingError: for another metric, a precision that no threshold reaches, or no row of the
            class.
    """
    check_metric(metric)
    if not positive.any():
        raise SettingError("--threshold", "can't be chosen: no row to choose by is of the class")
    order = np.argsort(-chances, kind="stable")
    values, rows = chances[order].astype(np.float64), len(chances)
    # The likeliest row is answered with the class, the two likeliest, ... all; and last, none.
    answered, hits = np.append(np.arange(1, rows + 1), 0), np.append(np.cumsum(positive[order]), 0)
    upper, lower = np.append(values, 1.0), np.concatenate([values[1:], [0.0], values[:1]])
    parted = lower < upper  # rows of the same probability can't be
    parted[rows - 1] = True
    wanted, precision = int(hits[rows - 1]), hits / np.maximum(answered, 1)
    if metric == "accuracy":
        figure = (hits + (rows - wanted) - (answered - hits)) / rows
    elif metric == "f1":
        figure = 2 * hits / (answered + wanted)
    else:
        found = RECALL.fullmatch(metric)
        least = float(found[1]) if found else 1.0
        figure = np.where((precision >= least) & (answered > 0), hits / wanted, -1.0)
        if not (figure[parted] >= 0).any():
            raise SettingError(
                "--threshold",
                f"is {metric!r}, but the precision of {precision[parted].max():.3g} is the highest "
                "on the validation rows",
            )
    best = int(np.argmax(np.where(parted, figure, -2.0)))
    middle = np.float32((upper[best] + lower[best]) / 2)
    # Between two float32 values side by side there is none: it may be the lower one.
    return float(middle if middle > lower[best] else upper[best])
