"""What simple methods make of the same rows: a network that is no better has learnt nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBORS = 15

ROWS = 10_000
"""Training rows that neighbors and regression see at most, so that they stay quick."""

ITERATIONS = 200
"""Of logistic regression at most; more change its scores by less than the split does."""


def baseline_answers(
    training: tuple[NDArray[np.float32], NDArray[np.int64]],
    inputs: NDArray[np.float32],
    classes: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """What three baselines that were fitted on the training rows say of others.

    Args:
        training: network inputs (rows, inputs) and labels (rows,), of two classes or more.
        inputs: of the rows to answer, (rows to answer, inputs).
        classes: how many classes there are.
        rng: picks the training rows where there are more than ``ROWS``; one of each class, at least.

    Returns:
        Probabilities, (rows to answer, classes), by the baseline's name.
    """
    # It takes two seconds to import: not before a network was fitted that is to be compared.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415

    x, y = training
    if len(y) > ROWS:
        picked = rows_compared(y, rng)
        x, y = x[picked], y[picked]
    neighbors = KNeighborsClassifier(min(NEIGHBORS, len(y)))
    regression = LogisticRegression(max_iter=ITERATIONS)
    return {
        "commonest class": _commonest(training[1], len(inputs), classes),
        f"{neighbors.n_neighbors} nearest neighbors": _fitted(neighbors, x, y, inputs, classes),
        "logistic regression": _fitted(regression, x, y, inputs, classes),
    }


def rows_compared(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of ``ROWS`` rows, by chance, and of one row of each class; of all where there are fewer.

    Args:
        labels: the class of each row, (rows,).
        rng: picks them.
    """
    if len(labels) <= ROWS:
        return np.arange(len(labels))
    _, first_of_class = np.unique(labels, return_index=True)
    return np.union1d(rng.choice(len(labels), ROWS, replace=False), first_of_class)


def _commonest(labels: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.float64]:
    """The class shares of the training rows, for every row: its likeliest class is the commonest."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return np.tile(shares, (rows, 1))


def _fitted(
    estimator: Any,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    inputs: NDArray[np.float32],
    classes: int,
) -> NDArray[np.float64]:
    """What a scikit-learn classifier says; a class that it was not shown has probability 0."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - see above

    with warnings.catch_warnings():
        # Stopping at ITERATIONS is meant.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(x, y)
    probabilities = np.zeros((len(inputs), classes))
    probabilities[:, estimator.classes_] = estimator.predict_proba(inputs)
    return probabilities
