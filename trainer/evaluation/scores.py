"""Scores of predicted probabilities.

Named and defined as in ``sklearn.metrics``. scikit-learn is not used here, because importing it takes
longer than fitting a small table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import expected_calibration_error

FEW_ROWS = 100
"""Scores from fewer rows are rough."""

SMALLEST = 1e-7
"""Lower bound of probabilities in the log loss, because a 0 would make it infinite."""


@dataclass(frozen=True)
class Scores:
    """The scores of a set of predictions.

    Lower is better for log loss, calibration error and Brier score; higher for the others.

    Attributes:
        rows: number of scored rows.
        accuracy: share of right predictions.
        balanced_accuracy: mean of each class's share of right predictions.
        log_loss: mean of -log of the true class's probability, in nats.
        macro_f1: mean of each class's F1.
        roc_auc: mean over classes of one against the rest; NaN if all rows are of one class.
        expected_calibration_error: mean distance between probability and accuracy of the most
            likely class.
        brier_score: mean squared error of the probabilities, from 0 to 2; half of it for two
            classes.
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
    """Return the scores of a set of predictions.

    Args:
        labels: true class indices, (rows,); at least one row.
        probabilities: (rows, classes); each row sums to 1.
        predicted: predicted class indices, (rows,); the most likely classes where None.
    """
    rows, classes = probabilities.shape
    if predicted is None:
        predicted = probabilities.argmax(axis=1)
    counts = np.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = counts.reshape(classes, classes)
    right, true = confusion.diagonal(), confusion.sum(axis=1)
    # Means are over the classes that occur: a class without a test row has no recall.
    occurs = true > 0
    return Scores(
        rows=rows,
        accuracy=float(right.sum() / rows),
        balanced_accuracy=float(np.mean(right[occurs] / true[occurs])),
        log_loss=float(-np.mean(np.log(above_zero(probabilities)[np.arange(rows), labels]))),
        macro_f1=float(np.mean((2 * right / (true + confusion.sum(axis=0)).clip(1))[occurs])),
        roc_auc=_roc_auc(labels, probabilities),
        expected_calibration_error=expected_calibration_error(labels, probabilities),
        brier_score=float(np.mean(squared_errors(labels, probabilities))),
        confusion=confusion,
    )


def above_zero(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probabilities clipped to `SMALLEST` and normalized, float64 (rows, classes)."""
    clipped: NDArray[np.float64] = np.clip(probabilities.astype(np.float64), SMALLEST, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return clipped


def squared_errors(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return each row's summand of the Brier score (Brier 1950), float64 (rows,).

    With two classes it is the squared error of one class, as in scikit-learn, otherwise the sum of
    the squared errors of all classes.
    """
    rows, classes = probabilities.shape
    p = probabilities.astype(np.float64)
    true = p[np.arange(rows), labels]
    # (p - y)^2 summed over the classes, where y is 1 for the true one.
    errors: NDArray[np.float64] = np.einsum("ij,ij->i", p, p) - true**2 + (1 - true) ** 2
    return errors / 2 if classes == 2 else errors  # noqa: PLR2004 - two classes


def _roc_auc(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Return the mean one-against-the-rest area; NaN if all rows are of one class."""
    areas = [
        _area(labels == c, probabilities[:, c])
        for c in range(probabilities.shape[1])
        if 0 < np.count_nonzero(labels == c) < len(labels)
    ]
    return float(np.mean(areas)) if areas else float("nan")


def _area(positive: NDArray[np.bool_], values: NDArray[np.floating]) -> float:
    """Return the area under the ROC curve, by the ranks of Mann and Whitney.

    It is the share of pairs of a positive and another row that ``values`` rank right; ties count
    half.
    """
    _, rank_of_row, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[rank_of_row]
    n = np.count_nonzero(positive)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n)))
