from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pigeonhole.trainer.evaluation.curves import precision_recall_curve, roc_curve


def test_curves_by_hand() -> None:
    positive = np.array([True, False, True])
    values = np.array([0.9, 0.8, 0.7])
    roc = roc_curve(positive, values)
    assert (roc.x.tolist(), roc.y.tolist()) == ([0, 0, 1, 1], [0, 0.5, 0.5, 1])
    assert roc.area == 0.5
    curve = precision_recall_curve(positive, values)
    assert curve.x.tolist() == [0, 0.5, 0.5, 1]
    assert curve.y.tolist() == pytest.approx([1, 1, 0.5, 2 / 3])
    assert curve.area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@pytest.mark.parametrize("value", [True, False])
def test_rows_of_one_class_have_no_roc_curve(value: bool) -> None:
    with pytest.raises(ValueError, match="one value only"):
        roc_curve(np.full(3, value), np.array([0.1, 0.2, 0.3]))


def test_no_positive_row_has_no_precision_recall_curve() -> None:
    with pytest.raises(ValueError, match="positive is false for all rows"):
        precision_recall_curve(np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3]))


@given(st.integers(0, 10**6), st.integers(2, 60), st.booleans())
def test_areas_and_points_equal_scikit_learn(seed: int, rows: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(rows) % 3 == 0)
    values = rng.random(rows)
    if tied:
        values = np.round(values, 1)
    roc = roc_curve(positive, values)
    assert roc.area == pytest.approx(metrics.roc_auc_score(positive, values))
    x, y, _ = metrics.roc_curve(positive, values, drop_intermediate=True)
    # Both omit points on straight lines; ours omits all of them.
    assert set(zip(roc.x, roc.y, strict=True)) <= set(zip(x, y, strict=True)) | {(0, 0)}
    np.testing.assert_allclose(
        np.trapezoid(roc.y, roc.x), metrics.roc_auc_score(positive, values), atol=1e-12
    )
    curve = precision_recall_curve(positive, values)
    assert curve.area == pytest.approx(metrics.average_precision_score(positive, values))
    precision, recall, _ = metrics.precision_recall_curve(positive, values)
    np.testing.assert_allclose(curve.y[1:], precision[:-1][::-1])
    np.testing.assert_allclose(curve.x[1:], recall[:-1][::-1])
