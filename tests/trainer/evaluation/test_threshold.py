from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.errors import SettingError
from pigeonhole.trainer.evaluation.threshold import best_threshold, check_metric

PROBABILITIES = np.array([0.9, 0.8, 0.6, 0.4, 0.2], np.float32)
POSITIVE = np.array([True, True, False, True, False])


# By hand, predicting the class for the 1, 2, ... 5 most likely rows:
# accuracy 3/5, 4/5, 3/5, 4/5, 3/5;  F1 2/4, 4/5, 4/6, 6/7, 6/8;  precision 1, 1, 2/3, 3/4, 3/5
@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", (0.8 + 0.6) / 2),
        ("f1", (0.4 + 0.2) / 2),
        ("recall@1", (0.8 + 0.6) / 2),
        ("recall@1.0", (0.8 + 0.6) / 2),
        ("recall@0.76", (0.8 + 0.6) / 2),
        ("recall@0.75", (0.4 + 0.2) / 2),
        ("recall@0", (0.4 + 0.2) / 2),
    ],
)
def test_best_threshold_by_hand(metric: str, expected: float) -> None:
    value = best_threshold(metric, POSITIVE, PROBABILITIES)
    assert value == pytest.approx(expected)
    assert value == float(np.float32(value))


def test_order_of_the_rows_does_not_matter() -> None:
    order = np.array([3, 0, 4, 2, 1])
    for metric in ("accuracy", "f1", "recall@0.75"):
        expected = best_threshold(metric, POSITIVE, PROBABILITIES)
        assert best_threshold(metric, POSITIVE[order], PROBABILITIES[order]) == expected


def figures(metric: str, positive: np.ndarray, predicted: np.ndarray) -> float:
    """Return the metric if these rows are predicted as the class."""
    hits = np.count_nonzero(positive & predicted)
    if metric == "accuracy":
        return float(np.mean(positive == predicted))
    if metric == "f1":
        return 2 * hits / (np.count_nonzero(predicted) + np.count_nonzero(positive))
    precision = hits / max(np.count_nonzero(predicted), 1)
    least = float(metric.partition("@")[2])
    return hits / np.count_nonzero(positive) if precision >= least and predicted.any() else -1.0


# Few distinct probabilities, so that many rows share one; some of them side by side as float32.
edges = st.sampled_from([0.0, 1e-45, 0.3, 0.5, float(np.nextafter(np.float32(0.5), 1)), 0.9, 1.0])
tables = st.lists(st.tuples(st.booleans(), edges), min_size=1, max_size=30)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall@0.5", "recall@0.9"])
@given(table=tables)
def test_no_other_threshold_is_better(metric: str, table) -> None:
    positive = np.array([hit for hit, _ in table])
    probabilities = np.array([probability for _, probability in table], np.float32)
    if not positive.any():
        positive[0] = True
    candidates = [*np.unique(probabilities), np.float32(np.nextafter(np.float32(1), 2))]
    if probabilities.max() == 1:
        candidates.pop()  # a threshold is at most 1, so a row of 1 is always predicted
    best = max(figures(metric, positive, probabilities >= one) for one in candidates)
    if best < 0:
        with pytest.raises(SettingError, match="the highest precision on the validation rows is"):
            best_threshold(metric, positive, probabilities)
        return
    value = best_threshold(metric, positive, probabilities)
    assert 0 <= value <= 1
    assert value == np.float32(value)
    assert figures(metric, positive, probabilities >= np.float32(value)) == pytest.approx(best)


def test_threshold_lies_above_all_rows_if_predicting_none_is_best() -> None:
    unlikely = np.array([False, False, True, False])
    value = best_threshold("accuracy", unlikely, np.array([0.6, 0.5, 0.4, 0.3], np.float32))
    assert value == pytest.approx(0.8)


def test_highest_of_equally_good_thresholds_is_chosen() -> None:
    # Predicting the first two rows or the first four: 4 of 5 are right either way.
    assert best_threshold("accuracy", POSITIVE, PROBABILITIES) == pytest.approx(0.7)
    # The second of four rows is positive: predicting the first two is as good as predicting none.
    one = np.array([False, True, False, False])
    probabilities = np.array([0.8, 0.6, 0.4, 0.2], np.float32)
    assert best_threshold("accuracy", one, probabilities) == pytest.approx(0.5)


def test_threshold_below_all_rows_is_half_the_lowest_probability() -> None:
    assert best_threshold("f1", np.array([True]), np.array([0.25], np.float32)) == 0.125
    assert best_threshold("f1", np.array([True]), np.array([0.0], np.float32)) == 0


def test_unreachable_precision_is_rejected_with_the_highest() -> None:
    with pytest.raises(SettingError, match=r"--threshold: is 'recall@0.8', .* rows is 0.75"):
        best_threshold("recall@0.8", np.array([False, True, True, True]), PROBABILITIES[:4])


def test_rows_without_the_class_are_rejected() -> None:
    for metric in ("accuracy", "f1", "recall@0.5"):
        with pytest.raises(SettingError, match="no validation row has the class"):
            best_threshold(metric, np.zeros(5, bool), PROBABILITIES)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall@0.9", "recall@1", "recall@1.00"])
def test_valid_metrics_are_accepted(metric: str) -> None:
    check_metric(metric)


@pytest.mark.parametrize(
    "metric", ["", "F1", "recall", "recall@", "recall@2", "recall@1.5", "recall@.9", "recall@0.9 "]
)
def test_invalid_metric_is_rejected_with_the_valid_ones(metric: str) -> None:
    with pytest.raises(SettingError, match="expected accuracy, f1, or recall at a precision"):
        check_metric(metric)
    with pytest.raises(SettingError, match="expected accuracy, f1, or recall at a precision"):
        best_threshold(metric, POSITIVE, PROBABILITIES)
