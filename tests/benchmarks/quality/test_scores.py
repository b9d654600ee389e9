"""Promises of benchmarks.quality.scores."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from benchmarks.quality.scores import AnswerRefused, score


def test_figures_of_three_rows_worked_out_by_hand():
    labels = np.array(["a", "b", "b"], object)
    given = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    found = score(labels, ["a", "b"], given)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(0.3)) / 3)
    # Each row is alone in its bin: right at 0.9 and 0.6, wrong at 0.7.
    assert found.calibration_error == pytest.approx((0.1 + 0.4 + 0.7) / 3)


def test_accuracy_and_log_loss_are_scikit_learns():
    rng = np.random.default_rng(0)
    given = rng.dirichlet(np.ones(4), 200)
    labels = np.array(list("wxyz"), object)[rng.integers(0, 4, 200)]
    found = score(labels, list("wxyz"), given)
    chosen = np.array(list("wxyz"), object)[given.argmax(axis=1)]
    assert found.accuracy == pytest.approx(accuracy_score(labels, chosen))
    assert found.log_loss == pytest.approx(log_loss(labels, given, labels=list("wxyz")))


def test_the_order_of_classes_is_the_methods_own():
    labels = np.array(["a", "b"], object)
    given = np.array([[0.8, 0.2], [0.1, 0.9]])
    assert score(labels, ["a", "b"], given) == score(labels, ["b", "a"], given[:, ::-1])


def test_rows_that_are_as_sure_as_right_have_no_calibration_error():
    labels = np.array(["a"] * 3 + ["b"], object)
    assert score(labels, ["a", "b"], np.tile([0.75, 0.25], (4, 1))).calibration_error == 0


def test_a_class_that_the_method_never_saw_is_wrong_with_the_smallest_probability():
    found = score(np.array(["c"], object), ["a", "b"], np.array([[0.5, 0.5]]))
    assert found.accuracy == 0
    assert found.log_loss == pytest.approx(-math.log(1e-7), abs=1e-6)


def test_a_certain_mistake_costs_a_finite_amount():
    found = score(np.array(["b"], object), ["a", "b"], np.array([[1.0, 0.0]]))
    assert found.log_loss == pytest.approx(-math.log(1e-7), abs=1e-6)


@pytest.mark.parametrize(
    "given", [[[0.5, 0.6]], [[1.2, -0.2]], [[np.nan, 1.0]], [[0.2, 0.3, 0.5]], [[0.5, 0.5]] * 2]
)
def test_what_are_no_probabilities_is_refused(given):
    with pytest.raises(AnswerRefused):
        score(np.array(["a"], object), ["a", "b"], np.array(given))
