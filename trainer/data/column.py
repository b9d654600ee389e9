"""One column of a table, with the facts that the rules need."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .cells.datetimes import DatetimeFormat, detect_format, read_datetimes
from .cells.levels import Levels
from .cells.numbers import NEARLY_ALL, Numbers, read_booleans, read_numbers
from .schema import Kind

BOOLEAN_SPELLINGS = 2**4 + 2**5
"""Spellings of true and false in small and capital letters."""


def is_readable(type_: pa.DataType, kind: Kind = Kind.CATEGORY) -> bool:
    """Return whether cells of a type can be read as values of a kind.

    Typed dates and times can't be read as text or numbers. Numbers can't be read as dates, because
    their unit is unknown.
    """
    types = pa.types
    if kind is Kind.DATETIME:
        return types.is_string(type_) or types.is_null(type_) or is_datetime_type(type_)
    return bool(
        types.is_string(type_)
        or types.is_boolean(type_)
        or types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_decimal(type_)
        or types.is_null(type_)
    )


def find_type_problem(type_: pa.DataType, kind: Kind) -> str | None:
    """Return why cells of a type can't be read as values of a kind, or None if they can."""
    if is_readable(type_, kind):
        return None
    return f"the type is {type_}, expected values of kind {kind}"


def is_datetime_type(type_: pa.DataType) -> bool:
    """Return whether a type holds dates, times or timestamps."""
    types = pa.types
    return bool(types.is_date(type_) or types.is_time(type_) or types.is_timestamp(type_))


def read_values(cells: pa.ChunkedArray[Any], kind: Kind, format_: str | None = None) -> Numbers:
    """Return cells as numbers, booleans, or datetimes in a format."""
    if kind is Kind.DATETIME:
        return read_datetimes(cells, format_)
    return read_booleans(cells) if kind is Kind.BOOLEAN else read_numbers(cells)


class Column:
    """Facts about one column, computed at first use.

    Args:
        name: of the column.
        cells: as ``Table`` holds them; every fact except ``type`` needs a readable type.
        user_kind: the kind that the user set, if any.
    """

    def __init__(
        self, name: str, cells: pa.ChunkedArray[Any], user_kind: Kind | None = None
    ) -> None:
        self.name = name
        self.cells = cells
        self.user_kind = user_kind
        self.type = cells.type
        self.filled: int = len(cells) - cells.null_count

    @cached_property
    def numbers(self) -> Numbers:
        """Cells as numbers."""
        return read_numbers(self.cells)

    @cached_property
    def levels(self) -> Levels:
        """Cells as levels."""
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
        if self.is_number or len(names) > BOOLEAN_SPELLINGS:
            return False
        return {name.lower() for name in names} <= {"true", "false"}

    @cached_property
    def is_code(self) -> bool:
        """Whether all filled cells are digits of one width, some with leading zeros.

        007 and 100 are codes; 7 and 10 are not.
        """
        if not pa.types.is_string(self.type) or not pc.any(pc.starts_with(self.cells, "0")).as_py():
            return False
        width = pc.min_max(pc.utf8_length(self.cells)).as_py()
        if width["min"] != width["max"] or width["max"] == 1:
            return False
        return bool(pc.all(pc.match_substring_regex(self.cells, "^[0-9]+$")).as_py())

    @cached_property
    def datetime_format(self) -> DatetimeFormat | None:
        """Format of its dates and times, if it holds any."""
        if pa.types.is_string(self.type):
            return detect_format(self.cells)
        return DatetimeFormat(None) if is_datetime_type(self.type) else None

    @cached_property
    def datetimes(self) -> Numbers:
        """Cells as dates and times."""
        return read_datetimes(
            self.cells, self.datetime_format.format if self.datetime_format else None
        )

    @cached_property
    def is_datetime(self) -> bool:
        """Whether nearly all filled cells are dates or times."""
        if self.datetime_format is None:
            return False
        return len(self.datetimes.unparsable) <= (1 - NEARLY_ALL) * self.filled

    @cached_property
    def kind(self) -> Kind:
        """Kind of its values: the one that the user set, else that of nearly all filled cells."""
        if self.user_kind:
            return self.user_kind
        if is_datetime_type(self.type):
            return Kind.DATETIME
        if self.is_number:
            return Kind.CATEGORY if self.is_code else Kind.NUMBER
        if self.is_boolean:
            return Kind.BOOLEAN
        return Kind.DATETIME if self.is_datetime else Kind.CATEGORY

    @cached_property
    def values(self) -> Numbers:
        """Cells as numbers, booleans or datetimes; not for categories."""
        if self.kind is Kind.DATETIME:
            return self.datetimes
        return read_booleans(self.cells) if self.kind is Kind.BOOLEAN else self.numbers

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """Values without the missing ones, float64 (values,), in row order; not for categories."""
        values = self.values.values
        return values[~np.isnan(values)]

    @cached_property
    def has_missing(self) -> bool:
        """Whether any row has no value."""
        known = self.filled if self.kind is Kind.CATEGORY else len(self.known)
        return known < len(self.cells)

    @cached_property
    def distinct_share(self) -> float:
        """Levels per filled cell; 1 if all values are distinct."""
        return len(self.levels.names) / max(self.filled, 1)
