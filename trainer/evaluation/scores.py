"""Scores of probabilities against the truth: arrays in, named figures out.

Named and defined as in scikit-learn (``sklearn.metrics``), which is not used here because importing
it takes longer than fitting a small table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import expected_calibration_error

FEW_ROWS = 100
"""Below this, all figures are rough."""

SMALLEST = 1e-7
"""Probabilities are held above this for the log loss, for a hard 0 would make it infinite."""


@dataclass(frozen=True)
class Scores:
    """How good a set of predictions is.

    The log loss, the calibration error and the Brier score are better when smaller, the others when
    larger.

    Attributes:
        rows: how many rows were scored.
        accuracy: share of rows whose likeliest class is right.
        balanced_accuracy: the mean of each class's share of right rows.
        log_loss: mean of -log of the true class's probability, in nats.
        macro_f1: the mean of each class's F1.
        roc_auc: the mean over classes of one-against-the-rest; NaN where no class can be scored.
        expected_calibration_error: how far probabilities are from being right as often as they
            say, by the likeliest class.
        brier_score: mean squared distance of the probabilities from the truth, from 0 to 2; half of
            that for two classes.
        confusion: rows by true class and predicted class, int64 (classes, classes).
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    macro_f1: float
    roc_auc: float
    expected_calibration_error: float
    brier_score: float
    confusion: NDArray[np.int64]


def score(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    predicted: NDArray[np.int64] | None = None,
) -> Scores:
    """The scores of one set of predictions.

    Args:
        labels: the true class of each row, (rows,); at least one row.
        probabilities: (rows, classes), each row summing to one.
        predicted: the class answered for each row, (rows,); the likeliest one where None.
    """
    rows, classes = probabilities.shape
    if predicted is None:
        predicted = probabilities.argmax(axis=1)
    counts = np.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = counts.reshape(classes, classes)
    right, true = confusion.diagonal(), confusion.sum(axis=1)
    # Of the classes that occur: one that has no row in a small test part has no share either.
    occurs = true > 0
    return Scores(
        rows=rows,
        accuracy=float(right.sum() / rows),
        balanced_accuracy=float(np.mean(right[occurs] / true[occurs])),
        log_loss=float(-np.mean(np.log(held(probabilities)[np.arange(rows), labels]))),
        macro_f1=float(np.mean((2 * right / (true + confusion.sum(axis=0)).clip(1))[occurs])),
        roc_auc=_roc_auc(labels, probabilities),
        expected_calibration_error=expected_calibration_error(labels, probabilities),
        brier_score=float(np.mean(squared_errors(labels, probabilities))),
        confusion=confusion,
    )


def held(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """The same held above `SMALLEST`, for logarithms; float64 (rows, classes), rows sum to one."""
    found: NDArray[np.float64] = np.clip(probabilities.astype(np.float64), SMALLEST, 1)
    found /= found.sum(axis=1, keepdims=True)
    return found


def squared_errors(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Each row's part in the Brier score (Brier 1950), float64 (rows,).

    For two classes it is the square for one of them, as the score is used since, else the sum of
    the squares for all.
    """
    rows, classes = probabilities.shape
    p = probabilities.astype(np.float64)
    true = p[np.arange(rows), labels]
    # (p - y)^2 summed over the classes, where y is 1 for the true one.
    errors: NDArray[np.float64] = np.einsum("ij,ij->i", p, p) - true**2 + (1 - true) ** 2
    return errors / 2 if classes == 2 else errors  # noqa: PLR2004 - two classes


def _roc_auc(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Mean one-against-the-rest area over the classes that some rows have and some have not."""
    areas = [
        _area(labels == c, probabilities[:, c])
        for c in range(probabilities.shape[1])
        if 0 < np.count_nonzero(labels == c) < len(labels)
    ]
    return float(np.mean(areas)) if areas else float("nan")


def _area(positive: NDArray[np.bool_], values: NDArray[np.floating]) -> float:
    """The share of pairs of a positive and another row that ``values`` rank rightly, ties half.

    Which is the area under the curve, by the ranks of Mann and Whitney.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    n = np.count_nonzero(positive)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n)))
