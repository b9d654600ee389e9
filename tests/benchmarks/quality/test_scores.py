"""Scores of predicted probabilities."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from benchmarks.quality.scores import UnscorableError, score


def test_scores_of_three_rows_equal_those_by_hand():
    labels = np.array(["a", "b", "b"], object)
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    scores = score(labels, ["a", "b"], probabilities)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(0.3)) / 3)
    # Each row has its own bin: correct at 0.9 and 0.6, wrong at 0.7.
    assert scores.calibration_error == pytest.approx((0.1 + 0.4 + 0.7) / 3)


def test_accuracy_and_log_loss_equal_scikit_learns():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 200)
    labels = np.array(list("wxyz"), object)[rng.integers(0, 4, 200)]
    scores = score(labels, list("wxyz"), probabilities)
    predicted = np.array(list("wxyz"), object)[probabilities.argmax(axis=1)]
    assert scores.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert scores.log_loss == pytest.approx(log_loss(labels, probabilities, labels=list("wxyz")))


def test_scores_do_not_depend_on_the_order_of_classes():
    labels = np.array(["a", "b"], object)
    probabilities = np.array([[0.8, 0.2], [0.1, 0.9]])
    assert score(labels, ["a", "b"], probabilities) == score(
        labels, ["b", "a"], probabilities[:, ::-1]
    )


def test_calibrated_rows_have_no_calibration_error():
    labels = np.array(["a"] * 3 + ["b"], object)
    assert score(labels, ["a", "b"], np.tile([0.75, 0.25], (4, 1))).calibration_error == 0


def test_unknown_class_is_wrong_with_the_smallest_probability():
    scores = score(np.array(["c"], object), ["a", "b"], np.array([[0.5, 0.5]]))
    assert scores.accuracy == 0
    assert scores.log_loss == pytest.approx(-math.log(1e-7), abs=1e-6)


def test_log_loss_of_a_certain_mistake_is_finite():
    scores = score(np.array(["b"], object), ["a", "b"], np.array([[1.0, 0.0]]))
    assert scores.log_loss == pytest.approx(-math.log(1e-7), abs=1e-6)


@pytest.mark.parametrize(
    "probabilities",
    [[[0.5, 0.6]], [[1.2, -0.2]], [[np.nan, 1.0]], [[0.2, 0.3, 0.5]], [[0.5, 0.5]] * 2],
)
def test_invalid_probabilities_are_rejected(probabilities):
    with pytest.raises(UnscorableError):
        score(np.array(["a"], object), ["a", "b"], np.array(probabilities))
