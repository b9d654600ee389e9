"""Scores and confusion matrices as text tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from .intervals import LEVEL, Resamples
from .scores import Scores

SHOWN_CLASSES = 15
"""Most classes of a printed confusion matrix, so that lines fit a terminal."""

SHOWN_CHARACTERS = 24
"""Most characters of a printed name."""

SCORES = {
    "accuracy": "accuracy",
    "balanced": "balanced_accuracy",
    "log loss": "log_loss",
    "macro F1": "macro_f1",
    "ROC AUC": "roc_auc",
    "ECE": "expected_calibration_error",
}
"""Headings of the printed scores."""


def scores_table(
    scores: Mapping[str, Scores], resamples: Mapping[str, Resamples] | None = None
) -> str:
    """Return a table with a line for each name, and its intervals below if it has resamples."""
    rows = []
    for name, line in scores.items():
        rows.append([name, *_figures(getattr(line, column) for column in SCORES.values())])
        if resamples and name in resamples:
            intervals = [resamples[name].interval(column) for column in SCORES.values()]
            rows.append([f"  {LEVEL:.0%} from", *_figures(one.lower for one in intervals)])
            rows.append(["  to", *_figures(one.upper for one in intervals)])
    return aligned([["", *SCORES], *rows])


def _figures(values: Iterable[float]) -> list[str]:
    return ["-" if isnan(value) else f"{value:.4f}" for value in values]


def spread_table(spread: Mapping[str, tuple[float, float]]) -> str:
    """Return a table with mean and standard deviation of each score."""
    rows = [[heading, *_figures(spread[attribute])] for heading, attribute in SCORES.items()]
    return aligned([["", "mean", "spread"], *rows])


def confusion_table(confusion: NDArray[np.int64], classes: Sequence[str]) -> str:
    """Return the confusion matrix as a table: true classes down, predicted classes across."""
    if len(classes) > SHOWN_CLASSES:
        return f"(The confusion matrix of {len(classes)} classes is in the model file.)"
    names = [shortened(name) for name in classes]
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, confusion.tolist(), strict=True)
    ]
    return aligned([["true \\ predicted", *names], *rows])


def shortened(name: str, most: int = SHOWN_CHARACTERS) -> str:
    """Return a name on one line of at most ``most`` characters.

    Unprintable characters, such as one that turns the writing direction, become a replacement
    character.
    """
    line = " ".join(name.split())
    line = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line
    )
    return line if len(line) <= most else line[: most - 1] + "…"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the cells as text in columns, the first left-aligned, the others right-aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
