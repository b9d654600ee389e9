"""Calibration: whether predictions with a probability of 0.8 are right in 8 of 10 cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""As in Guo et al. 2017, so that errors are comparable with published ones."""


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy of rows, binned by the probability of the most likely class.

    The bins have equal width, from 0 to 1, and include their upper edge. All arrays are (bins,).

    Attributes:
        counts: rows of each bin, int64.
        confidence: mean probability of the most likely class, float64; NaN in an empty bin.
        accuracy: share of rows whose most likely class is right, float64; NaN in an empty bin.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """The mean over rows of the distance between their bin's confidence and accuracy."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], bins: int = BINS
) -> Reliability:
    """Return confidence and accuracy by bin.

    Args:
        labels: true class indices, (rows,); at least one row.
        probabilities: (rows, classes).
        bins: number of bins.
    """
    predicted, bin_of_row = most_likely(probabilities, bins)
    right = predicted == labels
    counts = np.bincount(bin_of_row, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins gives NaN
        confidence = np.bincount(bin_of_row, probabilities.max(axis=1), minlength=bins) / counts
        accuracy = np.bincount(bin_of_row, right, minlength=bins) / counts
    return Reliability(counts, confidence, accuracy)


def most_likely(
    probabilities: NDArray[np.floating], bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each row's most likely class, (rows,), and the bin of its probability, (rows,)."""
    bin_of_row = np.ceil(probabilities.max(axis=1).astype(np.float64) * bins).astype(np.int64) - 1
    return probabilities.argmax(axis=1), bin_of_row.clip(0, bins - 1)


def expected_calibration_error(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> float:
    """Return the mean distance between confidence and accuracy, over `BINS` bins; 0 is best.

    Of the most likely class (Guo et al. 2017, arXiv:1706.04599).
    """
    return reliability(labels, probabilities).expected_calibration_error
