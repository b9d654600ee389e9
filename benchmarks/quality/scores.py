"""Scores of predicted probabilities, computed in the same way for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_PROBABILITY = 1e-7
"""Lower bound of a probability in the log loss, which 0 would make infinite."""

BINS = 15
"""Bins of equal width for the calibration error, as in Guo et al. 2017, arXiv 1706.04599."""

SUM_TOLERANCE = 1e-3
"""Largest difference of a row's sum from one."""


class UnscorableError(Exception):
    """The probabilities can't be scored."""


@dataclass(frozen=True)
class Scores:
    """The scores of predictions for a test set.

    Attributes:
        accuracy: share of rows whose most probable class is correct.
        log_loss: mean of -log of the true class's probability, in nats.
        calibration_error: expected calibration error of the largest probability: the mean over rows
            of the gap between accuracy and confidence in the row's bin.
    """

    accuracy: float
    log_loss: float
    calibration_error: float


def score(
    labels: NDArray[np.object_], classes: Sequence[str], probabilities: NDArray[Any]
) -> Scores:
    """Return the scores of predictions.

    A class that the method does not know has the smallest probability, so its rows count as wrong.

    Args:
        labels: true classes, (rows,).
        classes: the method's classes, in its own order.
        probabilities: predicted probabilities, (rows, classes).

    Raises:
        UnscorableError: the shape is wrong, a value is negative or NaN, or a row does not sum to
            one.
    """
    predicted = np.asarray(probabilities, np.float64)
    _check_probabilities(predicted, (len(labels), len(classes)))
    unknown = sorted(set(labels) - set(classes))
    names = [*classes, *unknown]
    predicted = np.hstack([predicted, np.zeros((len(labels), len(unknown)))])
    codes = {name: code for code, name in enumerate(names)}
    truth = np.array([codes[label] for label in labels], np.int64)
    bounded = np.clip(predicted, SMALLEST_PROBABILITY, None)
    bounded /= bounded.sum(axis=1, keepdims=True)
    correct = predicted.argmax(axis=1) == truth
    return Scores(
        accuracy=float(correct.mean()),
        log_loss=float(-np.log(bounded[np.arange(len(truth)), truth]).mean()),
        calibration_error=_calibration_error(correct, predicted.max(axis=1)),
    )


def _check_probabilities(predicted: NDArray[np.float64], expected: tuple[int, int]) -> None:
    if predicted.shape != expected:
        raise UnscorableError(f"probabilities have shape {predicted.shape}, expected {expected}")
    sums_to_one = np.abs(predicted.sum(axis=1) - 1) <= SUM_TOLERANCE
    if not sums_to_one.all() or (predicted < 0).any():
        raise UnscorableError("probabilities are negative or NaN, or a row does not sum to one")


def _calibration_error(correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> float:
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(correct))
