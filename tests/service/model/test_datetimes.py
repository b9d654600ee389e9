from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.model.datetimes import (
    EPOCH,
    FORMATS,
    describe_format,
    example,
    to_seconds,
    to_text,
)

DAY = 86_400

OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def test_formats_are_those_of_the_contract() -> None:
    dates = ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"]
    times = ["%H:%M", "%H:%M:%S"]
    assert set(FORMATS) == {*dates, *times, *(f"{d} {t}" for d in dates for t in times)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-02", DAY),
        ("1969-12-31T23:59:59", -1),
        ("2024-05-01", 1714521600),
        ("2024-05-01T13:45", 1714571100),
        ("2024-05-01 13:45", 1714571100),
        ("2024-05-01T13:45:30", 1714571130),
        ("2024-05-01T13:45:30.5", 1714571130.5),
        ("2024-05-01T13:45:30.123456", 1714571130.123456),
        ("2024-05-01T13:45:30.123456789Z", 1714571130.123456),
        ("2024-05-01T13:45Z", 1714571100),
        ("2024-05-01T13:45+02:00", 1714563900),
        ("2024-05-01 13:45:00-00:30", 1714572900),
        ("2024-02-29", 1709164800),
        ("0001-01-01", -62135596800),
        ("0001-01-01T00:00+23:59", -62135683140),
        ("9999-12-31T23:59:59", 253402300799),
    ],
)
def test_iso_8601_is_read_with_any_format(text: str, seconds: float) -> None:
    assert to_seconds(text) == seconds
    assert to_seconds(text, "%d/%m/%Y") == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "now", "1714521600", "2024", "2024-05", "13:45", "NaN"),
        *("20240501", "20240501T134500", "2024-W18-3", "2024W183", "2024-122", "24-05-01"),
        *("2024-5-1", "2024-05-1", "2024/05/01", "01/05/2024", "2024-05-01T", "2024-05-01Z"),
        *("2024-05-01T13", "2024-05-01T1345", "2024-05-01T13:45:30,5", "2024-05-01T13:45:30."),
        *("2024-05-01t13:45", "2024-05-01T13:45z", "2024-05-01_13:45", "2024-05-01  13:45"),
        *("2024-05-01T13:45+02", "2024-05-01T13:45+0200", "2024-05-01T13:45 +02:00"),
        *("2024-05-01T13:45+24:00", "2024-05-01T13:45+02:60", "2024-05-01T13:45+02:00:30"),
        *("2024-05-01T24:00", "2024-05-01T13:60", "2024-05-01T13:45:60", "2024-05-01T25:00"),
        *("2023-02-29", "2024-02-30", "2024-04-31", "2024-13-01", "2024-00-01", "2024-05-00"),
        *("0000-01-01", "10000-01-01", "-2024-05-01", "+2024-05-01", "2024-05-01\n"),
        *(" 2024-05-01", "\u0662\u0660\u0662\u0664-05-01", "2024\u201005\u201001", "2024-05-01\0"),
    ],
)
def test_text_that_is_not_iso_8601_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        to_seconds(text)


@pytest.mark.parametrize(
    ("format_", "text", "iso"),
    [
        ("%d/%m/%Y", "01/05/2024", "2024-05-01"),
        ("%d/%m/%Y", "1/5/2024", "2024-05-01"),
        ("%m/%d/%Y", "01/05/2024", "2024-01-05"),
        ("%d.%m.%Y", "31.12.1969", "1969-12-31"),
        ("%d-%m-%Y", "29-02-2024", "2024-02-29"),
        ("%m-%d-%Y", "02-29-2024", "2024-02-29"),
        ("%Y/%m/%d", "2024/05/01", "2024-05-01"),
        ("%d/%m/%Y %H:%M", "01/05/2024 9:05", "2024-05-01T09:05"),
        ("%Y/%m/%d %H:%M:%S", "2024/05/01 23:59:59", "2024-05-01T23:59:59"),
        ("%H:%M", "13:45", "1970-01-01T13:45"),
        ("%H:%M:%S", "13:45:07", "1970-01-01T13:45:07"),
    ],
)
def test_text_is_read_by_its_format(format_: str, text: str, iso: str) -> None:
    assert to_seconds(text, format_) == to_seconds(iso)


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("%d/%m/%Y", "05/13/2024"),
        ("%d/%m/%Y", "30/02/2024"),
        ("%d/%m/%Y", "01/05/24"),
        ("%d/%m/%Y", "01/05/0000"),
        ("%d/%m/%Y", "001/05/2024"),
        ("%d/%m/%Y", "01/05/2024 13:45"),
        ("%d/%m/%Y", "01-05-2024"),
        ("%d.%m.%Y", "01x05x2024"),
        ("%d/%m/%Y %H:%M", "01/05/2024"),
        ("%d/%m/%Y %H:%M", "01/05/2024T13:45"),
        ("%d/%m/%Y %H:%M", "01/05/2024 13:45:30"),
        ("%d/%m/%Y %H:%M", "01/05/2024 24:00"),
        ("%H:%M", "13:60"),
        ("%H:%M", "13:4"),
        ("%H:%M:%S", "13:45:7"),
        ("%H:%M", "1:45 PM"),
        ("%H:%M:%S", "13:45:60"),
        ("%H:%M", "\u0661\u0663:45"),
    ],
)
def test_text_that_does_not_match_its_format_is_rejected(format_: str, text: str) -> None:
    with pytest.raises(ValueError):
        to_seconds(text, format_)


@given(st.datetimes(timezones=OFFSETS), st.sampled_from(["T", " "]))
def test_isoformat_reads_back_exactly(moment: datetime, separator: str) -> None:
    exact = (moment - EPOCH) / timedelta(seconds=1)
    assert to_seconds(moment.isoformat(separator)) == exact


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(list(FORMATS)))
def test_strftime_in_each_format_reads_back_exactly(moment: datetime, format_: str) -> None:
    # Some systems write years before 1000 with fewer than four digits.
    text = moment.strftime(format_.replace("%Y", f"{moment.year:04}"))
    read = datetime.strptime(text, format_).replace(tzinfo=UTC)
    if "%Y" not in format_:
        read = read.replace(year=1970)  # strptime uses 1900
    assert to_seconds(text, format_) == (read - EPOCH).total_seconds()


@given(st.text() | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:+Z-]*)?\Z"))
def test_any_text_is_read_or_rejected(text: str) -> None:
    try:
        seconds = to_seconds(text, "%d/%m/%Y")
    except ValueError:
        return
    assert math.isfinite(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01"),
        (1714521600, "2024-05-01"),
        (1714571100, "2024-05-01T13:45"),
        (1714571130, "2024-05-01T13:45:30"),
        (1714521600.5, "2024-05-01T00:00:00.500000"),
        (-0.25, "1969-12-31T23:59:59.750000"),
        (-62135596800, "0001-01-01"),
        (-1e300, "0001-01-01"),
        (1e300, "9999-12-31T23:59:59.999999"),
        (math.inf, "9999-12-31T23:59:59.999999"),
    ],
)
def test_seconds_become_the_shortest_iso_text(seconds: float, text: str) -> None:
    assert to_text(seconds) == text
    assert to_text(seconds, "%d/%m/%Y") == text


@pytest.mark.parametrize(
    ("seconds", "format_", "text"),
    [
        (0, "%H:%M", "00:00"),
        (49500, "%H:%M", "13:45"),
        (49500, "%H:%M:%S", "13:45:00"),
        (86400, "%H:%M", "1970-01-02"),
        (-1, "%H:%M", "1969-12-31T23:59:59"),
    ],
)
def test_time_of_day_is_written_without_the_day(seconds: float, format_: str, text: str) -> None:
    assert to_text(seconds, format_) == text


@given(st.integers(-(10**16), 10**16))
def test_text_of_seconds_reads_back_as_the_same_microsecond(microseconds: int) -> None:
    seconds = microseconds / 10**6
    assert to_seconds(to_text(seconds)) == pytest.approx(seconds, abs=1e-6, rel=0)


@pytest.mark.parametrize("format_", [None, *FORMATS])
def test_examples_of_each_format_are_valid(format_: str | None) -> None:
    words = describe_format(format_)
    assert words.startswith(("a date such as ", "a time such as "))
    first, second = words.partition(" such as ")[2].split(" or ")
    assert to_seconds(example(format_), format_)
    seconds = to_seconds(first, format_)
    if format_ is None:
        assert seconds < to_seconds(second) < seconds + DAY
    else:
        assert seconds == to_seconds(second)
        assert first == example(format_)
