from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.errors import SettingError
from pigeonhole.trainer.evaluation.threshold import best_threshold, check_metric

CHANCES = np.array([0.9, 0.8, 0.6, 0.4, 0.2], np.float32)
POSITIVE = np.array([True, True, False, True, False])


# By hand, answering the 1, 2, ... 5 likeliest rows:
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
def test_the_best_threshold_by_hand(metric: str, expected: float) -> None:
    value = best_threshold(metric, POSITIVE, CHANCES)
    assert value == pytest.approx(expected)
    assert value == float(np.float32(value))


def test_the_order_of_the_rows_does_not_matter() -> None:
    order = np.array([3, 0, 4, 2, 1])
    for metric in ("accuracy", "f1", "recall@0.75"):
        expected = best_threshold(metric, POSITIVE, CHANCES)
        assert best_threshold(metric, POSITIVE[order], CHANCES[order]) == expected


def figures(metric: str, positive: np.ndarray, answered: np.ndarray) -> float:
    """What a metric comes to for rows that are answered with the class."""
    hits = np.count_nonzero(positive & answered)
    if metric == "accuracy":
        return float(np.mean(positive == answered))
    if metric == "f1":
        return 2 * hits / (np.count_nonzero(answered) + np.count_nonzero(positive))
    precision = hits / max(np.count_nonzero(answered), 1)
    least = float(metric.partition("@")[2])
    return hits / np.count_nonzero(positive) if precision >= least and answered.any() else -1.0


# Few different chances, so that many rows share one; some of them side by side as float32.
edges = st.sampled_from([0.0, 1e-45, 0.3, 0.5, float(np.nextafter(np.float32(0.5), 1)), 0.9, 1.0])
tables = st.lists(st.tuples(st.booleans(), edges), min_size=1, max_size=30)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall@0.5", "recall@0.9"])
@given(table=tables)
def test_no_other_threshold_is_better(metric: str, table) -> None:
    positive = np.array([hit for hit, _ in table])
    chances = np.array([chance for _, chance in table], np.float32)
    if not positive.any():
        positive[0] = True
    candidates = [*np.unique(chances), np.float32(np.nextafter(np.float32(1), 2))]
    if chances.max() == 1:
        candidates.pop()  # a threshold is at most 1: such a row is always answered
    best = max(figures(metric, positive, chances >= one) for one in candidates)
    if best < 0:
        with pytest.raises(SettingError, match="is the highest on the validation rows"):
            best_threshold(metric, positive, chances)
        return
    value = best_threshold(metric, positive, chances)
    assert 0 <= value <= 1
    assert value == np.float32(value)
    assert figures(metric, positive, chances >= np.float32(value)) == pytest.approx(best)


def test_where_no_answer_is_as_accurate_as_none_it_lies_above_all_rows() -> None:
    unlikely = np.array([False, False, True, False])
    value = best_threshold("accuracy", unlikely, np.array([0.6, 0.5, 0.4, 0.3], np.float32))
    assert value == pytest.approx(0.8)


def test_of_two_that_are_as_good_the_higher_one_that_answers_is_taken() -> None:
    # The two likeliest rows or the four: 4 of 5 right each way.
    assert best_threshold("accuracy", POSITIVE, CHANCES) == pytest.approx(0.7)
    # One of four rows is positive, and third: no answer at all is as good as the first alone.
    one = np.array([False, True, False, False])
    chances = np.array([0.8, 0.6, 0.4, 0.2], np.float32)
    assert best_threshold("accuracy", one, chances) == pytest.approx(0.5)


def test_the_last_row_is_answered_from_half_its_own_chance_on() -> None:
    assert best_threshold("f1", np.array([True]), np.array([0.25], np.float32)) == 0.125
    assert best_threshold("f1", np.array([True]), np.array([0.0], np.float32)) == 0


def test_a_precision_that_is_out_of_reach_is_named_with_the_highest() -> None:
    with pytest.raises(SettingError, match=r"--threshold: is 'recall@0.8', .* of 0.75 is the high"):
        best_threshold("recall@0.8", np.array([False, True, True, True]), CHANCES[:4])


def test_without_a_row_of_the_class_there_is_nothing_to_choose_by() -> None:
    for metric in ("accuracy", "f1", "recall@0.5"):
        with pytest.raises(SettingError, match="no row to choose by is of the class"):
            best_threshold(metric, np.zeros(5, bool), CHANCES)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall@0.9", "recall@1", "recall@1.00"])
def test_metrics_that_there_are(metric: str) -> None:
    check_metric(metric)


@pytest.mark.parametrize(
    "metric", ["", "F1", "recall", "recall@", "recall@2", "recall@1.5", "recall@.9", "recall@0.9 "]
)
def test_a_metric_that_is_none_is_answered_with_those_there_are(metric: str) -> None:
    with pytest.raises(SettingError, match="expected accuracy, f1, or recall at a precision"):
        check_metric(metric)
    with pytest.raises(SettingError, match="expected accuracy, f1, or recall at a precision"):
        best_threshold(metric, POSITIVE, CHANCES)
