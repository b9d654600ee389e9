"""Scores of saved probabilities, by one code for every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-7
"""Probabilities are held above this for the log loss; a hard 0 would make it infinite."""

BINS = 15
"""Bins of equal width for the calibration error, as in Guo et al. 2017, arXiv 1706.04599."""

SUMMING = 1e-3
"""How far from one a row of probabilities may sum up."""


class AnswerRefused(Exception):
    """Probabilities that can't be scored."""


@dataclass(frozen=True)
class Scores:
    """How good the answers to a test part are.

    Attributes:
        accuracy: share of rows whose likeliest class is right.
        log_loss: mean of -log of the true class's probability, in nats.
        calibration_error: expected calibration error of the top probability: the mean over rows of
            the gap between accuracy and confidence in the row's bin.
    """

    accuracy: float
    log_loss: float
    calibration_error: float


def score(
    labels: NDArray[np.object_], classes: Sequence[str], probabilities: NDArray[Any]
) -> Scores:
    """The scores of one method on one test part.

    A row whose class the method never saw is wrong, and has the smallest probability there is.

    Args:
        labels: the true classes, (rows,).
        classes: the classes that the method knows, in its own order.
        probabilities: (rows, classes).

    Raises:
        AnswerRefused: other shapes, values that are no probabilities, or rows that don't sum to
            one.
    """
    given = np.asarray(probabilities, np.float64)
    if given.shape != (len(labels), len(classes)):
        raise AnswerRefused(
            f"probabilities have shape {given.shape}, expected {(len(labels), len(classes))}"
        )
    if not (np.abs(given.sum(axis=1) - 1) <= SUMMING).all() or (given < 0).any():
        raise AnswerRefused("probabilities are negative, no numbers, or don't sum to one")
    unseen = sorted(set(labels) - set(classes))
    names = [*classes, *unseen]
    given = np.hstack([given, np.zeros((len(labels), len(unseen)))])
    places = {name: place for place, name in enumerate(names)}
    truth = np.array([places[label] for label in labels], np.int64)
    held = np.clip(given, SMALLEST, None)
    held /= held.sum(axis=1, keepdims=True)
    right = given.argmax(axis=1) == truth
    return Scores(
        accuracy=float(right.mean()),
        log_loss=float(-np.log(held[np.arange(len(truth)), truth]).mean()),
        calibration_error=_calibration_error(right, given.max(axis=1)),
    )


def _calibration_error(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> float:
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))
