"""A confusion matrix as a table for a page: the classes that matter most, the others together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .formatting import whole

SHOWN_CLASSES = 12
"""Classes of a matrix at most: more can't be read."""

SHOWN_MISTAKES = 12

SHOWN_FIGURES = 30
"""Classes with figures of their own at most."""


@dataclass(frozen=True)
class Cell:
    """Rows of one true class that were answered with one class.

    Attributes:
        count: how many.
        share: of the true class's rows, from 0 to 1.
        kind: ``right``, ``wrong``, ``none`` for no rows, or ``mixed`` for several classes together.
    """

    count: int
    share: float
    kind: str


@dataclass(frozen=True)
class ConfusionTable:
    """The matrix, true classes down, answers across.

    Attributes:
        names: of rows and columns; where some classes are taken together, the last one is theirs.
        cells: (names, names).
        together: how many classes the last name stands for; 0 if none.
    """

    names: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    together: int


@dataclass(frozen=True)
class Mistake:
    """One class taken for another."""

    true: str
    answered: str
    count: int


@dataclass(frozen=True)
class ClassFigures:
    """How one class fares; NaN where there is nothing to divide by."""

    name: str
    rows: int
    precision: float
    recall: float
    f1: float


def confusion_table(confusion: NDArray[np.int64], classes: Sequence[str]) -> ConfusionTable:
    """The matrix of all classes, or of those with most mistakes where there are too many.

    Args:
        confusion: rows by true and answered class, (classes, classes).
        classes: the names.
    """
    kept = np.arange(len(classes))
    if len(classes) > SHOWN_CLASSES:
        wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
        kept = np.sort(np.lexsort((-confusion.sum(axis=1), -wrong))[: SHOWN_CLASSES - 1])
    others = len(classes) - len(kept)
    group = np.full(len(classes), len(kept))
    group[kept] = np.arange(len(kept))
    size = len(kept) + bool(others)
    folded = np.zeros((size, size), dtype=np.int64)
    np.add.at(folded, (group[:, None], group[None, :]), confusion)
    totals = folded.sum(axis=1).clip(1)
    cells = tuple(
        tuple(
            Cell(count, count / total, _kind(count, i == j, i == j == len(kept)))
            for j, count in enumerate(line)
        )
        for i, (line, total) in enumerate(zip(folded.tolist(), totals.tolist(), strict=True))
    )
    names = [whole(classes[place]) for place in kept.tolist()]
    if others:
        names.append(f"{others:,} other classes")
    return ConfusionTable(tuple(names), cells, others)


def _kind(count: int, same: bool, together: bool) -> str:
    if together:
        return "mixed"  # one of them may have been taken for another
    if same:
        return "right"
    return "wrong" if count else "none"


def mistakes(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[Mistake]:
    """The commonest pairs of a class and what it was taken for."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_MISTAKES]
    pairs = np.stack(np.unravel_index(order, wrong.shape), axis=1).tolist()
    return [
        Mistake(whole(classes[true]), whole(classes[answered]), int(wrong[true, answered]))
        for true, answered in pairs
        if wrong[true, answered]
    ]


def class_figures(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[ClassFigures]:
    """Precision, recall and F1 of the classes, those with most test rows where they are many."""
    rows, answered, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    shown = np.sort(np.argsort(-rows, kind="stable")[:SHOWN_FIGURES]).tolist()
    return [
        ClassFigures(
            whole(classes[place]),
            int(rows[place]),
            _ratio(right[place], answered[place]),
            _ratio(right[place], rows[place]),
            _ratio(2 * right[place], rows[place] + answered[place]) if rows[place] else _NONE,
        )
        for place in shown
    ]


_NONE = float("nan")


def _ratio(part: int, total: int) -> float:
    return float(part / total) if total else _NONE
