from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.evaluation.dependence import (
    LEVELS,
    POINTS,
    ROWS,
    decision_map,
    partial_dependence,
)

NO_TEXT = np.empty((400, 0), dtype=object)


def logistic(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Predict by the first number only."""
    del categories
    p = 1 / (1 + np.exp(-np.nan_to_num(numbers[:, 0]).clip(-50, 50)))
    return np.stack([1 - p, p], axis=1)


def by_length(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Predict by the length of the text."""
    del numbers
    p = np.array([len(text) for text in categories[:, 0]]) / 100
    return np.stack([1 - p, p], axis=1)


def test_dependence_on_a_number_is_the_models_curve() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 2))
    found = partial_dependence(logistic, numbers, NO_TEXT, 0, rng)
    assert (len(found.values), found.rows) == (POINTS, ROWS)
    np.testing.assert_allclose(found.probabilities[:, 1], 1 / (1 + np.exp(-found.values)))
    flat = partial_dependence(logistic, numbers, NO_TEXT, 1, rng).probabilities[:, 1]
    assert np.ptp(flat) == pytest.approx(0, abs=1e-12)


def test_number_with_few_distinct_values_takes_all_of_them() -> None:
    numbers = np.array([[0.0], [1.0], [1.0], [np.nan]])
    texts = np.empty((4, 0), dtype=object)
    found = partial_dependence(logistic, numbers, texts, 0, np.random.default_rng(0))
    assert found.values.tolist() == [0, 1]


def test_most_frequent_levels_come_first_without_missing_values() -> None:
    texts = np.array([["b"], ["b"], ["aa"], [""], ["c"]], dtype=object)
    found = partial_dependence(by_length, np.empty((5, 0)), texts, 0, np.random.default_rng(0))
    assert found.values.tolist() == ["b", "aa", "c"]
    assert found.probabilities[:, 1].tolist() == pytest.approx([0.01, 0.02, 0.01])
    assert found.left_out == 0


def test_rarer_levels_are_counted_and_left_out() -> None:
    texts = np.array([[f"level {i}"] for i in range(LEVELS + 3)], dtype=object)
    rng = np.random.default_rng(0)
    found = partial_dependence(by_length, np.empty((len(texts), 0)), texts, 0, rng)
    assert (len(found.values), found.left_out) == (LEVELS, 3)


def test_numbers_at_the_ends_of_float64_stay_finite() -> None:
    numbers = np.linspace(-1.7e308 / 2, 1.7e308 / 2, 400)[:, None] * [2.0, 1.0]
    rng = np.random.default_rng(0)
    found = partial_dependence(logistic, numbers, NO_TEXT, 0, rng)
    assert np.isfinite(found.values).all()
    assert (np.diff(found.values) > 0).all()
    found = decision_map(logistic, numbers)
    assert np.isfinite(found.x).all()
    assert (np.diff(found.y) > 0).all()


def test_decision_map_covers_nearly_all_rows() -> None:
    numbers = np.random.default_rng(0).normal(size=(400, 2))
    found = decision_map(logistic, numbers)
    assert found.x[0] < np.quantile(numbers[:, 0], 0.01)
    assert found.x[-1] > np.quantile(numbers[:, 0], 0.99)
    for row in (0, len(found.y) - 1):
        np.testing.assert_allclose(found.probabilities[row, :, 1], 1 / (1 + np.exp(-found.x)))


def test_constant_column_has_a_decision_map() -> None:
    found = decision_map(logistic, np.array([[1.0, 5.0], [2.0, 5.0]]))
    assert found.y[0] < 5 < found.y[-1]


def test_margin_is_positive_where_the_class_is_most_likely() -> None:
    numbers = np.random.default_rng(0).normal(size=(400, 2))
    found = decision_map(logistic, numbers)
    margins = found.margins()
    np.testing.assert_array_equal(margins.argmax(axis=2), found.probabilities.argmax(axis=2))
    assert ((margins > 0).sum(axis=2) <= 1).all()


def test_margin_is_positive_above_the_threshold() -> None:
    numbers = np.random.default_rng(0).normal(size=(400, 2))
    found = decision_map(logistic, numbers)
    ahead = found.margins((1, 0.8))[:, :, 1] > 0
    np.testing.assert_array_equal(ahead, found.probabilities[:, :, 1] > 0.8)
