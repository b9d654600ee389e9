"""Confidence intervals of scores by the bootstrap (Efron 1979).

Each resample draws as many rows as were scored, with replacement. A score's interval lies between
quantiles of its values in the resamples. All methods are scored on the same resamples, so that their
differences have intervals too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import BINS, most_likely
from .scores import above_zero, squared_errors

MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 200

BUDGET = 10_000_000
"""Target for rows x classes x resamples: a fraction of a second."""

BLOCK_CELLS = 2**21
"""Weights in memory at a time: 16 MB."""

LEVEL = 0.95
"""Share of such intervals that contain the score on all rows of this kind."""

BINARY = 2


@dataclass(frozen=True)
class Predictions:
    """The predictions of one method for the scored rows.

    Attributes:
        probabilities: (rows, classes).
        predicted: predicted class indices, int64 (rows,).
    """

    probabilities: NDArray[np.floating]
    predicted: NDArray[np.int64]

    @classmethod
    def most_likely(cls, probabilities: NDArray[np.floating]) -> Predictions:
        """Return the predictions of a method without a threshold."""
        return cls(probabilities, probabilities.argmax(axis=1))


@dataclass(frozen=True)
class Interval:
    """The bounds of an interval; NaN if they are unknown."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Resamples:
    """The scores of one method in every resample.

    Attributes:
        figures: float64 (resamples,) by score, with the names of ``Scores``.
        rows: number of scored rows.
    """

    figures: Mapping[str, NDArray[np.float64]]
    rows: int

    def interval(self, name: str) -> Interval:
        """Return the interval of a score."""
        figures = self.figures[name]
        if name == "accuracy" and np.ptp(figures) == 0 and figures[0] in (0.0, 1.0):
            return _exact_interval(float(figures[0]), self.rows)
        return interval(figures)


def interval(figures: NDArray[np.float64]) -> Interval:
    """Return the interval between the outer quantiles of the figures, (resamples,), without NaN."""
    known = figures[~np.isnan(figures)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    lower, upper = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(lower), float(upper))


def bootstrap(
    labels: NDArray[np.int64],
    methods: Mapping[str, Predictions],
    rng: np.random.Generator,
    resamples: int | None = None,
) -> dict[str, Resamples]:
    """Return the scores of every method in the same resamples, by name.

    Args:
        labels: true class indices, (rows,); at least one row.
        methods: the predictions of each method, by name.
        rng: draws the rows.
        resamples: number of resamples; where None, fewer for many rows and classes.
    """
    classes = max((one.probabilities.shape[1] for one in methods.values()), default=1)
    count = resamples or _affordable(len(labels), classes)
    measures = {name: _measure(labels, predictions) for name, predictions in methods.items()}
    blocks: dict[str, list[dict[str, NDArray[np.float64]]]] = {name: [] for name in methods}
    step = max(BLOCK_CELLS // len(labels), 1)
    for start in range(0, count, step):
        weights = _weights(len(labels), min(step, count - start), rng)
        for name, measure in measures.items():
            blocks[name].append(measure(weights))
    return {
        name: Resamples(
            {score: np.concatenate([block[score] for block in parts]) for score in parts[0]},
            len(labels),
        )
        for name, parts in blocks.items()
    }


def _affordable(rows: int, classes: int) -> int:
    """Return the number of resamples within `BUDGET`."""
    # With two classes, both areas under the curve are equal.
    areas = 1 if classes == BINARY else classes
    return min(max(BUDGET // (rows * areas), FEWEST_RESAMPLES), MOST_RESAMPLES)


def _exact_interval(accuracy: float, rows: int) -> Interval:
    """Return the exact binomial interval (Clopper, Pearson 1934) of an accuracy of 0 or 1.

    If all rows are right, or none, all resamples agree, and their quantiles say nothing.
    """
    edge = ((1 - LEVEL) / 2) ** (1 / rows)
    return Interval(edge, 1.0) if accuracy else Interval(0.0, 1 - edge)


def _weights(rows: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each resample has each row, (count, rows)."""
    weights = np.empty((count, rows))
    for line in weights:
        line[:] = np.bincount(rng.integers(rows, size=rows), minlength=rows)
    return weights


Measure = Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]
"""A function from weights (resamples, rows) to scores (resamples,) by name."""


def _measure(labels: NDArray[np.int64], predictions: Predictions) -> Measure:
    """Return the function that scores the predictions under weights."""
    probabilities, predicted = predictions.probabilities, predictions.predicted
    rows, classes = probabilities.shape
    most_likely_class, bin_of_row = most_likely(probabilities)
    gap = (most_likely_class == labels) - probabilities.max(axis=1).astype(np.float64)
    log_losses = -np.log(above_zero(probabilities)[np.arange(rows), labels])
    row_errors = np.stack([log_losses, squared_errors(labels, probabilities)], axis=1)
    # The non-empty cells of the confusion matrix, and the cell of each row.
    cells, cell_of_row = np.unique(labels * classes + predicted, return_inverse=True)
    true_of_cell, predicted_of_cell = np.divmod(cells, classes)
    areas = _areas(labels, probabilities)

    def measure(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        counts = np.empty((len(weights), len(cells)))
        gaps = np.empty((len(weights), BINS))
        for line, weight in enumerate(weights):
            counts[line] = np.bincount(cell_of_row, weight, len(cells))
            gaps[line] = np.bincount(bin_of_row, weight * gap, BINS)
        right = counts * (true_of_cell == predicted_of_cell)
        hits = _by_class(right, true_of_cell, classes)
        true = _by_class(counts, true_of_cell, classes)
        predicted_rows = _by_class(counts, predicted_of_cell, classes)
        occurring = np.count_nonzero(true, axis=1)
        f1 = np.where(true > 0, 2 * hits / np.maximum(true + predicted_rows, 1), 0)
        log_loss, brier = (weights @ row_errors / rows).T
        return {
            "accuracy": right.sum(axis=1) / rows,
            "balanced_accuracy": (hits / np.maximum(true, 1)).sum(axis=1) / occurring,
            "log_loss": log_loss,
            "macro_f1": f1.sum(axis=1) / occurring,
            "roc_auc": areas(weights),
            "expected_calibration_error": np.abs(gaps).sum(axis=1) / rows,
            "brier_score": brier,
        }

    return measure


def _by_class(
    counts: NDArray[np.float64], class_of_cell: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Return the sums of counts (resamples, cells) over each class, (resamples, classes)."""
    totals = np.zeros((classes, len(counts)))
    np.add.at(totals, class_of_cell, counts.T)
    return totals.T


def _areas(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function from weights to the mean ROC AUC, (resamples,); NaN if there is none."""
    classes = probabilities.shape[1]
    ranked = []
    for c in range(1, BINARY) if classes == BINARY else range(classes):
        own, others = np.flatnonzero(labels == c), np.flatnonzero(labels != c)
        if len(own) and len(others):
            others = others[np.argsort(probabilities[others, c], kind="stable")]
            values = probabilities[others, c]
            below = np.searchsorted(values, probabilities[own, c], side="left")
            tied = np.searchsorted(values, probabilities[own, c], side="right")
            ranked.append((own, others, below, tied))

    def areas(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total, known = np.zeros(len(weights)), np.zeros(len(weights))
        for own, others, below, tied in ranked:
            cumulative = np.zeros((len(weights), len(others) + 1))
            np.cumsum(weights[:, others], axis=1, out=cumulative[:, 1:])
            weight = weights[:, own]
            # Mann and Whitney: ordered pairs count 1, tied pairs count half.
            won = np.einsum("ij,ij->i", weight, cumulative[:, below] + cumulative[:, tied]) / 2
            pairs = weight.sum(axis=1) * cumulative[:, -1]
            total += np.divide(won, pairs, out=np.zeros_like(won), where=pairs > 0)
            known += pairs > 0
        mean: NDArray[np.float64] = np.full(len(total), np.nan)
        return np.divide(total, known, out=mean, where=known > 0)

    return areas
