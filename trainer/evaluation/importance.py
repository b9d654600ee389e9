"""Permutation importance: how much worse the answers get when a column's values are shuffled.

After Breiman 2001 (Random Forests, section 10), for any model and any column. Columns that say the
same stand in for one another: each of them alone may look unimportant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .scores import held

Predict = Callable[[NDArray[np.float64], NDArray[Any]], NDArray[np.floating]]
"""From numbers (rows, numbers) and categories (rows, categories) to probabilities (rows, classes)."""

BUDGET = 60_000
"""Rows to be answered where there is a choice: about a second of a network of usual size."""

FEWEST_ROWS, MOST_ROWS = 200, 2000

REPEATS, REPEATED_UP_TO = 3, 50
"""Shuffles of each column, unless there are more columns than that; then it is one."""


@dataclass(frozen=True)
class Importance:
    """What shuffling each column costs; first the number columns, then the category columns.

    Attributes:
        log_loss: the rise of the log loss, float64 (columns,), in nats; about 0 where a column is
            not used.
        spread: the standard deviation of that between shuffles, (columns,); 0 with one shuffle.
        accuracy: the fall of the accuracy, float64 (columns,).
        rows: how many rows were used.
        repeats: how many shuffles.
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
    """The importance of each column for answers to these rows.

    Args:
        predict: the model.
        numbers: (rows, numbers); at least one row.
        categories: (rows, categories).
        labels: the true class of each row, (rows,).
        rng: picks the rows, where there are more than are needed, and shuffles.
    """
    columns = numbers.shape[1] + categories.shape[1]
    repeats = REPEATS if columns <= REPEATED_UP_TO else 1
    affordable = min(max(BUDGET // max(columns * repeats, 1), FEWEST_ROWS), MOST_ROWS)
    rows = some(len(labels), affordable, rng)
    numbers, categories, labels = numbers[rows], categories[rows], labels[rows]
    loss, accuracy = _measured(predict(numbers, categories), labels)
    found = np.empty((repeats, columns, 2))
    for repeat in range(repeats):
        for column in range(columns):
            shuffled = [numbers, categories]
            which = int(column >= numbers.shape[1])
            place = column - which * numbers.shape[1]
            shuffled[which] = shuffled[which].copy()
            shuffled[which][:, place] = rng.permutation(shuffled[which][:, place])
            worse, less = _measured(predict(*shuffled), labels)
            found[repeat, column] = worse - loss, accuracy - less
    return Importance(
        log_loss=found[:, :, 0].mean(axis=0),
        spread=found[:, :, 0].std(axis=0),
        accuracy=found[:, :, 1].mean(axis=0),
        rows=len(labels),
        repeats=repeats,
    )


def some(rows: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of ``most`` of the rows, ascending; all where there are no more."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(rng.choice(rows, most, replace=False))


def _measured(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Log loss and accuracy."""
    true = held(probabilities)[np.arange(len(labels)), labels]
    return float(-np.log(true).mean()), float((probabilities.argmax(axis=1) == labels).mean())
