"""A confusion matrix as tables for a page, with the least confused of many classes combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .formatting import in_text

SHOWN_CLASSES = 12
"""Most classes of a readable matrix."""

SHOWN_MISTAKES = 12

SHOWN_FIGURES = 30
"""Most classes with precision, recall and F1."""

NAN = float("nan")


@dataclass(frozen=True)
class Cell:
    """Rows of one true class that were predicted as one class.

    Attributes:
        count: number of rows.
        share: of the true class's rows, from 0 to 1.
        kind: ``right``, ``wrong``, ``none`` for no rows, or ``mixed`` for combined classes.
    """

    count: int
    share: float
    kind: str


@dataclass(frozen=True)
class ConfusionTable:
    """The matrix: true classes down, predicted classes across.

    Attributes:
        names: of rows and columns; the last one may stand for combined classes.
        cells: (names, names).
        combined: how many classes the last name stands for; 0 if none.
    """

    names: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    combined: int


@dataclass(frozen=True)
class Mistake:
    """A true class with a wrong prediction, and the number of rows."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of a class; NaN for a division by zero."""

    name: str
    rows: int
    precision: float
    recall: float
    f1: float


def confusion_table(confusion: NDArray[np.int64], classes: Sequence[str]) -> ConfusionTable:
    """Return the matrix of all classes; of many classes, those with most mistakes.

    Args:
        confusion: rows by true and predicted class, (classes, classes).
        classes: the class names.
    """
    shown = _most_confused(confusion)
    combined = len(classes) - len(shown)
    group = np.full(len(classes), len(shown))
    group[shown] = np.arange(len(shown))
    size = len(shown) + bool(combined)
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (group[:, None], group[None, :]), confusion)
    totals = counts.sum(axis=1).clip(1)
    cells = tuple(
        tuple(
            Cell(count, count / total, _kind(count, i == j, i == j == len(shown)))
            for j, count in enumerate(line)
        )
        for i, (line, total) in enumerate(zip(counts.tolist(), totals.tolist(), strict=True))
    )
    names = [in_text(classes[index]) for index in shown.tolist()]
    if combined:
        names.append(f"{combined:,} other classes")
    return ConfusionTable(tuple(names), cells, combined)


def _most_confused(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the classes to show, in order."""
    if len(confusion) <= SHOWN_CLASSES:
        return np.arange(len(confusion))
    wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
    return np.sort(np.lexsort((-confusion.sum(axis=1), -wrong))[: SHOWN_CLASSES - 1])


def _kind(count: int, on_diagonal: bool, combined: bool) -> str:
    if combined:
        return "mixed"  # the combined classes may be confused with each other
    if on_diagonal:
        return "right"
    return "wrong" if count else "none"


def mistakes(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[Mistake]:
    """Return the most frequent mistakes, the most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_MISTAKES]
    pairs = np.stack(np.unravel_index(order, wrong.shape), axis=1).tolist()
    return [
        Mistake(in_text(classes[true]), in_text(classes[predicted]), int(wrong[true, predicted]))
        for true, predicted in pairs
        if wrong[true, predicted]
    ]


def class_figures(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[ClassFigures]:
    """Return precision, recall and F1 of each class; of many classes, the most frequent ones."""
    rows, predicted, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    shown = np.sort(np.argsort(-rows, kind="stable")[:SHOWN_FIGURES]).tolist()
    return [
        ClassFigures(
            in_text(classes[index]),
            int(rows[index]),
            _ratio(right[index], predicted[index]),
            _ratio(right[index], rows[index]),
            _ratio(2 * right[index], rows[index] + predicted[index]) if rows[index] else NAN,
        )
        for index in shown
    ]


def _ratio(part: int, total: int) -> float:
    return float(part / total) if total else NAN
