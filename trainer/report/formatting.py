"""Numbers and names as a report shows them: rounded, shortened, with a dash for unknown values."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

from ..evaluation.intervals import Interval
from ..evaluation.tables import shortened

CHART_EMS = 17.0
"""Width of a name in a chart, in font sizes: two thirds of the chart."""

EMS = {"full": 1.0, "wide": 1.0, "upper": 0.75, "narrow": 0.4, "other": 0.64}
"""Approximate widths of characters in browsers' fonts, in font sizes."""

TEXT_CHARACTERS = 80
"""Length of a name in a sentence or a table cell, where it can wrap."""

LISTED = 6
"""Most names in a sentence."""

UNKNOWN = "\N{EN DASH}"


def percent(share: float) -> str:
    """Return a share from 0 to 1 as text: "97.5 %"."""
    return UNKNOWN if share != share else f"{100 * share:.1f} %"  # noqa: PLR0124 - NaN


def percent_range(interval: Interval) -> str:
    """Return an interval of shares as text: "95.0 to 98.9 %"."""
    if interval.lower != interval.lower:
        return UNKNOWN
    return f"{100 * interval.lower:.1f} to {100 * interval.upper:.1f} %"


def decimal(score: float) -> str:
    """Return a score as text: "0.9750"."""
    return UNKNOWN if score != score else f"{score:.4f}"  # noqa: PLR0124 - NaN


def decimal_range(interval: Interval) -> str:
    """Return an interval of a score as text: "0.9500 to 0.9891"; "" if it is unknown."""
    if interval.lower != interval.lower:
        return ""
    return f"{interval.lower:.4f} to {interval.upper:.4f}"


def signed(change: float) -> str:
    """Return a change of a score as text: "+0.0120"."""
    return f"{round(change, 4) + 0.0:+.4f}"  # adding 0.0 turns -0.0 into 0.0


def points(change: float) -> str:
    """Return a change of a share in percentage points: "+1.2"."""
    return f"{round(100 * change, 1) + 0.0:+.1f}"


def fit_width(name: str, ems: float = CHART_EMS) -> str:
    """Return a name for a chart, cut off where it is wider than ``ems`` font sizes."""
    line = shortened(name, len(name)) or "(blank)"
    widths = list(accumulate(map(_ems, line)))
    if widths[-1] <= ems:
        return line
    fitting = sum(width <= ems - EMS["full"] for width in widths)
    return line[:fitting] + "…"


def _ems(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return EMS["full"]
    if character in "mwMW@%…":
        return EMS["wide"]
    if character in "iljtfrI.,:;'|!()[] ":
        return EMS["narrow"]
    return EMS["upper" if character.isupper() else "other"]


def in_text(name: str) -> str:
    """Return a name for a sentence or a table cell."""
    return shortened(name, TEXT_CHARACTERS) or "(blank)"


def join_names(names: Sequence[str]) -> str:
    """Return names for a sentence: "a, b and c", or "a, b and 7 more"."""
    if len(names) > LISTED:
        shown = ", ".join(names[: LISTED - 1])
        return f"{shown} and {len(names) - LISTED + 1:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def plural(count: int, noun: str, many: str = "") -> str:
    """Return a count with its noun: "1 class", "3 classes"."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
