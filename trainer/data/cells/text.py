"""How a cell is spelled: what counts as missing, and how a value reads as a category."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "na", "n/a", "nan", "?", "null", "none")
"""Cells that say nothing, in lower case; they are compared without regard to case."""

Cells = TypeVar("Cells", "pa.Array[Any]", "pa.ChunkedArray[Any]")

EXACT_WHOLE = 2.0**53
"""Up to here float64 holds every whole number, so digits are the honest spelling."""


def tidy(column: Cells) -> Cells:
    """A text column, array or chunked, with blanks trimmed and missing tokens as nulls."""
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING))
    tidied: Cells = pc.if_else(missing, None, trimmed)
    return tidied


def category_text(value: Any) -> str:
    """The one spelling of a value in a column of categories, or of class names.

    Text stays as written, trimmed ("3.0" and "007" are not touched). Booleans are "true" and
    "false". Whole numbers are digits, also when they come as floats or decimals (3.0 is "3");
    others are the shortest text that reads back as the same float. A value that is None, NaN or
    infinite is missing, which is "".
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
    if value.is_integer() and abs(value) < EXACT_WHOLE:
        return str(int(value))
    return repr(value)
