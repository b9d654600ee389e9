"""Cells as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .levels import Levels

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""A plain decimal: sign, point, exponent; without thousands separators and units."""

NUMBER_OR_INFINITE = NUMBER + r"|^(?i:[+-]?inf(inity)?)$"

NEARLY_ALL = 0.95
"""Share of filled cells that decides the kind of a column."""


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: float64 (rows,); NaN for missing, invalid and infinite cells.
        unparsable: int64, rows of filled cells that are not numbers.
        infinite: int64, rows of infinite or too large numbers.
    """

    values: NDArray[np.float64]
    unparsable: NDArray[np.int64]
    infinite: NDArray[np.int64]


def read_numbers(column: pa.ChunkedArray[Any]) -> Numbers:
    """Return a column of text, numbers or booleans as numbers."""
    values = _cast(column)
    filled = pc.is_valid(column).to_numpy()
    unparsable = np.flatnonzero(np.isnan(values) & filled)
    infinite = np.flatnonzero(np.isinf(values))
    values[infinite] = np.nan
    return Numbers(values, unparsable, infinite)


def read_booleans(column: pa.ChunkedArray[Any]) -> Numbers:
    """Return true and false, in any case, as 1.0 and 0.0; other cells are unparsable."""
    levels = Levels.of(column)
    meaning = {"true": 1.0, "false": 0.0}
    of_level = np.array([meaning.get(name.lower(), np.nan) for name in levels.names], np.float64)
    values = levels.per_row(of_level, np.nan)
    unparsable = np.flatnonzero(np.isnan(values) & (levels.codes >= 0))
    return Numbers(values, unparsable, infinite=np.empty(0, np.int64))


def parse_numbers(cells: pa.Array[Any] | pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    """Return trimmed text as float64 (rows,); NaN for missing cells and other text."""
    numeric = pc.match_substring_regex(cells, NUMBER_OR_INFINITE)
    # Some releases of pyarrow do not accept a plus sign.
    plain = pc.utf8_ltrim(pc.if_else(numeric, cells, None), "+")
    return np.asarray(plain.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _cast(column: pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    """Return the cells as a new array, float64 (rows,); NaN for other text."""
    try:
        values = column.cast(pa.float64(), safe=False)
    except pa.ArrowInvalid:  # text with at least one cell that is not a number
        return np.array(parse_numbers(column))
    return np.array(values.to_numpy(), np.float64)
