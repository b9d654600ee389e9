"""One column of a table, and the facts that rules ask for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainer.data.levels import Levels
from trainer.data.numbers import Numbers, read_numbers

NEARLY_ALL = 0.95
"""The share of cells from which a column is what most of its cells are."""


def is_readable(kind: pa.DataType) -> bool:
    """Whether cells of a type can be read as text, numbers or booleans."""
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )


class Column:
    """What there is to know about one column; each fact is worked out when first asked for.

    Args:
        name: the column's name.
        cells: the cells as ``Table`` holds them; all but ``type`` ask that it be readable.
    """

    def __init__(self, name: str, cells: pa.ChunkedArray[Any]) -> None:
        self.name = name
        self.cells = cells
        self.type = cells.type
        self.filled: int = len(cells) - cells.null_count

    @cached_property
    def numbers(self) -> Numbers:
        """The cells as numbers."""
        return read_numbers(self.cells)

    @cached_property
    def levels(self) -> Levels:
        """The cells as levels."""
        return Levels.of(self.cells)

    @cached_property
    def is_number(self) -> bool:
        """Whether nearly all filled cells are numbers."""
        if pa.types.is_boolean(self.type):
            return False
        return len(self.numbers.unparsable) <= (1 - NEARLY_ALL) * self.filled

    @cached_property
    def is_boolean(self) -> bool:
        """Whether all filled cells are true or false."""
        words = {"true", "false"}
        return not self.is_number and {name.lower() for name in self.levels.names} <= words

    @cached_property
    def finite(self) -> NDArray[np.float64]:
        """The numbers in it, float64 (numbers,), in row order."""
        values = self.numbers.values
        return values[~np.isnan(values)]

    @cached_property
    def has_gaps(self) -> bool:
        """Whether any row has nothing to learn from here."""
        known = len(self.finite) if self.is_number else self.filled
        return known < len(self.cells)

    @cached_property
    def share_different(self) -> float:
        """Levels per filled cell: 1 if no value comes twice."""
        return len(self.levels.names) / max(self.filled, 1)
