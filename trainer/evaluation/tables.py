"""Scores and confusion matrices as text tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.scores import Scores

SHOWN_CLASSES = 15
"""A wider confusion matrix would wrap in most terminals; the model file has it whole."""

SHOWN_CHARACTERS = 24
"""A longer name is cut off in a table; the model file has it whole."""

COLUMNS = {
    "accuracy": "accuracy",
    "balanced": "balanced_accuracy",
    "log loss": "log_loss",
    "macro F1": "macro_f1",
    "ROC AUC": "roc_auc",
}
"""Headings and the scores below them."""


def scores_table(scores: Mapping[str, Scores]) -> str:
    """One line of figures for each name."""
    rows = [
        [name, *(f"{getattr(line, attribute):.4f}" for attribute in COLUMNS.values())]
        for name, line in scores.items()
    ]
    return aligned([["", *COLUMNS], *rows])


def confusion_table(confusion: NDArray[np.int64], classes: Sequence[str]) -> str:
    """True classes down, predicted classes across."""
    if len(classes) > SHOWN_CLASSES:
        return f"(confusion matrix of {len(classes)} classes: see the model file)"
    names = [shortened(name) for name in classes]
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, confusion.tolist(), strict=True)
    ]
    return aligned([["true \\ predicted", *names], *rows])


def shortened(name: str) -> str:
    """A name from a table as a cell shows it: on one line, and cut off where it is long."""
    line = " ".join(name.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
