"""Decimal commas: spreadsheets of many countries write 1,5 for 1.5.

They separate cells by semicolons. A column has decimal commas if 95 % of its filled cells are integers
or numbers with one comma, and at least one comma can't be a thousands separator, as in 1,500.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from .numbers import NEARLY_ALL

COMMA_NUMBER = r"^[+-]?[0-9]+(,[0-9]+)?$"
NO_THOUSANDS = r",([0-9]{1,2}|[0-9]{4,})$"
"""A comma before one, two or more than three digits: not a thousands separator."""

Cells = TypeVar("Cells", "pa.Array[Any]", "pa.ChunkedArray[Any]")


class DecimalCommaDetector:
    """Detects decimal commas in the cells of a column, block by block."""

    def __init__(self) -> None:
        self.filled = 0
        self.numbers = 0
        self.is_certain = False

    def add(self, cells: Cells) -> Cells:
        """Count further cells, trimmed text, and return which of them are such numbers."""
        numbers: Cells = pc.match_substring_regex(cells, COMMA_NUMBER)
        self.filled += len(cells) - cells.null_count
        self.numbers += pc.sum(numbers).as_py() or 0
        if not self.is_certain:
            unlike_thousands = pc.match_substring_regex(cells.filter(numbers), NO_THOUSANDS)
            self.is_certain = bool(pc.any(unlike_thousands).as_py())
        return numbers

    @property
    def is_plausible(self) -> bool:
        """Whether nearly all filled cells may be numbers with a decimal comma."""
        return self.numbers > 0 and self.numbers / self.filled >= NEARLY_ALL


def with_points(cells: Cells, numbers: Cells) -> Cells:
    """Return the cells, trimmed text, with points for commas where ``numbers`` is true."""
    pointed: Cells = pc.if_else(numbers, pc.replace_substring(cells, ",", "."), cells)
    return pointed
