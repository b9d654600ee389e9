"""What was found in a table, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 3
"""How many rows a finding names."""


@dataclass(frozen=True)
class Finding:
    """One thing found in a table, with what was done about it.

    Attributes:
        rule: a short name that stays the same from run to run, such as ``constant``.
        column: the column it is about, or None if it is about rows or the whole table.
        text: the sentence for the person who started the run; names the column itself.
    """

    rule: str
    column: str | None
    text: str


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 row", "1,200 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(shown: Sequence[object], total: int) -> str:
    """Some of ``total`` things, and how many more there are: "a, b, c and 4 more"."""
    text = ", ".join(str(item) for item in shown)
    more = total - len(shown)
    return f"{text} and {more:,} more" if more > 0 else text
