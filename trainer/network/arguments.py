"""Checks of arguments; each error names the argument, its value and what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def look_up(argument: str, name: object, table: Mapping[str, T]) -> T:
    """Return the entry of ``table`` under ``name``.

    Raises:
        ValueError: the table has no such name; the message lists its names.
    """
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{argument} is {name!r}, expected one of {', '.join(table)}")
    return table[name]


def whole(argument: str, value: object, minimum: int) -> int:
    """Return ``value`` as an int if it is an integer of at least ``minimum``.

    Raises:
        TypeError: the value is not an integer.
        ValueError: the value is smaller.
    """
    # numpy's integers have __index__. True and 3.0 are probably mistakes.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument} is {value!r}, expected an integer of at least {minimum}")
    number = int(value.__index__())
    if number < minimum:
        raise ValueError(f"{argument} is {number}, expected at least {minimum}")
    return number


def fraction(argument: str, value: float) -> float:
    """Return ``value`` if 0 <= value < 1.

    Raises:
        ValueError: the value is outside of that range, or NaN.
    """
    if not 0 <= value < 1:
        raise ValueError(f"{argument} is {value}, expected at least 0 and less than 1")
    return value


def positive(argument: str, value: float) -> float:
    """Return ``value`` if it is finite and above 0.

    Raises:
        ValueError: the value is 0 or less, infinite, or NaN.
    """
    if not 0 < value < float("inf"):
        raise ValueError(f"{argument} is {value}, expected a finite number above 0")
    return value
