"""Dates and times: from a caller's text to seconds since 1970, and back for people to read.

ISO 8601 is always understood, and one further pattern where a feature names it. Nothing is guessed:
what fits neither is refused, for 01/02/2024 means two different days.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

ISO = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?",
    re.ASCII,
)
"""What is taken of ISO 8601. Python reads more: 20240501, weeks, and in later releases 24:00."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Where the seconds are counted from, and the day that a time without a date belongs to."""

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""The moments that can be shown: the years 1 to 9999."""

EXAMPLE = datetime(2024, 12, 31, 13, 45, 30, tzinfo=UTC)
"""Shown in a feature's own format: its day can be no month."""

_PARTS = {
    "%Y": r"(?P<year>\d{4})",
    "%m": r"(?P<month>\d{1,2})",
    "%d": r"(?P<day>\d{1,2})",
    "%H": r"(?P<hour>\d{1,2})",
    "%M": r"(?P<minute>\d{2})",
    "%S": r"(?P<second>\d{2})",
}

_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d")

_TIMES = ("%H:%M", "%H:%M:%S")


def _pattern(format_: str) -> re.Pattern[str]:
    spelled = re.escape(format_)  # which leaves percent signs as they are
    for part, digits in _PARTS.items():
        spelled = spelled.replace(part, digits)
    return re.compile(spelled, re.ASCII)


FORMATS: Mapping[str, re.Pattern[str]] = {
    format_: _pattern(format_)
    for format_ in (*_DATES, *(f"{day} {hour}" for day in _DATES for hour in _TIMES), *_TIMES)
}
"""The formats that a feature may name, in strptime's letters: the contract's list."""


def to_seconds(text: str, format_: str | None = None) -> float:
    """Seconds since 1970-01-01T00:00:00 UTC.

    Args:
        text: ISO 8601, or in that format. Without an offset it is UTC, a time without a date is one
            of 1970-01-01, and what is finer than microseconds is cut off.
        format_: one of ``FORMATS``, or None.

    Raises:
        ValueError: for any other text, and for days and times that there are not.
    """
    if ISO.fullmatch(text):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
    elif format_ is not None and (found := FORMATS[format_].fullmatch(text)):
        parts = {name: int(digits) for name, digits in found.groupdict().items()}
        moment = datetime(
            parts.get("year", EPOCH.year),
            parts.get("month", EPOCH.month),
            parts.get("day", EPOCH.day),
            parts.get("hour", 0),
            parts.get("minute", 0),
            parts.get("second", 0),
            tzinfo=UTC,
        )
    else:
        raise ValueError("no date or time")
    return (moment - EPOCH).total_seconds()


def to_text(seconds: float, format_: str | None = None) -> str:
    """Seconds since 1970 as the shortest ISO 8601 in UTC: ``2024-05-01``, ``2024-05-01T13:45``.

    A time without a date is written in its own format, ``13:45``. What lies before the year 1 or
    after the year 9999 is shown as ``FIRST`` or ``LAST``.
    """
    try:
        moment = EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        moment = FIRST if seconds < 0 else LAST
    moment = moment.replace(tzinfo=None)  # UTC goes without saying
    if format_ in _TIMES and moment.date() == EPOCH.date():
        return moment.strftime(format_)
    if moment.time() == time.min:
        return moment.date().isoformat()
    whole = not moment.second and not moment.microsecond
    return moment.isoformat(timespec="minutes" if whole else "auto")


def example(format_: str | None) -> str:
    """A text in that format, or in ISO 8601."""
    return "2024-05-01T13:45" if format_ is None else EXAMPLE.strftime(format_)


def expected(format_: str | None) -> str:
    """What a caller is asked for, in words, with examples."""
    if format_ is None:
        return f"a date such as 2024-05-01 or {example(None)}"
    text = example(format_)
    noun = "a time" if format_ in _TIMES else "a date"
    return f"{noun} such as {text} or {to_text(to_seconds(text, format_))}"
