"""Scores and confusion matrices as text tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from .intervals import LEVEL, Resamples
from .scores import Scores

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
    "ECE": "expected_calibration_error",
}
"""Headings and the scores below them."""


def scores_table(
    scores: Mapping[str, Scores], resamples: Mapping[str, Resamples] | None = None
) -> str:
    """One line of figures for each name, above its intervals where it has resamples."""
    rows = []
    for name, line in scores.items():
        rows.append([name, *_figures(getattr(line, column) for column in COLUMNS.values())])
        if resamples and name in resamples:
            found = [resamples[name].interval(column) for column in COLUMNS.values()]
            rows.append([f"  {LEVEL:.0%} from", *_figures(one.lower for one in found)])
            rows.append(["  to", *_figures(one.upper for one in found)])
    return aligned([["", *COLUMNS], *rows])


def _figures(values: Iterable[float]) -> list[str]:
    return ["-" if isnan(value) else f"{value:.4f}" for value in values]


def spread_table(spread: Mapping[str, tuple[float, float]]) -> str:
    """One line for each score: its mean and its standard deviation."""
    rows = [[heading, *_figures(spread[attribute])] for heading, attribute in COLUMNS.items()]
    return aligned([["", "mean", "spread"], *rows])


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


def shortened(name: str, most: int = SHOWN_CHARACTERS) -> str:
    """A name from a table as a cell shows it: on one line, and cut off where it is long.

    What can't be printed, such as a sign that turns the direction of writing, shows as a mark.
    """
    line = " ".join(name.split())
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
    return line if len(line) <= most else line[: most - 1] + "…"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
