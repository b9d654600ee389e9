from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.data.stratified import stratified_folds, stratified_parts

labels = st.lists(st.integers(0, 4), min_size=7, max_size=120).map(np.array)
counts = st.integers(2, 7)
seeds = st.integers(0, 2**32 - 1)


@given(labels, counts, seeds)
def test_every_row_is_in_exactly_one_fold(labels, count: int, seed: int) -> None:
    folds = stratified_folds(labels, count, np.random.default_rng(seed))
    assert len(folds) == count
    assert np.sort(np.concatenate(folds)).tolist() == list(range(len(labels)))
    for fold in folds:
        assert fold.dtype == np.int64
        assert (np.diff(fold) > 0).all()


@given(labels, counts, seeds)
def test_folds_and_the_classes_in_them_differ_by_one_row_at_most(
    labels, count: int, seed: int
) -> None:
    folds = stratified_folds(labels, count, np.random.default_rng(seed))
    assert np.ptp([len(fold) for fold in folds]) <= 1
    for label in np.unique(labels):
        assert np.ptp([np.count_nonzero(labels[fold] == label) for fold in folds]) <= 1


@given(labels, counts, seeds)
def test_the_same_seed_gives_the_same_folds_and_parts(labels, count: int, seed: int) -> None:
    for deal, more in ((stratified_folds, ()), (stratified_parts, (0.9 / count,))):
        first, second = (deal(labels, count, *more, np.random.default_rng(seed)) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


def test_another_seed_gives_other_folds() -> None:
    labels = np.zeros(100, np.int64)
    folds = [stratified_folds(labels, 5, np.random.default_rng(seed))[0] for seed in (0, 1)]
    assert set(folds[0]) != set(folds[1])


@given(labels, st.integers(1, 7), st.floats(0.01, 1), seeds)
def test_no_row_is_in_two_parts(labels, count: int, of_most: float, seed: int) -> None:
    parts = stratified_parts(labels, count, of_most / count, np.random.default_rng(seed))
    assert len(parts) == count
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    assert set(together.tolist()) <= set(range(len(labels)))
    for part in parts:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


@pytest.mark.parametrize(("count", "share"), [(1, 0.2), (2, 0.2), (3, 0.25), (4, 0.2), (2, 0.05)])
def test_each_part_holds_its_share_of_every_class(count: int, share: float) -> None:
    labels = np.repeat([0, 1, 2], [100, 260, 40])
    for part in stratified_parts(labels, count, share, np.random.default_rng(0)):
        assert len(part) == pytest.approx(share * 400, abs=1.5)
        for label, rows in ((0, 100), (1, 260), (2, 40)):
            assert np.count_nonzero(labels[part] == label) == pytest.approx(share * rows, abs=1.5)


@pytest.mark.parametrize(("count", "share"), [(5, 0.2), (2, 0.5), (3, 1 / 3), (50, 0.02), (3, 0.3)])
def test_parts_that_are_all_of_the_rows_leave_none_out(count: int, share: float) -> None:
    labels = np.arange(103) % 2
    parts = stratified_parts(labels, count, share, np.random.default_rng(0))
    assert np.sort(np.concatenate(parts)).tolist() == list(range(103))


@given(labels, st.floats(0.05, 0.45), seeds)
def test_every_class_keeps_a_row_that_no_part_of_two_has(labels, share: float, seed: int) -> None:
    parts = stratified_parts(labels, 2, share, np.random.default_rng(seed))
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate(parts))
    if 2 * share <= 1 - share / 2:
        assert set(labels[rest].tolist()) == set(labels.tolist())
