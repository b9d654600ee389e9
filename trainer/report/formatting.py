"""Figures and names as a reader wants them: rounded, shortened, with a word for what is missing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

from ..evaluation.intervals import Interval
from ..evaluation.tables import shortened

CHART_EMS = 17.0
"""Of a name within a drawing: two thirds of its width."""

EMS = {"full": 1.0, "wide": 1.0, "upper": 0.75, "narrow": 0.4, "other": 0.64}
"""About how wide signs are in the fonts of browsers, as shares of the font's size."""

TEXT_CHARACTERS = 80
"""Of a name in a sentence or a table, where it can go over several lines."""

LISTED = 6
"""Names in a sentence."""

UNKNOWN = "\N{EN DASH}"


def percent(share: float) -> str:
    """A share from 0 to 1: "97.5 %"."""
    return UNKNOWN if share != share else f"{100 * share:.1f} %"  # noqa: PLR0124 - NaN


def percent_range(found: Interval) -> str:
    """An interval of shares: "95.0 to 98.9 %"."""
    if found.lower != found.lower:
        return UNKNOWN
    return f"{100 * found.lower:.1f} to {100 * found.upper:.1f} %"


def decimal(figure: float) -> str:
    """A score: "0.9750"."""
    return UNKNOWN if figure != figure else f"{figure:.4f}"  # noqa: PLR0124 - NaN


def signed(figure: float) -> str:
    """A change of a score: "+0.0120"."""
    return f"{round(figure, 4) + 0.0:+.4f}"  # of -0.0 it makes 0.0


def points(share: float) -> str:
    """A change of a share in hundredths: "+1.2"."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"


def decimal_range(found: Interval) -> str:
    """An interval of a score: "0.9500 to 0.9891"."""
    if found.lower != found.lower:
        return ""
    return f"{found.lower:.4f} to {found.upper:.4f}"


def brief(name: str, ems: float = CHART_EMS) -> str:
    """A name from the table for a drawing, cut off where it would be too wide."""
    line = shortened(name, len(name)) or "(blank)"
    widths = list(accumulate(map(_ems, line)))
    if widths[-1] <= ems:
        return line
    kept = sum(width <= ems - EMS["full"] for width in widths)
    return line[:kept] + "…"


def _ems(sign: str) -> float:
    if unicodedata.east_asian_width(sign) in "WF":
        return EMS["full"]
    if sign in "mwMW@%…":
        return EMS["wide"]
    if sign in "iljtfrI.,:;'|!()[] ":
        return EMS["narrow"]
    return EMS["upper" if sign.isupper() else "other"]


def whole(name: str) -> str:
    """A name from the table for a sentence or a cell."""
    return shortened(name, TEXT_CHARACTERS) or "(blank)"


def join_names(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c", "a, b and 7 more"."""
    if len(names) > LISTED:
        shown = ", ".join(names[: LISTED - 1])
        return f"{shown} and {len(names) - LISTED + 1:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def plural(count: int, noun: str, many: str = "") -> str:
    """A count with its noun: "1 class", "3 classes"."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
