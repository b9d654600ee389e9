from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.evaluation.calibration import BINS, expected_calibration_error, reliability


def test_reliability_by_hand() -> None:
    # Of two bins, 0.6 (right) and 0.7 (wrong) are in the upper one, (0.5, 1].
    labels = np.array([0, 1])
    found = reliability(labels, np.array([[0.6, 0.4], [0.7, 0.3]]), bins=2)
    assert found.counts.tolist() == [0, 2]
    assert found.confidence[1] == pytest.approx(0.65)
    assert found.accuracy[1] == 0.5
    assert math.isnan(found.accuracy[0])
    assert found.expected_calibration_error == pytest.approx(0.15)


def test_calibrated_probabilities_have_no_error() -> None:
    labels = np.array([0, 0, 0, 1])
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert expected_calibration_error(labels, probabilities) == 0


def test_probability_of_one_is_in_the_last_bin() -> None:
    found = reliability(np.array([0]), np.array([[1.0, 0.0]], np.float32))
    assert found.counts.tolist() == [0] * (BINS - 1) + [1]


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 5))
def test_error_is_the_mean_gap_of_the_bins_weighted_by_their_rows(
    seed: int, rows: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), rows)
    labels = rng.integers(0, classes, rows)
    expected = 0.0
    for index in range(BINS):
        confidence = probabilities.max(axis=1)
        inside = (confidence > index / BINS) & (confidence <= (index + 1) / BINS)
        if inside.any():
            right = (probabilities.argmax(axis=1) == labels)[inside]
            expected += inside.mean() * abs(confidence[inside].mean() - right.mean())
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected)
    assert reliability(labels, probabilities).counts.sum() == rows
