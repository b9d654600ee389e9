from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pigeonhole.trainer.features.numeric import BOUND, RobustScaler, two_valued
from pigeonhole.trainer.graph import Graph

FLOATS = st.floats(allow_nan=True, allow_infinity=False)


def tables(columns: int) -> st.SearchStrategy[np.ndarray]:
    """Return any numbers, (rows, columns), with missing values."""
    return st.integers(0, 12).flatmap(
        lambda rows: arrays.arrays(np.float64, (rows, columns), elements=FLOATS)
    )


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def runner(scaler: RobustScaler) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs the graph of the scaler alone."""
    graph = Graph("scaler")
    columns = len(scaler.center)
    scaled = scaler.emit(graph, graph.input("numbers", "double", columns))
    graph.output(scaled, "inputs", "float", columns)
    content = graph.model({}, "test").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda numbers: session.run(["inputs"], {"numbers": numbers})[0]


def test_column_is_centered_by_median_and_scaled_by_quartiles() -> None:
    # Median 3, quartiles 2 and 4: u of 5 is (5 - 3) / 2 = 1, of 13 it is 5.
    scaler = RobustScaler.fit(column(1, 2, 3, 4, 5))
    assert scaler.center.tolist() == [3]
    assert scaler.factor.tolist() == [0.5]
    scaled = scaler.transform(column(3, 5, 1, 13))
    bent = 1 / np.sqrt(1 + 1 / 9)
    expected = [0, bent, -bent, 5 / np.sqrt(1 + 25 / 9)]
    assert scaled[:, 0] == pytest.approx(expected, rel=1e-6)
    assert scaled.dtype == np.float32


def test_column_with_equal_quartiles_is_scaled_by_half_its_range() -> None:
    scaler = RobustScaler.fit(column(7, 7, 7, 7, 7, 7, 7, 11))
    assert (scaler.center[0], scaler.factor[0]) == (7, 0.5)


def test_missing_number_counts_as_the_median() -> None:
    scaler = RobustScaler.fit(column(1, np.nan, 2, np.nan, 3))
    assert scaler.center[0] == 2
    assert scaler.transform(column(np.nan, 2)).tolist() == [[0], [0]]


@pytest.mark.parametrize("value", [0.0, 0.1, -5e-324, 1e15, 1.7e308])
def test_constant_column_gives_zeros_for_any_number(value: float) -> None:
    scaler = RobustScaler.fit(column(value, value, value))
    assert not scaler.transform(column(value, 0, -1.7e308, 1.7e308, np.nan)).any()


def test_column_without_numbers_gives_zeros() -> None:
    scaler = RobustScaler.fit(column(np.nan, np.nan))
    assert not scaler.transform(column(3, np.nan)).any()


def test_nearly_constant_column_keeps_its_difference() -> None:
    scaler = RobustScaler.fit(column(*[5.0] * 99, 5 + 1e-9))
    low, high = scaler.transform(column(5, 5 + 1e-9))[:, 0]
    assert (low, high) == (0, pytest.approx(2 / np.sqrt(1 + 4 / 9)))


def test_subnormal_spread_counts_as_zero() -> None:
    scaler = RobustScaler.fit(column(0, 5e-324, 1e-323))
    assert np.isfinite(scaler.factor).all()
    assert np.isfinite(scaler.transform(column(1, -1e308))).all()


def test_scaling_does_not_overflow_float64() -> None:
    scaler = RobustScaler.fit(column(-1.7e308, -1.6e308, 0, 1.6e308, 1.7e308))
    assert np.isfinite([*scaler.center, *scaler.factor]).all()
    scaled = scaler.transform(column(-1.7e308, -1e307, 1e307, 1.7e308))[:, 0]
    assert (np.diff(scaled) > 0).all()


@pytest.mark.parametrize("start", [1e15, 1.7e15])
def test_large_ids_and_times_stay_distinct(start: float) -> None:
    ids = column(*(start + step for step in range(9)))
    assert len(np.unique(ids.astype(np.float32))) < 9  # float32 can't tell them apart
    scaler = RobustScaler.fit(ids)
    assert (np.diff(scaler.transform(ids)[:, 0]) > 0.1).all()
    np.testing.assert_array_equal(runner(scaler)(ids), scaler.transform(ids))


def test_outliers_stay_within_the_bound() -> None:
    scaler = RobustScaler.fit(column(1, 2, 3))
    scaled = scaler.transform(column(1e30, 1e308, -1e308))[:, 0]
    assert scaled == pytest.approx([BOUND, BOUND, -BOUND], rel=1e-4)


def test_columns_are_scaled_independently() -> None:
    left, right = column(1, 2, 4, 8), column(-1e9, np.nan, 3, 1e9)
    both = np.hstack([left, right])
    together = RobustScaler.fit(both).transform(both)
    alone = [RobustScaler.fit(part).transform(part) for part in (left, right)]
    np.testing.assert_array_equal(together, np.hstack(alone))


def test_input_array_is_not_changed() -> None:
    numbers = column(1, np.nan, 3)
    RobustScaler.fit(numbers).transform(numbers)
    np.testing.assert_array_equal(numbers, column(1, np.nan, 3))


@pytest.mark.parametrize("values", [(0, 1, 1), (5, np.nan, 7), (3, 3), (np.nan,), (), (-0.0, 0.0)])
def test_column_of_at_most_two_numbers_is_two_valued(values: tuple[float, ...]) -> None:
    assert two_valued(column(*values)) == (0,)


def test_column_of_three_numbers_is_not_two_valued() -> None:
    assert two_valued(np.hstack([column(1, 2, 3), column(1, 2, 1), column(-1e308, 1, 1e308)])) == (1,)  # fmt: skip


@given(st.integers(1, 3).flatmap(lambda columns: st.tuples(tables(columns), tables(columns))))
def test_numpy_and_graph_agree_on_any_numbers(pair: tuple[np.ndarray, np.ndarray]) -> None:
    training, numbers = pair
    scaler = RobustScaler.fit(training)
    scaled = scaler.transform(numbers)
    assert np.isfinite(scaled).all()
    assert (np.abs(scaled) <= BOUND).all()
    np.testing.assert_allclose(runner(scaler)(numbers), scaled, rtol=1e-6, atol=0)
