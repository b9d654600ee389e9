"""Schedules: what the learning rate is multiplied with at progress t, from 0 to 1 of all steps."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]
"""Factor at progress t."""


def constant(t: float) -> float:
    """1 all the way."""
    del t
    return 1.0


def cosine(t: float) -> float:
    """(1 + cos(pi t)) / 2: from 1 down to 0 (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
    return (1 + math.cos(math.pi * t)) / 2


SCHEDULES: dict[str, Schedule] = {function.__name__: function for function in (constant, cosine)}
"""Each schedule under its name."""


def named(name: str) -> Schedule:
    """The schedule of that name.

    Raises:
        ValueError: for a name that is none.
    """
    if name not in SCHEDULES:
        raise ValueError(f"schedule is {name!r}, expected one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
