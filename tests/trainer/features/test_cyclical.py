from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pigeonhole.trainer.features.cyclical import CyclicalEncoder, Wave
from pigeonhole.trainer.graph import Graph

DAY = 86_400.0
YEAR = 365.2425 * DAY


def column(*seconds: float) -> np.ndarray:
    return np.array(seconds, dtype=np.float64)[:, None]


def periods(seconds: np.ndarray) -> list[float]:
    """Return the periods of the fitted waves, in days."""
    waves = CyclicalEncoder.fit(seconds[:, None], [0]).waves
    assert [wave.shift for wave in waves] == [0.0, 0.25] * (len(waves) // 2)
    return [wave.period_s / DAY for wave in waves[::2]]


def draw(days: float, step: float, rows: int = 500) -> np.ndarray:
    """Return random seconds within some days, rounded down to multiples of a step."""
    seconds = np.random.default_rng(0).uniform(0, days * DAY, rows) + 1.7e9
    return np.floor(seconds / step) * step


DAY_WAVES = [1, 1 / 2]
WEEK_WAVES = [7, 7 / 2, 7 / 3]
YEAR_WAVES = [365.2425, 365.2425 / 2]


@pytest.mark.parametrize(
    ("days", "step", "expected"),
    [
        (0.9, 60, DAY_WAVES),  # times of day
        (10, 1, DAY_WAVES),  # less than two weeks
        (30, 1, [*DAY_WAVES, *WEEK_WAVES]),
        (30, DAY, WEEK_WAVES),  # dates only
        (600, DAY, WEEK_WAVES),  # less than two years
        (900, DAY, [*WEEK_WAVES, *YEAR_WAVES]),
        (900, 7 * DAY, YEAR_WAVES),  # always the same day of the week
        (900, 1, [*DAY_WAVES, *WEEK_WAVES, *YEAR_WAVES]),
    ],
)
def test_training_rows_decide_which_periods_are_encoded(
    days: float, step: float, expected: list[float]
) -> None:
    assert periods(draw(days, step)) == pytest.approx(expected)


def test_constant_day_of_the_year_gives_no_yearly_waves() -> None:
    new_years = np.array(["2001-01-01", "2009-01-01", "2014-01-01"] * 9, "M8[s]").astype(float)
    assert periods(new_years) == pytest.approx(WEEK_WAVES)


@pytest.mark.parametrize("seconds", [(), (np.nan, np.nan), (1.7e9,), (1.7e9, 1.7e9)])
def test_fewer_than_two_datetimes_give_no_waves(seconds: tuple[float, ...]) -> None:
    assert CyclicalEncoder.fit(column(*seconds), [0]).size == 0


def test_only_datetime_columns_are_encoded() -> None:
    both = np.stack([draw(0.9, 60), draw(0.9, 60)], axis=1)
    assert {wave.column for wave in CyclicalEncoder.fit(both, [1]).waves} == {1}
    assert CyclicalEncoder.fit(both, []).size == 0


def test_sine_is_one_at_a_quarter_of_the_period() -> None:
    encoder = CyclicalEncoder((Wave(0, DAY, 0.0), Wave(0, DAY, 0.25)))
    quarters = encoder.transform(column(0, DAY / 4, DAY / 2, 3 * DAY / 4))
    assert quarters == pytest.approx(np.array([[0, 1], [1, 0], [0, -1], [-1, 0]]), abs=1e-6)
    assert quarters.dtype == np.float32


def test_encoded_hour_is_the_same_in_any_year() -> None:
    encoder = CyclicalEncoder((Wave(0, DAY, 0.0), Wave(0, DAY, 0.25)))
    days = np.array([0.0, 1.0, 20_000.0, -719_162.0, 2_932_896.0])  # the last are years 1 and 9999
    found = encoder.transform((days * DAY + 5 * 3600)[:, None])
    assert found == pytest.approx(np.tile(found[:1], (5, 1)), abs=1e-6)


def test_missing_datetime_is_all_zeros() -> None:
    encoder = CyclicalEncoder((Wave(0, DAY, 0.0), Wave(0, DAY, 0.25)))
    assert encoder.transform(column(np.nan)).tolist() == [[0, 0]]


@given(
    training=arrays.arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats(-6.3e10, 2.6e11)),
    rows=arrays.arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats(allow_infinity=False)),
)  # fmt: skip
def test_numpy_and_graph_agree_on_any_seconds(training: np.ndarray, rows: np.ndarray) -> None:
    encoder = CyclicalEncoder(
        (*CyclicalEncoder.fit(training, [0, 1]).waves, Wave(1, YEAR, 0.0), Wave(0, DAY, 0.25))
    )
    graph = Graph("datetimes")
    waves = encoder.emit(graph, graph.input("numbers", "double", 2))
    graph.output(waves, "inputs", "float", encoder.size)
    session = onnxruntime.InferenceSession(
        graph.model({}, "test").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for part in (training, rows):
        found = encoder.transform(part)
        assert np.isfinite(found).all()
        assert (np.abs(found) <= 1).all()
        np.testing.assert_allclose(session.run(None, {"numbers": part})[0], found, atol=1e-6)
