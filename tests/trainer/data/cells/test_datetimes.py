import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.data.cells.datetimes import (
    FIRST_S,
    FORMATS,
    LAST_S,
    TIMES,
    DatetimeFormat,
    datetime_text,
    detect_format,
    read_datetimes,
)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def cells(*texts: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.string())])


def seconds(text: str, format_: str | None = None) -> float:
    return read_datetimes(cells(text), format_).values[0]


def since_1970(*parts: int) -> float:
    return (dt.datetime(*parts, tzinfo=dt.UTC) - EPOCH).total_seconds()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1970-01-01", (1970, 1, 1)),
        ("2024-05-01", (2024, 5, 1)),
        ("2024-05-01T13:45", (2024, 5, 1, 13, 45)),
        ("2024-05-01 13:45:30", (2024, 5, 1, 13, 45, 30)),
        ("2024-05-01T13:45:30.5", (2024, 5, 1, 13, 45, 30, 500_000)),
        ("2024-05-01T13:45:30.123456", (2024, 5, 1, 13, 45, 30, 123_456)),
        ("2024-05-01T13:45:30.123456999", (2024, 5, 1, 13, 45, 30, 123_456)),
        ("2024-05-01T13:45Z", (2024, 5, 1, 13, 45)),
        ("2024-05-01T13:45+02:00", (2024, 5, 1, 11, 45)),
        ("2024-05-01T13:45:30-09:30", (2024, 5, 1, 23, 15, 30)),
        ("1969-12-31T23:59:59.25", (1969, 12, 31, 23, 59, 59, 250_000)),
        ("2024-02-29", (2024, 2, 29)),
        ("0001-01-01", (1, 1, 1)),
        ("9999-12-31T23:59:59.999", (9999, 12, 31, 23, 59, 59, 999_000)),
    ],
)
def test_iso_8601_is_read_as_seconds_since_1970(text, parts):
    assert seconds(text) == since_1970(*parts)
    assert seconds(text, "%d.%m.%Y") == since_1970(*parts)


@pytest.mark.parametrize(
    "text",
    [
        *("2024-5-1", "2024-13-01", "2023-02-29", "2024-04-31", "0000-01-01", "20240501", "2024"),
        *("2024-05-01T13", "2024-05-01T24:00", "2024-05-01T13:60", "2024-05-01T13:45:60"),
        *("2024-05-01t13:45", "2024-05-01T13:45:30,5", "2024-05-01T13:45+02", "2024-05-01Z"),
        *("2024-05-01T13:45+24:00", "2024-05-01T13:45 Z", "2024-05-01T13:45:", "1/5/2024", "x"),
        *("2024-05-01\n", " 2024-05-01", "2024-05-0１"),  # noqa: RUF001 - another digit one
    ],
)
def test_text_other_than_iso_8601_is_unparsable(text):
    read = read_datetimes(cells("2024-05-01", text, None))
    assert np.isnan(read.values[1:]).all()
    assert read.unparsable.tolist() == [1]
    assert not len(read.infinite)


@pytest.mark.parametrize(
    ("text", "format_", "parts"),
    [
        ("31/12/2023", "%d/%m/%Y", (2023, 12, 31)),
        ("1/2/2023", "%d/%m/%Y", (2023, 2, 1)),
        ("1/2/2023", "%m/%d/%Y", (2023, 1, 2)),
        ("01.02.2023 5:07", "%d.%m.%Y %H:%M", (2023, 2, 1, 5, 7)),
        ("01-02-2023 05:07:09", "%d-%m-%Y %H:%M:%S", (2023, 2, 1, 5, 7, 9)),
        ("2023/02/01", "%Y/%m/%d", (2023, 2, 1)),
        ("05:07", "%H:%M", (1970, 1, 1, 5, 7)),
        ("23:59:59", "%H:%M:%S", (1970, 1, 1, 23, 59, 59)),
    ],
)
def test_named_format_is_read(text, format_, parts):
    assert seconds(text, format_) == since_1970(*parts)
    assert np.isnan(seconds(text))


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        ("31/12/2023", "%m/%d/%Y"),
        ("31.02.2023", "%d.%m.%Y"),
        ("01x02x2023", "%d.%m.%Y"),
        ("01.02.23", "%d.%m.%Y"),
        ("2:1", "%H:%M"),  # a score of a match
        ("24:00", "%H:%M"),
    ],
)
def test_impossible_days_and_times_are_not_read(text, format_):
    assert np.isnan(seconds(text, format_))


@pytest.mark.parametrize("format_", FORMATS)
@given(value=st.datetimes(timezones=st.just(dt.UTC)))
def test_text_of_strftime_reads_back(format_, value):
    # strftime may write a year before 1000 with fewer digits.
    text = value.strftime(format_.replace("%Y", f"{value.year:04}"))
    day = EPOCH if format_ in TIMES else value
    expected = dt.datetime.combine(day, dt.time(0), dt.UTC)
    if "%H" in format_:
        expected = expected.replace(hour=value.hour, minute=value.minute)
    if "%S" in format_:
        expected = expected.replace(second=value.second)
    assert seconds(text, format_) == (expected - EPOCH).total_seconds()


@given(st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-3.5))])))
def test_text_of_isoformat_reads_back(value):
    expected = (value - EPOCH).total_seconds()
    assert seconds(value.isoformat()) == pytest.approx(expected, abs=1e-7, rel=1e-15)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([dt.date(2024, 5, 1), None]), [since_1970(2024, 5, 1), np.nan]),
        (pa.array([dt.date(1969, 12, 31)], pa.date64()), [-86_400.0]),
        (pa.array([1500, None], pa.timestamp("ms")), [1.5, np.nan]),
        (pa.array([-1], pa.timestamp("s", "Europe/Paris")), [-1.0]),
        (pa.array([1_700_000_000_123_456], pa.timestamp("us")), [1_700_000_000.123456]),
        (pa.array([1_500_000_001], pa.timestamp("ns", "UTC")), [1.500000001]),
        (pa.array([3600], pa.time32("s")), [3600.0]),
        (pa.array([1500], pa.time32("ms")), [1.5]),
        (pa.array([1_500_000], pa.time64("us")), [1.5]),
        (pa.array([1_500_000_000], pa.time64("ns")), [1.5]),
        (pa.nulls(2), [np.nan, np.nan]),
    ],
)
def test_typed_columns_are_read_in_their_unit(column, values):
    read = read_datetimes(pa.chunked_array([column]))
    np.testing.assert_array_equal(read.values, values)
    assert not len(read.unparsable)


def detect(*texts: str | None) -> DatetimeFormat | None:
    return detect_format(cells(*texts))


@pytest.mark.parametrize("format_", FORMATS)
def test_format_of_a_column_is_detected(format_):
    dates = [dt.datetime(2020, 1 + i % 12, 1 + i % 28, i % 24, i % 60, i) for i in range(50)]  # noqa: DTZ001
    assert detect(*(m.strftime(format_) for m in dates), None) == DatetimeFormat(format_)


def test_mixed_forms_of_iso_8601_have_no_format():
    assert detect("2024-05-01", "2024-05-01T13:45", "2024-05-01 13:45:30Z") == DatetimeFormat(None)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("01/02/2023", "3/4/2023"), DatetimeFormat("%m/%d/%Y", "%d/%m/%Y")),
        (("01-02-2023", "3-4-2023"), DatetimeFormat("%d-%m-%Y", "%m-%d-%Y")),
        (
            ("01-02-2023 10:00", "03-04-2023 10:00"),
            DatetimeFormat("%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M"),
        ),
        (("01/02/2023", "1/3/2023", "13/4/2023"), DatetimeFormat("%d/%m/%Y")),
        (("01-02-2023", "1-3-2023", "3-14-2023"), DatetimeFormat("%m-%d-%Y")),
        (("01.02.2023", "3.4.2023"), DatetimeFormat("%d.%m.%Y")),
    ],
)
def test_ambiguous_dates_have_an_alternative_format(texts, expected):
    assert detect(*texts) == expected


def test_one_day_after_the_twelfth_decides_the_order_of_day_and_month():
    assert detect(*["01/02/2023"] * 5_555, "13/02/2023", *["03/02/2023"] * 5_555) == DatetimeFormat(
        "%d/%m/%Y"
    )


@pytest.mark.parametrize(
    "texts",
    [
        *((), (None,), ("red", "blue"), ("1.2.3", "1.10.0"), ("2:1", "0:0")),
        (*["2024-05-01"] * 5, *["soon"] * 5),
    ],
)
def test_column_with_few_datetimes_has_no_format(texts):
    assert detect(*texts) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "1970-01-01"),
        (45_000.0, "1970-01-01T12:30"),
        (1.0, "1970-01-01T00:00:01"),
        (0.5, "1970-01-01T00:00:00.500000"),
        (-1e300, "0001-01-01"),
        (LAST_S + 1.0, "9999-12-31T23:59:59.999999"),
    ],
)
def test_datetimes_are_written_in_the_shortest_form(value, text):
    assert datetime_text(value) == text


@given(st.floats(FIRST_S, LAST_S - 1))
def test_written_datetime_reads_back_to_the_microsecond(value):
    assert seconds(datetime_text(value)) == pytest.approx(value, abs=1e-6, rel=1e-15)


def test_ambiguous_dates_mixed_with_iso_8601_have_no_format() -> None:
    slashes = [f"{day:02}/03/2024" for day in range(1, 9)]
    assert detect(*slashes) is not None
    assert detect(*slashes, "2024-03-08", "2024-03-09") is None
    assert detect("25/03/2024", *slashes, "2024-03-08") is not None  # 25 can't be a month
