"""Permutation importance: how much the scores fall when the values of one feature are shuffled.

After Breiman 2001 (Random Forests, section 10). Correlated features share their importance: each of
them alone may look unimportant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .scores import above_zero

Predict = Callable[[NDArray[np.float64], NDArray[Any]], NDArray[np.floating]]
"""From numbers (rows, numbers) and categories (rows, categories) to probabilities (rows, classes)."""

BUDGET = 60_000
"""Target number of predictions in total: about a second with a network of default size."""

FEWEST_ROWS, MOST_ROWS = 200, 2000

REPEATS, REPEATED_UP_TO = 3, 50
"""Shuffles of each feature, and the most features that are shuffled more than once."""


@dataclass(frozen=True)
class Importance:
    """The importance of each feature, first numbers, then categories.

    Attributes:
        log_loss: rise of the log loss in nats, float64 (features,); about 0 for unused features.
        spread: standard deviation of the rise between shuffles, (features,); 0 with one shuffle.
        accuracy: fall of the accuracy, float64 (features,).
        rows: number of rows.
        repeats: number of shuffles.
    """

    log_loss: NDArray[np.float64]
    spread: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    rows: int
    repeats: int


def permutation_importance(
    predict: Predict,
    numbers: NDArray[np.float64],
    categories: NDArray[Any],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> Importance:
    """Return the importance of each feature for the predictions of these rows.

    Args:
        predict: the model.
        numbers: (rows, numbers); at least one row.
        categories: (rows, categories).
        labels: true class indices, (rows,).
        rng: draws the rows, if there are more than needed, and shuffles.
    """
    features = numbers.shape[1] + categories.shape[1]
    repeats = REPEATS if features <= REPEATED_UP_TO else 1
    affordable = min(max(BUDGET // max(features * repeats, 1), FEWEST_ROWS), MOST_ROWS)
    rows = draw_rows(len(labels), affordable, rng)
    columns, labels = (numbers[rows], categories[rows]), labels[rows]
    loss, accuracy = _loss_and_accuracy(predict(*columns), labels)
    changes = np.empty((repeats, features, 2))
    for repeat in range(repeats):
        for index in range(features):
            shuffled = _shuffle(columns, index, rng)
            shuffled_loss, shuffled_accuracy = _loss_and_accuracy(predict(*shuffled), labels)
            changes[repeat, index] = shuffled_loss - loss, accuracy - shuffled_accuracy
    return Importance(
        log_loss=changes[:, :, 0].mean(axis=0),
        spread=changes[:, :, 0].std(axis=0),
        accuracy=changes[:, :, 1].mean(axis=0),
        rows=len(labels),
        repeats=repeats,
    )


def _shuffle(
    columns: tuple[NDArray[np.float64], NDArray[Any]], index: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return numbers and categories with the values of one feature shuffled."""
    numbers, categories = columns
    if index < numbers.shape[1]:
        numbers = numbers.copy()
        numbers[:, index] = rng.permutation(numbers[:, index])
    else:
        categories, column = categories.copy(), index - numbers.shape[1]
        categories[:, column] = rng.permutation(categories[:, column])
    return numbers, categories


def draw_rows(rows: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of ``most`` random rows, ascending; of all rows if there are fewer."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(rng.choice(rows, most, replace=False))


def _loss_and_accuracy(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Return log loss and accuracy."""
    true = above_zero(probabilities)[np.arange(len(labels)), labels]
    return float(-np.log(true).mean()), float((probabilities.argmax(axis=1) == labels).mean())
