"""Schedules: the factor of a rate by progress t, the share of all steps that are done."""

from __future__ import annotations

import math
from collections.abc import Callable

from .arguments import look_up

Schedule = Callable[[float], float]
"""Returns the factor at progress t, 0 <= t < 1."""


def constant(t: float) -> float:
    """Return 1."""
    del t
    return 1.0


def cosine(t: float) -> float:
    """Return (1 + cos(pi t)) / 2: from 1 down to 0 (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
    return (1 + math.cos(math.pi * t)) / 2


def flat_cosine(t: float) -> float:
    """Return 1 in the first half, then `cosine` from 1 down to 0."""
    return cosine(max(0.0, 2 * t - 1))


def coslog4(t: float) -> float:
    """Return (1 - cos(2 pi log2(1 + 15 t))) / 2: four cycles from 0 to 1 and back, each longer.

    The last cycle takes more than half of the steps (RealMLP: Holzmueller, Grinsztajn, Steinwart 2024,
    arXiv:2407.04491).
    """
    return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t))) / 2


SCHEDULES: dict[str, Schedule] = {
    function.__name__: function for function in (constant, cosine, flat_cosine, coslog4)
}
"""The schedules by name."""


def get(argument: str, schedule: str | Schedule) -> Schedule:
    """Return the schedule of a name; a function is returned as it is.

    Args:
        argument: the argument's name in the error message.
        schedule: name or function.

    Raises:
        ValueError: the name is unknown.
    """
    return schedule if callable(schedule) else look_up(argument, schedule, SCHEDULES)
