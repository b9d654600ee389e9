"""One column of a table, and the facts that rules ask for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .cells.datetimes import Notation, notation, read_moments
from .cells.levels import Levels
from .cells.numbers import Numbers, read_booleans, read_numbers
from .schema import Kind

SPELLINGS = 2**4 + 2**5
"""Of true and false, in small and capital letters."""

NEARLY_ALL = 0.95
"""The share of cells from which a column is what most of its cells are."""


def is_readable(type_: pa.DataType, kind: Kind = Kind.CATEGORY) -> bool:
    """Whether cells of a type can be read as values of a kind.

    Dates and times are read as such, not as text or numbers; nor are numbers read as dates, for
    nothing says what they would count.
    """
    types = pa.types
    if kind is Kind.DATETIME:
        return types.is_string(type_) or types.is_null(type_) or is_moments(type_)
    return bool(
        types.is_string(type_)
        or types.is_boolean(type_)
        or types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_decimal(type_)
        or types.is_null(type_)
    )


def is_moments(type_: pa.DataType) -> bool:
    """Whether cells of a type are dates, times or time stamps."""
    types = pa.types
    return bool(types.is_date(type_) or types.is_time(type_) or types.is_timestamp(type_))


def read_values(cells: pa.ChunkedArray[Any], kind: Kind, format_: str | None = None) -> Numbers:
    """Cells read as numbers, booleans or, written in a format if there is one, datetimes."""
    if kind is Kind.DATETIME:
        return read_moments(cells, format_)
    return read_booleans(cells) if kind is Kind.BOOLEAN else read_numbers(cells)


class Column:
    """What there is to know about one column; each fact is worked out when first asked for.

    Args:
        name: the column's name.
        cells: the cells as ``Table`` holds them; all but ``type`` ask that it be readable.
        given: what its values are, if somebody said so.
    """

    def __init__(self, name: str, cells: pa.ChunkedArray[Any], given: Kind | None = None) -> None:
        self.name = name
        self.cells = cells
        self.given = given
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
        names = self.levels.names
        if self.is_number or len(names) > SPELLINGS:
            return False
        return {name.lower() for name in names} <= {"true", "false"}

    @cached_property
    def is_code(self) -> bool:
        """Whether all filled cells are digits of one width, some with zeros in front, as codes are.

        So are 007 and 100, but not 7 and 10.
        """
        if not pa.types.is_string(self.type) or not pc.any(pc.starts_with(self.cells, "0")).as_py():
            return False
        width = pc.min_max(pc.utf8_length(self.cells)).as_py()
        if width["min"] != width["max"] or width["max"] == 1:
            return False
        return bool(pc.all(pc.match_substring_regex(self.cells, "^[0-9]+$")).as_py())

    @cached_property
    def notation(self) -> Notation | None:
        """How its dates and times are written, if it holds any."""
        if pa.types.is_string(self.type):
            return notation(self.cells)
        return Notation(None) if is_moments(self.type) else None

    @cached_property
    def moments(self) -> Numbers:
        """The cells as dates and times."""
        return read_moments(self.cells, self.notation.format if self.notation else None)

    @cached_property
    def is_datetime(self) -> bool:
        """Whether nearly all filled cells are dates or times."""
        if self.notation is None:
            return False
        return len(self.moments.unparsable) <= (1 - NEARLY_ALL) * self.filled

    @cached_property
    def kind(self) -> Kind:
        """What its values are: what was given, or else what nearly all filled cells are."""
        if self.given:
            return self.given
        if is_moments(self.type):
            return Kind.DATETIME
        if self.is_number:
            return Kind.CATEGORY if self.is_code else Kind.NUMBER
        if self.is_boolean:
            return Kind.BOOLEAN
        return Kind.DATETIME if self.is_datetime else Kind.CATEGORY

    @cached_property
    def values(self) -> Numbers:
        """The cells as what they are, if that is no category."""
        if self.kind is Kind.DATETIME:
            return self.moments
        return read_booleans(self.cells) if self.kind is Kind.BOOLEAN else self.numbers

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """The values in it, float64 (values,), in row order, if it holds no categories."""
        values = self.values.values
        return values[~np.isnan(values)]

    @cached_property
    def has_gaps(self) -> bool:
        """Whether any row has nothing to learn from here."""
        known = self.filled if self.kind is Kind.CATEGORY else len(self.known)
        return known < len(self.cells)

    @cached_property
    def share_different(self) -> float:
        """Levels per filled cell: 1 if no value comes twice."""
        return len(self.levels.names) / max(self.filled, 1)
