"""Findings about a table, for the fit's output and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_CITED = 3
"""Rows, columns or classes that a finding names."""


@dataclass(frozen=True)
class Finding:
    """One observation about a table, and its consequence.

    Attributes:
        rule: a stable short name, such as ``constant``.
        column: the column; None for rows or the whole table.
        text: one or two sentences for the user; they name the column.
    """

    rule: str
    column: str | None
    text: str


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "1,200 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def join_first(shown: Sequence[object], total: int) -> str:
    """Return some of ``total`` items and the number of the others: "a, b, c and 4 more"."""
    text = ", ".join(str(item) for item in shown)
    more = total - len(shown)
    return f"{text} and {more:,} more" if more > 0 else text
