from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pigeonhole.trainer.evaluation.intervals import (
    FEWEST_RESAMPLES,
    MOST_RESAMPLES,
    Predictions,
    bootstrap,
    interval,
)
from pigeonhole.trainer.evaluation.scores import Scores, score

FIGURES = [field.name for field in fields(Scores) if field.name not in ("rows", "confusion")]


def drawn(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return the row indices of a resample, drawn as the bootstrap draws them."""
    return rng.integers(rows, size=rows)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 5), st.booleans())
def test_resample_has_the_scores_of_its_rows(
    seed: int, rows: int, classes: int, tied: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    probabilities = rng.dirichlet(np.full(classes, 0.5), rows)
    if tied:
        probabilities = np.tile(probabilities[:1], (rows, 1))
    predicted = rng.integers(0, classes, rows)
    methods = {"mine": Predictions(probabilities, predicted)}
    found = bootstrap(labels, methods, np.random.default_rng(seed), resamples=3)["mine"]
    same = np.random.default_rng(seed)
    for index in range(3):
        resampled = drawn(same, rows)
        expected = score(labels[resampled], probabilities[resampled], predicted[resampled])
        for name in FIGURES:
            figure = found.figures[name][index]
            assert figure == pytest.approx(getattr(expected, name), abs=1e-9, nan_ok=True), name


def test_methods_are_scored_on_the_same_resamples() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 2, 50), rng.dirichlet([1, 1], 50)
    one = Predictions.most_likely(probabilities)
    found = bootstrap(labels, {"a": one, "b": one}, rng)
    for name in FIGURES:
        np.testing.assert_array_equal(found["a"].figures[name], found["b"].figures[name])


def test_interval_is_close_to_the_normal_approximation() -> None:
    labels = np.zeros(400, dtype=np.int64)
    predicted = (np.arange(400) % 4 == 0).astype(np.int64)
    predictions = Predictions(np.tile([0.6, 0.4], (400, 1)), predicted)
    found = bootstrap(labels, {"": predictions}, np.random.default_rng(0))[""].interval("accuracy")
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.lower == pytest.approx(0.75 - half, abs=0.006)
    assert found.upper == pytest.approx(0.75 + half, abs=0.006)


@pytest.mark.parametrize("right", [True, False])
def test_accuracy_of_0_or_1_has_the_exact_binomial_interval(right: bool) -> None:
    labels = np.full(30, 0 if right else 1)
    predictions = Predictions.most_likely(np.tile([0.9, 0.1], (30, 1)))
    found = bootstrap(labels, {"": predictions}, np.random.default_rng(0))[""].interval("accuracy")
    exact = stats.binomtest(30 if right else 0, 30).proportion_ci(0.95, method="exact")
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high))


def test_score_unknown_in_all_resamples_has_no_interval() -> None:
    predictions = Predictions.most_likely(np.array([[0.9, 0.1]]))
    found = bootstrap(np.array([0]), {"": predictions}, np.random.default_rng(0))[""]
    area = found.interval("roc_auc")
    assert math.isnan(area.lower)
    assert math.isnan(area.upper)


def test_resamples_without_a_value_are_left_out() -> None:
    assert interval(np.array([np.nan, 0.5, np.nan, 0.5])).lower == 0.5


@pytest.mark.parametrize(
    ("rows", "classes", "resamples"), [(10, 2, MOST_RESAMPLES), (1000, 60, FEWEST_RESAMPLES)]
)
def test_many_rows_and_classes_have_fewer_resamples(
    rows: int, classes: int, resamples: int
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    predictions = Predictions.most_likely(rng.dirichlet(np.ones(classes), rows))
    found = bootstrap(labels, {"": predictions}, rng)[""]
    assert len(found.figures["accuracy"]) == resamples
