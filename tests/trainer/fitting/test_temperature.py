from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.fitting.temperature import COLDEST, HOTTEST, calibrated_loss, temperature

GRID = np.geomspace(COLDEST, HOTTEST, 301)


def scaled(p: np.ndarray, t: float) -> np.ndarray:
    """Return p to the power of 1 / t, normalized by row."""
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(p), -69.0776) / t
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def smoothed_loss(p: np.ndarray, labels: np.ndarray, t: float) -> float:
    """Return the cross-entropy with 1 / (n + 2) of each target spread over all classes."""
    smoothing = 1 / (len(labels) + 2)
    targets = np.full(p.shape, smoothing / p.shape[1])
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return float(-(targets * np.log(np.maximum(scaled(p, t), 1e-300))).sum(axis=1).mean())


def answers(rows: int, classes: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random probabilities that depend on the labels; they may be over- or underconfident."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    z = spread * (rng.normal(size=(rows, classes)) + np.eye(classes)[labels])
    return scaled(np.exp(z - z.max(axis=1, keepdims=True)), 1), labels


cases = st.builds(
    answers,
    st.integers(1, 60),
    st.integers(2, 5),
    st.floats(0.01, 30),
    st.integers(0, 2**32 - 1),
)


@given(cases)
def test_no_temperature_on_a_fine_grid_is_better(case) -> None:
    p, labels = case
    t = temperature(p, labels)
    assert t * (1 + 1e-4) >= COLDEST
    assert t <= HOTTEST * (1 + 1e-4)
    lowest = min(smoothed_loss(p, labels, other) for other in GRID)
    assert smoothed_loss(p, labels, t) <= lowest + 1e-4


def test_temperature_that_divided_the_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40_000, 3)) * 2
    true = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    labels = (rng.random((len(z), 1)) > true.cumsum(axis=1)).sum(axis=1)
    for t in (0.4, 1.0, 2.5):
        assert temperature(scaled(true, 1 / t), labels) == pytest.approx(t, rel=0.03)


def test_one_right_row_gives_a_probability_of_five_sixths() -> None:
    # With n = 1, 1 / 3 of the target is spread over two classes: 1 - 1 / 6 stays with the true one.
    p = np.array([[0.6, 0.4]])
    assert scaled(p, temperature(p, np.array([0])))[0, 0] == pytest.approx(5 / 6, rel=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 5, 30])
def test_rows_that_are_all_right_do_not_give_certainty(rows: int) -> None:
    labels = np.arange(rows) % 2
    p = np.where(labels[:, None] == [0, 1], 0.7, 0.3)
    highest = scaled(p, temperature(p, labels)).max()
    assert 0.7 < highest < 1 - 1 / (4 * (rows + 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_probabilities_have_temperature_1(dtype) -> None:
    assert temperature(np.full((4, 4), 0.25, dtype), np.arange(4)) == 1


@pytest.mark.parametrize("right", [True, False])
def test_temperature_of_hard_probabilities_is_within_bounds(right: bool) -> None:
    labels = np.array([0, 1, 0, 1])
    p = np.eye(2, dtype=np.float32)[labels if right else 1 - labels]
    t = temperature(p, labels)
    assert t == pytest.approx(HOTTEST, rel=1e-3) if not right else 1 < t < HOTTEST
    assert np.isfinite(calibrated_loss(p, labels))


def test_calibrated_loss_is_the_log_loss_at_the_temperature() -> None:
    p, labels = answers(40, 3, 5.0, seed=1)
    t = temperature(p, labels)
    expected = -np.log(scaled(p, t)[np.arange(40), labels]).mean()
    assert calibrated_loss(p, labels) == pytest.approx(expected)
    assert calibrated_loss(p, labels) < -np.log(p[np.arange(40), labels]).mean()


@pytest.mark.parametrize("t", [0.5, 3.0])
def test_calibrated_loss_does_not_depend_on_confidence(t: float) -> None:
    p, labels = answers(200, 3, 2.0, seed=2)
    assert calibrated_loss(scaled(p, t), labels) == pytest.approx(calibrated_loss(p, labels))
