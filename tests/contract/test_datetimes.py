"""Trainer and service read the same texts as the same datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.model import datetimes
from pigeonhole.trainer.data.cells import datetimes as trained_datetimes

EXACT = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 - the zone is drawn separately
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.none()
    | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
"""Datetimes for which each microsecond is a distinct double."""

FORMATS = st.sampled_from([None, *datetimes.FORMATS])

SIMILAR = st.from_regex(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([T ][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2})?Z?)?",
    fullmatch=True,
) | st.from_regex(r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2})?", fullmatch=True)
"""Texts that are or resemble a date or a time."""


def read_by_both(texts: list[str], format_: str | None) -> tuple[list[float], list[float]]:
    """Return the seconds that service and trainer read; NaN for rejected texts."""

    def served(text: str) -> float:
        try:
            return datetimes.to_seconds(text, format_)
        except ValueError:
            return float("nan")

    cells = pa.chunked_array([texts], pa.string())
    return [served(text) for text in texts], trained_datetimes.read_datetimes(
        cells, format_
    ).values.tolist()


def test_trainer_and_service_have_the_same_formats() -> None:
    assert set(trained_datetimes.FORMATS) == set(datetimes.FORMATS)


@given(st.lists(EXACT, min_size=1, max_size=20), st.sampled_from(["T", " "]), FORMATS)
def test_trainer_and_service_read_iso_8601_as_the_same_seconds(
    dates, separator: str, format_
) -> None:
    served, trained = read_by_both([date.isoformat(separator) for date in dates], format_)
    assert served == trained


@given(st.lists(EXACT, min_size=1, max_size=20), st.sampled_from(list(datetimes.FORMATS)))
def test_trainer_and_service_read_each_format_as_the_same_seconds(dates, format_: str) -> None:
    served, trained = read_by_both([date.strftime(format_) for date in dates], format_)
    assert served == trained
    assert not np.isnan(served).any()


@given(st.lists(SIMILAR, min_size=1, max_size=20), FORMATS)
def test_trainer_and_service_reject_the_same_texts(texts, format_) -> None:
    np.testing.assert_array_equal(*read_by_both(texts, format_))


@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-29", "2023-02-29", "0000-01-01", "0001-01-01", "9999-12-31T23:59:59Z"),
        *("2024-05-01T24:00", "2024-05-01T13:45:60", "2024-05-01T13:45+24:00", "20240501"),
        *("2024-05-01T13:45:30.1234567", "2024-05-01T13:45:30,5", "2024-05-01t13:45", "2024-W18"),
        *("0001-01-01T00:00+23:59", "2024-05-01Z", "2024-05-01T13", "2024-05-01T13:45+0200", ""),
    ],
)
def test_trainer_and_service_agree_on_borderline_texts(text: str) -> None:
    np.testing.assert_array_equal(*read_by_both([text], None))


@given(EXACT)
def test_service_reads_the_trainers_datetimes(date: datetime) -> None:
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    seconds = (aware - datetimes.EPOCH).total_seconds()
    assert datetimes.to_seconds(trained_datetimes.datetime_text(seconds)) == seconds
