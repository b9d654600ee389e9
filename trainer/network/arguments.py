"""Arguments checked: one sentence that names the argument, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def chosen(argument: str, name: object, table: Mapping[str, T]) -> T:
    """The entry of ``table`` under ``name``.

    Raises:
        ValueError: for a name that is none; the message lists those there are.
    """
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{argument} is {name!r}, expected one of {', '.join(table)}")
    return table[name]


def whole(argument: str, value: object, minimum: int) -> int:
    """``value`` if it is a whole number of at least ``minimum``.

    Raises:
        TypeError: for what is no whole number.
        ValueError: for a smaller one.
    """
    # numpy's integers count with their __index__; True and 3.0 would be slips.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument} is {value!r}, expected a whole number of at least {minimum}")
    number = int(value.__index__())
    if number < minimum:
        raise ValueError(f"{argument} is {number}, expected at least {minimum}")
    return number


def fraction(argument: str, value: float) -> float:
    """``value`` if 0 <= value < 1.

    Raises:
        ValueError: for any other, NaN among them.
    """
    if not 0 <= value < 1:
        raise ValueError(f"{argument} is {value}, expected at least 0 and less than 1")
    return value


def positive(argument: str, value: float) -> float:
    """``value`` if it is finite and above 0.

    Raises:
        ValueError: for any other, NaN among them.
    """
    if not 0 < value < float("inf"):
        raise ValueError(f"{argument} is {value}, expected a finite number above 0")
    return value
