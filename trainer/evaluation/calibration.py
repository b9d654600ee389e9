"""Calibration: whether rows that are answered with a probability of 0.8 are right in 8 of 10 cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""As in Guo et al. 2017, so that figures can be compared with published ones."""


@dataclass(frozen=True)
class Reliability:
    """Rows by the probability of their likeliest class, in bins of one width from 0 to 1.

    A bin holds its upper edge. All arrays are (bins,); what an empty bin has no value for is NaN.

    Attributes:
        counts: int64, rows in each bin.
        confidence: float64, their mean probability.
        accuracy: float64, the share of them whose likeliest class is right.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """The mean over rows of how far their bin's confidence is from its accuracy."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], bins: int = BINS
) -> Reliability:
    """How sure the answers are, beside how often they are right.

    Args:
        labels: the true class of each row, (rows,); at least one row.
        probabilities: (rows, classes).
        bins: how many.
    """
    likeliest, places = winners(probabilities, bins)
    right = likeliest == labels
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is what an empty bin has
        sure = np.bincount(places, probabilities.max(axis=1), minlength=bins) / counts
        accuracy = np.bincount(places, right, minlength=bins) / counts
    return Reliability(counts, sure, accuracy)


def winners(
    probabilities: NDArray[np.floating], bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The likeliest class of each row, (rows,), and the bin of its probability, (rows,)."""
    places = np.ceil(probabilities.max(axis=1).astype(np.float64) * bins).astype(np.int64) - 1
    return probabilities.argmax(axis=1), places.clip(0, bins - 1)


def expected_calibration_error(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> float:
    """How far, in the mean, probabilities are from being right as often as they say: 0 is best.

    Of the likeliest class, in `BINS` bins of one width (Guo et al. 2017, arXiv:1706.04599).
    """
    return reliability(labels, probabilities).expected_calibration_error
