"""Schedules: what the learning rate is multiplied with at progress t, from 0 to 1 of all steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from trainer.network.arguments import chosen

Schedule = Callable[[float], float]
"""The factor at progress t, 0 <= t < 1."""


def constant(t: float) -> float:
    """1 all the way."""
    del t
    return 1.0


def cosine(t: float) -> float:
    """(1 + cos(pi t)) / 2: from 1 down to 0 (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
    return (1 + math.cos(math.pi * t)) / 2


SCHEDULES: dict[str, Schedule] = {function.__name__: function for function in (constant, cosine)}
"""Each schedule under its name."""


def named(given: str | Schedule) -> Schedule:
    """The schedule of a name; a function of your own as it is.

    Raises:
        ValueError: for a name that is none.
    """
    return given if callable(given) else chosen("schedule", given, SCHEDULES)
