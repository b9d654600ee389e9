"""Scores of probabilities against the truth: arrays in, named figures out.

Formulas are scikit-learn's (``sklearn.metrics``), named as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

SMALLEST = 1e-7
"""Probabilities are held above this for the log loss, for a hard 0 would make it infinite."""


@dataclass(frozen=True)
class Scores:
    """How good a set of predictions is. All but ``log_loss`` are better when larger.

    Attributes:
        rows: how many rows were scored.
        accuracy: share of rows whose likeliest class is right.
        balanced_accuracy: the mean of each class's share of right rows.
        log_loss: mean of -log of the true class's probability, in nats.
        macro_f1: the mean of each class's F1.
        roc_auc: the mean over classes of one-against-the-rest; NaN where no class can be scored.
        confusion: rows by true class and predicted class, int64 (classes, classes).
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    macro_f1: float
    roc_auc: float
    confusion: NDArray[np.int64]


def score(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Scores:
    """The scores of one set of predictions.

    Args:
        labels: the true class of each row, (rows,); at least one row.
        probabilities: (rows, classes), each row summing to one.
    """
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    held = np.clip(probabilities.astype(np.float64), SMALLEST, 1)
    held /= held.sum(axis=1, keepdims=True)
    # Of the classes that occur: one that has no row in a small test part has no share either.
    recalls = [float(np.mean(predicted[labels == c] == c)) for c in classes if (labels == c).any()]
    return Scores(
        rows=len(labels),
        accuracy=float(np.mean(predicted == labels)),
        balanced_accuracy=float(np.mean(recalls)),
        log_loss=float(metrics.log_loss(labels, held, labels=classes)),
        macro_f1=float(
            metrics.f1_score(
                labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
            )
        ),
        roc_auc=_roc_auc(labels, probabilities),
        confusion=metrics.confusion_matrix(labels, predicted, labels=classes),
    )


def _roc_auc(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Mean one-against-the-rest area over the classes that some rows have and some have not."""
    areas = [
        metrics.roc_auc_score(labels == c, probabilities[:, c])
        for c in range(probabilities.shape[1])
        if 0 < np.count_nonzero(labels == c) < len(labels)
    ]
    return float(np.mean(areas)) if areas else float("nan")
