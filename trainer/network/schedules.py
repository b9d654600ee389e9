"""Schedules: what a rate is multiplied with at progress t, from 0 to 1 of all steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from .arguments import chosen

Schedule = Callable[[float], float]
"""The factor at progress t, 0 <= t < 1."""


def constant(t: float) -> float:
    """1 all the way."""
    del t
    return 1.0


def cosine(t: float) -> float:
    """(1 + cos(pi t)) / 2: from 1 down to 0 (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
    return (1 + math.cos(math.pi * t)) / 2


def flat_cosine(t: float) -> float:
    """1 for the first half, then `cosine` from 1 down to 0."""
    return cosine(max(0.0, 2 * t - 1))


def coslog4(t: float) -> float:
    """(1 - cos(2 pi log2(1 + 15 t))) / 2: up from 0 and down to it, four times, ever longer.

    Most of the way is the last wave's; the three before it find a good place to start it from
    (RealMLP: Holzmueller, Grinsztajn, Steinwart 2024, arXiv:2407.04491).
    """
    return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t))) / 2


SCHEDULES: dict[str, Schedule] = {
    function.__name__: function for function in (constant, cosine, flat_cosine, coslog4)
}
"""Each schedule under its name."""


def named(argument: str, given: str | Schedule) -> Schedule:
    """The schedule of a name; a function of your own as it is.

    Args:
        argument: what the message calls it.
        given: name or function.

    Raises:
        ValueError: for a name that is none.
    """
    return given if callable(given) else chosen(argument, given, SCHEDULES)
