"""Confidence intervals of scores by the bootstrap (Efron 1979): the rows are drawn anew many times.

Each resample has as many rows as were scored, drawn with replacement; a score's interval lies
between quantiles of what it is in the resamples. All sets of answers are scored on the same
resamples, so that their differences have intervals too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import BINS, winners
from .scores import held, squared_errors

MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 200

BUDGET = 10_000_000
"""Cells - rows, classes, resamples - to look at where there is a choice: a fraction of a second."""

BLOCK_CELLS = 2**21
"""Weights held at a time: 16 MB."""

LEVEL = 0.95
"""Share of intervals that hold the true score, if rows like these are what it is used on."""

TWO = 2


@dataclass(frozen=True)
class Answers:
    """What some method says of the scored rows.

    Attributes:
        probabilities: (rows, classes).
        predicted: the place of the class that is answered, int64 (rows,).
    """

    probabilities: NDArray[np.floating]
    predicted: NDArray[np.int64]

    @classmethod
    def likeliest(cls, probabilities: NDArray[np.floating]) -> Answers:
        """The answers of a method without a threshold."""
        return cls(probabilities, probabilities.argmax(axis=1))


@dataclass(frozen=True)
class Interval:
    """From where to where; NaN where nothing is known."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Resamples:
    """The scores of one set of answers in every resample.

    Attributes:
        figures: float64 (resamples,) by the name of the score, as in ``Scores``.
        rows: how many were scored.
    """

    figures: Mapping[str, NDArray[np.float64]]
    rows: int

    def interval(self, name: str) -> Interval:
        """The interval of a score."""
        figures = self.figures[name]
        if name == "accuracy" and np.ptp(figures) == 0 and figures[0] in (0.0, 1.0):
            return _unanimous(float(figures[0]), self.rows)
        return interval(figures)


def interval(figures: NDArray[np.float64]) -> Interval:
    """Between the outer quantiles of what is a number among these, (resamples,)."""
    known = figures[~np.isnan(figures)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    lower, upper = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(lower), float(upper))


def bootstrap(
    labels: NDArray[np.int64],
    answers: Mapping[str, Answers],
    rng: np.random.Generator,
    resamples: int | None = None,
) -> dict[str, Resamples]:
    """Scores every set of answers on the same resamples.

    Args:
        labels: the true class of each row, (rows,); at least one row.
        answers: of each method, by its name.
        rng: draws the rows.
        resamples: how many; where None, fewer for many rows and classes.
    """
    classes = max((given.probabilities.shape[1] for given in answers.values()), default=1)
    count = resamples or _affordable(len(labels), classes)
    figures = {name: _figures(labels, given) for name, given in answers.items()}
    found: dict[str, list[dict[str, NDArray[np.float64]]]] = {name: [] for name in answers}
    step = max(BLOCK_CELLS // len(labels), 1)
    for start in range(0, count, step):
        weights = _weights(len(labels), min(step, count - start), rng)
        for name, measure in figures.items():
            found[name].append(measure(weights))
    return {
        name: Resamples(
            {score: np.concatenate([block[score] for block in blocks]) for score in blocks[0]},
            len(labels),
        )
        for name, blocks in found.items()
    }


def _affordable(rows: int, classes: int) -> int:
    # Of two classes one area is the other's.
    areas = 1 if classes == TWO else classes
    return min(max(BUDGET // (rows * areas), FEWEST_RESAMPLES), MOST_RESAMPLES)


def _unanimous(figure: float, rows: int) -> Interval:
    """Where every row is right, or none, all resamples agree, and say nothing of the next row.

    So this is the exact binomial interval (Clopper, Pearson 1934), which is a formula there.
    """
    edge = ((1 - LEVEL) / 2) ** (1 / rows)
    return Interval(edge, 1.0) if figure else Interval(0.0, 1 - edge)


def _weights(rows: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each resample has each row, (count, rows)."""
    weights = np.empty((count, rows))
    for line in weights:
        line[:] = np.bincount(rng.integers(rows, size=rows), minlength=rows)
    return weights


Measure = Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]
"""From weights (resamples, rows) to scores (resamples,) by name."""


def _figures(labels: NDArray[np.int64], answers: Answers) -> Measure:
    """What scores answers under weights; what doesn't depend on these is worked out once."""
    probabilities, predicted = answers.probabilities, answers.predicted
    rows, classes = probabilities.shape
    likeliest, places = winners(probabilities)
    gap = (likeliest == labels) - probabilities.max(axis=1).astype(np.float64)
    surprise = -np.log(held(probabilities)[np.arange(rows), labels])
    means = np.stack([surprise, squared_errors(labels, probabilities)], axis=1)
    # The cells of the confusion matrix that have rows, and each row's place among them.
    cells, cell_of_row = np.unique(labels * classes + predicted, return_inverse=True)
    true_of_cell, answered_of_cell = np.divmod(cells, classes)
    areas = _areas(labels, probabilities)

    def measure(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        counts = np.empty((len(weights), len(cells)))
        gaps = np.empty((len(weights), BINS))
        for line, weight in enumerate(weights):
            counts[line] = np.bincount(cell_of_row, weight, len(cells))
            gaps[line] = np.bincount(places, weight * gap, BINS)
        right = counts * (true_of_cell == answered_of_cell)
        hits = _by_class(right, true_of_cell, classes)
        true = _by_class(counts, true_of_cell, classes)
        answered = _by_class(counts, answered_of_cell, classes)
        there = np.count_nonzero(true, axis=1)
        f1 = np.where(true > 0, 2 * hits / np.maximum(true + answered, 1), 0)
        log_loss, brier = (weights @ means / rows).T
        return {
            "accuracy": right.sum(axis=1) / rows,
            "balanced_accuracy": (hits / np.maximum(true, 1)).sum(axis=1) / there,
            "log_loss": log_loss,
            "macro_f1": f1.sum(axis=1) / there,
            "roc_auc": areas(weights),
            "expected_calibration_error": np.abs(gaps).sum(axis=1) / rows,
            "brier_score": brier,
        }

    return measure


def _by_class(
    counts: NDArray[np.float64], class_of_cell: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Counts of cells (resamples, cells) added up for each class, (resamples, classes)."""
    totals = np.zeros((classes, len(counts)))
    np.add.at(totals, class_of_cell, counts.T)
    return totals.T


def _areas(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """What gives the mean area under the ROC curves, (resamples,); NaN where there is none."""
    classes = probabilities.shape[1]
    ranked = []
    for c in range(1, TWO) if classes == TWO else range(classes):
        mine, others = np.flatnonzero(labels == c), np.flatnonzero(labels != c)
        if len(mine) and len(others):
            others = others[np.argsort(probabilities[others, c], kind="stable")]
            values = probabilities[others, c]
            below = np.searchsorted(values, probabilities[mine, c], side="left")
            tied = np.searchsorted(values, probabilities[mine, c], side="right")
            ranked.append((mine, others, below, tied))

    def areas(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total, known = np.zeros(len(weights)), np.zeros(len(weights))
        for mine, others, below, tied in ranked:
            passed = np.zeros((len(weights), len(others) + 1))
            np.cumsum(weights[:, others], axis=1, out=passed[:, 1:])
            weight = weights[:, mine]
            # Pairs in order count whole, tied ones half: Mann and Whitney.
            won = np.einsum("ij,ij->i", weight, passed[:, below] + passed[:, tied]) / 2
            pairs = weight.sum(axis=1) * passed[:, -1]
            total += np.divide(won, pairs, out=np.zeros_like(won), where=pairs > 0)
            known += pairs > 0
        mean: NDArray[np.float64] = np.full(len(total), np.nan)
        return np.divide(total, known, out=mean, where=known > 0)

    return areas
