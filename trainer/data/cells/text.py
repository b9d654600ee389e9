"""Text of cells: missing tokens, and values as categories."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "na", "n/a", "nan", "?", "null", "none")
"""Missing tokens in lower case; the comparison ignores case."""

Cells = TypeVar("Cells", "pa.Array[Any]", "pa.ChunkedArray[Any]")

EXACT_INTEGERS = 2.0**53
"""Up to here float64 holds every integer exactly, so its digits are exact."""


def tidy(column: Cells) -> Cells:
    """Return a text column, array or chunked, trimmed and with missing tokens as nulls."""
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING))
    tidied: Cells = pc.if_else(missing, None, trimmed)
    return tidied


def category_text(value: Any) -> str:
    """Return the text of a value as a category or class name.

    Text is trimmed and otherwise unchanged ("3.0", "007"). Booleans are "true" and "false". Integers
    are digits, also from floats or decimals (3.0 is "3"). Other numbers are the shortest text that
    reads back as the same float. None, NaN and infinity are missing: "".
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal):
        return _float_text(float(value))
    return str(value).strip()


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return ""
    if value.is_integer() and abs(value) < EXACT_INTEGERS:
        return str(int(value))
    return repr(value)
