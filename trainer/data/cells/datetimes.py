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
class Notation:
    """Notation of the dates and times of a column.

    Attributes:
        format: one of ``FORMATS``, or None for ISO 8601.
        rival: another format that reads as many cells, with day and month swapped.
    """

    format: str | None
    rival: str | None = None


def notation(column: pa.ChunkedArray[Any]) -> Notation | None:
    """Return the notation of most cells of a text column, by a sample; None without one."""
    filled = column.drop_null()
    if not len(filled):
        return None
    sample = filled.take(np.linspace(0, len(filled) - 1, min(SAMPLE, len(filled)), dtype=np.int64))
    # Half of a sample is far from nearly all of a column, so a fitting format is never missed.
    likely = [known for known in (None, *FORMATS) if _count(sample, known) > len(sample) / 2]
    if len(likely) <= 1:
        return Notation(likely[0]) if likely else None
    counts = [_count(filled, known) for known in likely]
    best, rivals = int(np.argmax(counts)), np.flatnonzero(np.equal(counts, max(counts)))[1:]
    if len(rivals) and _count(filled, None):
        return None  # two spellings in one column, one of them a guess
    return Notation(likely[best], likely[rivals[0]] if len(rivals) else None)


def read_datetimes(column: pa.ChunkedArray[Any], format_: str | None = None) -> Numbers:
    """Return a column of dates, times or text as seconds since 1970.

    Args:
        column: text, or pyarrow's types of dates, times and timestamps.
        format_: of text, one of ``FORMATS``; ISO 8601 is accepted too.
    """
    if not pa.types.is_string(column.type):
        return _numbers(column, _ticks(column))
    values = _seconds(column, format_)
    if format_ is not None:
        values = np.where(np.isnan(values), _seconds(column, None), values)
    return _numbers(column, values)


def datetime_text(seconds: float) -> str:
    """Return seconds since 1970 as the shortest ISO 8601: ``2024-05-01``, ``2024-05-01T13:45``.

    Values outside the years 1 to 9999 give the nearest datetime within.
    """
    try:
        moment = EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        moment = EPOCH.replace(year=1) if seconds < 0 else datetime.max  # noqa: DTZ901 - UTC
    moment = moment.replace(tzinfo=None)
    if moment.time() == time.min:
        return moment.date().isoformat()
    full = moment.second or moment.microsecond
    return moment.isoformat(timespec="auto" if full else "minutes")


def _numbers(column: pa.ChunkedArray[Any], values: NDArray[np.float64]) -> Numbers:
    unparsable = np.flatnonzero(np.isnan(values) & pc.is_valid(column).to_numpy())
    return Numbers(values, unparsable, infinite=np.empty(0, np.int64))


def _ticks(column: pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    """Return typed cells as seconds, float64 (rows,)."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_date32(kind):
        column, per_second = column.cast(pa.int32()), 1 / DAY_S
    else:
        per_second = UNITS["ms" if pa.types.is_date64(kind) else kind.unit]
        column = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
    ticks = column.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(ticks / per_second, np.float64)


def _count(cells: Any, format_: str | None) -> int:
    """Return how many cells a format reads."""
    return int(np.count_nonzero(~np.isnan(_seconds(cells, format_))))


def _seconds(cells: Any, format_: str | None) -> NDArray[np.float64]:
    """Return text cells as seconds, float64 (rows,); NaN where the format does not fit."""
    parts = pc.extract_regex(cells, _PATTERNS[format_])
    known = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    if not known.any():
        return np.full(len(known), np.nan)
    names = {parts.type.field(i).name for i in range(parts.type.num_fields)}

    def part(name: str, default: int) -> NDArray[np.int64]:
        """Return a part of each cell, int64 (rows,), or the default."""
        if name not in names:
            return np.full(len(known), default, np.int64)
        digits = pc.struct_field(parts, name)
        if name == "fraction":
            digits = pc.utf8_rpad(pc.utf8_slice_codeunits(digits, 0, 6), 6, "0")
        digits = pc.if_else(pc.equal(digits, ""), None, digits)
        return np.asarray(pc.fill_null(digits.cast(pa.int64()), default).to_numpy(), np.int64)

    year, day = part("year", EPOCH.year), part("day", 1)
    month: NDArray[Any] = ((year - EPOCH.year) * 12 + part("month", 1) - 1).astype("M8[M]")
    first = month.astype("M8[D]").astype(np.int64)
    following = (month + np.timedelta64(1, "M")).astype("M8[D]").astype(np.int64)
    minutes = part("hour", 0) * 60 + part("minute", 0)
    if "ahead" in names:
        behind = pc.equal(pc.struct_field(parts, "ahead"), "-")
        west = pc.fill_null(behind, fill_value=False).to_numpy(zero_copy_only=False)
        zone = part("zone_hour", 0) * 60 + part("zone_minute", 0)
        minutes += np.where(west, zone, -zone)
    seconds = (first + day - 1) * DAY_S + minutes * 60 + part("second", 0)
    microseconds = seconds * 10**6 + part("fraction", 0)
    exists = known & (year >= 1) & (day <= following - first)
    return np.where(exists, microseconds / 10**6, np.nan)
