"""Baselines: simple methods on the same rows, to which the network is compared."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBORS = 15

ROWS = 10_000
"""Most training rows of the baselines, so that they stay fast."""

ITERATIONS = 200
"""Most iterations of logistic regression; more change its scores by less than the split does."""


def baseline_probabilities(
    training: tuple[NDArray[np.float32], NDArray[np.int64]],
    inputs: NDArray[np.float32],
    classes: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """Fit three baselines and return their probabilities, (rows to predict, classes), by name.

    Args:
        training: network inputs (rows, inputs) and class indices (rows,), of at least two classes.
        inputs: of the rows to predict, (rows to predict, inputs).
        classes: number of classes.
        rng: draws the training rows if there are more than ``ROWS``.
    """
    # Imported here, because scikit-learn takes two seconds to import.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415

    x, y = training
    if len(y) > ROWS:
        drawn = rows_compared(y, rng)
        x, y = x[drawn], y[drawn]
    neighbors = KNeighborsClassifier(min(NEIGHBORS, len(y)))
    regression = LogisticRegression(max_iter=ITERATIONS)
    return {
        "commonest class": _class_shares(training[1], len(inputs), classes),
        f"{neighbors.n_neighbors} nearest neighbors": _fit_and_predict(
            neighbors, x, y, inputs, classes
        ),
        "logistic regression": _fit_and_predict(regression, x, y, inputs, classes),
    }


def rows_compared(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of ``ROWS`` random rows and of one row of each class; of all if fewer.

    Args:
        labels: class indices, (rows,).
        rng: draws the rows.
    """
    if len(labels) <= ROWS:
        return np.arange(len(labels))
    _, first_of_class = np.unique(labels, return_index=True)
    return np.union1d(rng.choice(len(labels), ROWS, replace=False), first_of_class)


def _class_shares(labels: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.float64]:
    """Return the class shares of the training rows as the probabilities of every row."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return np.tile(shares, (rows, 1))


def _fit_and_predict(
    estimator: Any,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    inputs: NDArray[np.float32],
    classes: int,
) -> NDArray[np.float64]:
    """Return a scikit-learn classifier's probabilities; 0 for classes without a training row."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - see above

    with warnings.catch_warnings():
        # Reaching ITERATIONS is fine.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(x, y)
    probabilities = np.zeros((len(inputs), classes))
    probabilities[:, estimator.classes_] = estimator.predict_proba(inputs)
    return probabilities
