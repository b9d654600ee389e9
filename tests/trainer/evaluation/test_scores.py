from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pigeonhole.trainer.evaluation.scores import SMALLEST, score


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_scores_by_hand() -> None:
    # Class 0: two rows right, one predicted as class 1. Class 1: one row right.
    found = score(labels(0, 0, 0, 1), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]]))
    assert found.rows == 4
    assert found.accuracy == 0.75
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert found.log_loss == pytest.approx(-math.log(0.9 * 0.6 * 0.2 * 0.7) / 4)
    # F1 of class 0: precision 1, recall 2/3; of class 1: precision 1/2, recall 1.
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    # The class 1 row (0.7) ranks above two of the three others (0.1, 0.4, 0.8).
    assert found.roc_auc == pytest.approx(2 / 3)
    assert found.confusion.tolist() == [[2, 1], [0, 1]]


def test_perfect_predictions_have_perfect_scores() -> None:
    found = score(labels(2, 0, 1), np.eye(3)[[2, 0, 1]])
    assert (found.expected_calibration_error, found.brier_score) == (0, 0)
    assert (found.accuracy, found.balanced_accuracy, found.macro_f1, found.roc_auc) == (1, 1, 1, 1)
    assert found.log_loss == pytest.approx(0, abs=1e-6)


def test_probability_of_zero_has_a_finite_log_loss() -> None:
    found = score(labels(0, 1), np.array([[0.0, 1.0], [0.0, 1.0]], dtype=np.float32))
    assert found.log_loss == pytest.approx(-math.log(SMALLEST) / 2, rel=1e-3)


def test_class_without_test_rows_is_left_out_of_means() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
    found = score(labels(0, 2, 0), probabilities)
    assert (found.balanced_accuracy, found.macro_f1, found.roc_auc) == (1, 1, 1)
    assert found.confusion.tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_wrong_predictions_of_a_class_without_rows_count() -> None:
    found = score(labels(0, 0), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert found.accuracy == found.balanced_accuracy == 0.5
    assert found.macro_f1 == pytest.approx(2 / 3)


def test_one_row_has_scores_except_roc_auc() -> None:
    found = score(labels(1), np.array([[0.25, 0.75]]))
    assert (found.rows, found.accuracy, found.macro_f1) == (1, 1, 1)
    assert found.log_loss == pytest.approx(-math.log(0.75))
    assert math.isnan(found.roc_auc)


def test_rows_of_one_class_have_no_roc_auc() -> None:
    assert math.isnan(score(labels(1, 1), np.array([[0.4, 0.6], [0.1, 0.9]])).roc_auc)


def test_constant_prediction_has_a_roc_auc_of_a_half() -> None:
    found = score(labels(0, 1, 2, 0), np.tile([0.5, 0.3, 0.2], (4, 1)))
    assert found.roc_auc == 0.5


def test_a_thousand_classes_are_counted() -> None:
    every = np.arange(1000)
    found = score(every, np.eye(1000, dtype=np.float32))
    assert found.confusion.shape == (1000, 1000)
    assert (found.confusion.diagonal() == 1).all()


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 6), st.booleans())
def test_scores_equal_scikit_learn(seed: int, rows: int, classes: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), rows)
    if tied:
        probabilities = (np.round(probabilities, 1) + 0.01) / (1 + 0.01 * classes)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth = rng.integers(0, classes, rows)
    found = score(truth, probabilities)
    predicted = probabilities.argmax(axis=1)
    present, every = np.unique(truth), np.arange(classes)
    clipped = np.clip(probabilities, SMALLEST, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    recalls = metrics.recall_score(truth, predicted, labels=present, average="macro")
    assert found.balanced_accuracy == pytest.approx(recalls)
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, clipped, labels=every))
    f1 = metrics.f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(f1)
    confusion = metrics.confusion_matrix(truth, predicted, labels=every)
    np.testing.assert_array_equal(found.confusion, confusion)
    one_hot = np.eye(classes)[truth]
    squares = ((probabilities - one_hot) ** 2).sum(axis=1).mean()
    assert found.brier_score == pytest.approx(squares / 2 if classes == 2 else squares)
    if len(present) > 1:
        areas = [metrics.roc_auc_score(truth == c, probabilities[:, c]) for c in present]
        assert found.roc_auc == pytest.approx(np.mean(areas))
