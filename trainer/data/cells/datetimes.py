"""Cells as dates and times: seconds since 1970-01-01T00:00:00 UTC.

A column is in ISO 8601 or in one of ``FORMATS``. ISO 8601 is ``2024-05-01`` or ``2024-05-01T13:45``,
optionally with ``:30``, ``.123456``, ``Z`` or ``+02:00``, a blank for the T, and the years 0001 to
9999. Without an offset it is UTC; digits beyond microseconds are cut off. In the other formats, days,
months and hours may have one digit, and times without a date are on 1970-01-01.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .numbers import Numbers

_DATES = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d")

TIMES = ("%H:%M", "%H:%M:%S")
"""Formats of times without a date."""

FORMATS = (*_DATES, *(f"{day} {hour}" for day in _DATES for hour in TIMES), *TIMES)
"""Formats of ``strptime``, beside ISO 8601.

If day and month can't be told apart, the first matching format counts: with slashes the month comes
first, as in the United States, where most such tables come from; with dashes the day.
"""

ISO = (
    r"^(?P<year>[0-9]{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?:Z|(?P<ahead>[+-])(?P<zone_hour>[01][0-9]|2[0-3]):(?P<zone_minute>[0-5][0-9]))?)?$"
)

_PARTS = {
    "%Y": r"(?P<year>[0-9]{4})",
    "%m": r"(?P<month>0?[1-9]|1[0-2])",
    "%d": r"(?P<day>0?[1-9]|[12][0-9]|3[01])",
    "%H": r"(?P<hour>[01]?[0-9]|2[0-3])",
    "%M": r"(?P<minute>[0-5][0-9])",  # two digits, because 2:1 is a score
    "%S": r"(?P<second>[0-5][0-9])",
}


def _pattern(format_: str) -> str:
    pattern = format_.replace(".", r"\.")
    for part, digits in _PARTS.items():
        pattern = pattern.replace(part, digits)
    return f"^{pattern}$"


_PATTERNS = {None: ISO} | {format_: _pattern(format_) for format_ in FORMATS}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FIRST_S, LAST_S = -62_135_596_800, 253_402_300_800
"""Start of the year 1 and end of the year 9999, in seconds."""

SAMPLE = 1000
"""Cells on which every format is tried; only likely formats read the whole column."""

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks per second of pyarrow's units."""

DAY_S = 86_400


@dataclass(frozen=True)
class DatetimeFormat:
    """The format of the dates and times in a column.

    Attributes:
        format: one of ``FORMATS``, or None for ISO 8601.
        alternative: a format that reads as many cells, with day and month swapped.
    """

    format: str | None
    alternative: str | None = None


def detect_format(column: pa.ChunkedArray[Any]) -> DatetimeFormat | None:
    """Return the format of most cells of a text column, or None if none fits."""
    filled = column.drop_null()
    if not len(filled):
        return None
    sample = filled.take(np.linspace(0, len(filled) - 1, min(SAMPLE, len(filled)), dtype=np.int64))
    # Half of a sample is far from nearly all of a column, so a fitting format is never missed.
    likely = [known for known in (None, *FORMATS) if _count(sample, known) > len(sample) / 2]
    if len(likely) <= 1:
        return DatetimeFormat(likely[0]) if likely else None
    counts = [_count(filled, known) for known in likely]
    best, *others = np.flatnonzero(np.equal(counts, max(counts))).tolist()
    if others and _count(filled, None):
        return None  # cells in ISO 8601 among cells whose format would be a guess
    return DatetimeFormat(likely[best], likely[others[0]] if others else None)


def read_datetimes(column: pa.ChunkedArray[Any], format_: str | None = None) -> Numbers:
    """Return a column of dates, times or text as seconds since 1970.

    Args:
        column: text, or pyarrow's types of dates, times and timestamps.
        format_: of text, one of ``FORMATS``; ISO 8601 is accepted too.
    """
    if not pa.types.is_string(column.type):
        return _to_numbers(column, _typed_seconds(column))
    values = _text_seconds(column, format_)
    if format_ is not None:
        values = np.where(np.isnan(values), _text_seconds(column, None), values)
    return _to_numbers(column, values)


def datetime_text(seconds: float) -> str:
    """Return seconds since 1970 as the shortest ISO 8601: ``2024-05-01``, ``2024-05-01T13:45``.

    Values outside the years 1 to 9999 give the nearest datetime within.
    """
    try:
        value = EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        value = EPOCH.replace(year=1) if seconds < 0 else datetime.max  # noqa: DTZ901 - UTC
    value = value.replace(tzinfo=None)
    if value.time() == time.min:
        return value.date().isoformat()
    has_seconds = value.second or value.microsecond
    return value.isoformat(timespec="auto" if has_seconds else "minutes")


def _to_numbers(column: pa.ChunkedArray[Any], values: NDArray[np.float64]) -> Numbers:
    unparsable = np.flatnonzero(np.isnan(values) & pc.is_valid(column).to_numpy())
    return Numbers(values, unparsable, infinite=np.empty(0, np.int64))


def _typed_seconds(column: pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    """Return dates, times or timestamps as seconds, float64 (rows,)."""
    type_ = column.type
    if pa.types.is_null(type_):
        return np.full(len(column), np.nan)
    if pa.types.is_date32(type_):
        column, per_second = column.cast(pa.int32()), 1 / DAY_S
    else:
        per_second = UNITS["ms" if pa.types.is_date64(type_) else type_.unit]
        column = column.cast(pa.int32() if pa.types.is_time32(type_) else pa.int64())
    ticks = column.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(ticks / per_second, np.float64)


def _count(cells: Any, format_: str | None) -> int:
    """Return how many cells a format reads."""
    return int(np.count_nonzero(~np.isnan(_text_seconds(cells, format_))))


def _text_seconds(cells: Any, format_: str | None) -> NDArray[np.float64]:
    """Return text cells as seconds, float64 (rows,); NaN where the format does not fit."""
    parts = pc.extract_regex(cells, _PATTERNS[format_])
    matches = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    if not matches.any():
        return np.full(len(matches), np.nan)
    days, exists = _days(parts)
    seconds = days * DAY_S + _minutes(parts) * 60 + _part(parts, "second", 0)
    microseconds = seconds * 10**6 + _part(parts, "fraction", 0)
    return np.where(matches & exists, microseconds / 10**6, np.nan)


def _days(parts: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return days since 1970, int64 (rows,), and whether the calendar has them, bool (rows,)."""
    year, day = _part(parts, "year", EPOCH.year), _part(parts, "day", 1)
    months = (year - EPOCH.year) * 12 + _part(parts, "month", 1) - 1
    month: NDArray[Any] = months.astype("M8[M]")
    first = month.astype("M8[D]").astype(np.int64)
    next_first = (month + np.timedelta64(1, "M")).astype("M8[D]").astype(np.int64)
    return first + day - 1, (year >= 1) & (day <= next_first - first)


def _minutes(parts: Any) -> NDArray[np.int64]:
    """Return minutes since midnight UTC, int64 (rows,)."""
    minutes = _part(parts, "hour", 0) * 60 + _part(parts, "minute", 0)
    if "ahead" not in _part_names(parts):
        return minutes
    is_minus = pc.equal(pc.struct_field(parts, "ahead"), "-")
    west = pc.fill_null(is_minus, fill_value=False).to_numpy(zero_copy_only=False)
    offset = _part(parts, "zone_hour", 0) * 60 + _part(parts, "zone_minute", 0)
    return minutes + np.where(west, offset, -offset)


def _part(parts: Any, name: str, default: int) -> NDArray[np.int64]:
    """Return a part of each cell, int64 (rows,), or the default where a cell does not have it."""
    if name not in _part_names(parts):
        return np.full(len(parts), default, np.int64)
    digits = pc.struct_field(parts, name)
    if name == "fraction":
        digits = pc.utf8_rpad(pc.utf8_slice_codeunits(digits, 0, 6), 6, "0")
    digits = pc.if_else(pc.equal(digits, ""), None, digits)
    return np.asarray(pc.fill_null(digits.cast(pa.int64()), default).to_numpy(), np.int64)


def _part_names(parts: Any) -> set[str]:
    return {parts.type.field(index).name for index in range(parts.type.num_fields)}
