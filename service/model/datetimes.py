"""Convert datetimes from text to seconds since 1970, and back.

ISO 8601 text is always valid. A feature may name one further format. Other texts are rejected rather
than guessed, because 01/02/2024 can mean two days.
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
"""The accepted part of ISO 8601. Python reads more: 20240501, weeks, and in later releases 24:00."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Second 0, and the date of a time without a date."""

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""The range of `to_text`: years 1 to 9999."""

EXAMPLE = datetime(2024, 12, 31, 13, 45, 30, tzinfo=UTC)
"""The example in a feature's own format. Its day, 31, can't be read as a month."""

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
    pattern = re.escape(format_)  # does not change percent signs
    for part, digits in _PARTS.items():
        pattern = pattern.replace(part, digits)
    return re.compile(pattern, re.ASCII)


FORMATS: Mapping[str, re.Pattern[str]] = {
    format_: _pattern(format_)
    for format_ in (*_DATES, *(f"{day} {hour}" for day in _DATES for hour in _TIMES), *_TIMES)
}
"""The formats that a feature may name, in the notation of strptime, with their patterns."""


def to_seconds(text: str, format_: str | None = None) -> float:
    """Return the seconds from 1970-01-01T00:00:00 UTC to a datetime.

    Args:
        text: ISO 8601, or in the format. Without an offset it is UTC. A time without a date is on
            1970-01-01. Digits beyond microseconds are cut off.
        format_: one of ``FORMATS``, or None.

    Raises:
        ValueError: the text is in another format, or the date or time does not exist.
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
        raise ValueError("not a date or time")
    return (moment - EPOCH).total_seconds()


def to_text(seconds: float, format_: str | None = None) -> str:
    """Return seconds since 1970 as the shortest ISO 8601 text in UTC.

    Examples are ``2024-05-01`` and ``2024-05-01T13:45``. With a format of times, a time on
    1970-01-01 is written in that format: ``13:45``.

    Args:
        seconds: values outside the years 1 to 9999 are clipped to ``FIRST`` or ``LAST``.
        format_: the feature's format.
    """
    try:
        moment = EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        moment = FIRST if seconds < 0 else LAST
    moment = moment.replace(tzinfo=None)  # so that isoformat leaves +00:00 out
    if format_ in _TIMES and moment.date() == EPOCH.date():
        return moment.strftime(format_)
    if moment.time() == time.min:
        return moment.date().isoformat()
    has_seconds = moment.second or moment.microsecond
    return moment.isoformat(timespec="auto" if has_seconds else "minutes")


def example(format_: str | None) -> str:
    """Return an example in a format, or in ISO 8601."""
    return "2024-05-01T13:45" if format_ is None else EXAMPLE.strftime(format_)


def describe_format(format_: str | None) -> str:
    """Return in words which texts are valid, with two examples."""
    if format_ is None:
        return f"a date such as 2024-05-01 or {example(None)}"
    text = example(format_)
    noun = "a time" if format_ in _TIMES else "a date"
    return f"{noun} such as {text} or {to_text(to_seconds(text, format_))}"
