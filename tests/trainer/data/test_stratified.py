import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.data.schema import Examples
from pigeonhole.trainer.data.stratified import (
    stratified_folds,
    stratified_parts,
    stratified_split,
    take_subsets,
)

labels = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)
counts = st.integers(2, 7)
fold_labels = st.lists(st.integers(0, 4), min_size=7, max_size=120).map(np.array)


@given(labels, fractions, seeds)
def test_each_row_is_on_exactly_one_side(labels, fraction, seed):
    rest, part = stratified_split(labels, fraction, np.random.default_rng(seed))
    assert sorted([*rest, *part]) == list(range(len(labels)))
    assert rest.dtype == part.dtype == np.int64


@given(labels, fractions, seeds)
def test_part_has_each_class_in_its_share_within_one_row(labels, fraction, seed):
    _, part = stratified_split(labels, fraction, np.random.default_rng(seed))
    for label in set(labels.tolist()):
        ideal = fraction * np.count_nonzero(labels == label)
        assert abs(np.count_nonzero(labels[part] == label) - ideal) <= 1


@given(labels, fractions, seeds)
def test_class_of_at_least_two_rows_is_on_both_sides(labels, fraction, seed):
    rest, part = stratified_split(labels, fraction, np.random.default_rng(seed))
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        assert label in labels[rest]
        assert (label in labels[part]) == (count > 1)


@given(labels, fractions, seeds)
def test_same_seed_gives_same_split(labels, fraction, seed):
    first = stratified_split(labels, fraction, np.random.default_rng(seed))
    second = stratified_split(labels, fraction, np.random.default_rng(seed))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_part_has_the_requested_size():
    labels = np.repeat(np.arange(7), 33)
    _, part = stratified_split(labels, 0.2, np.random.default_rng(0))
    assert len(part) == round(0.2 * len(labels))


def test_different_seed_gives_different_split():
    labels = np.zeros(100, np.int64)
    parts = [stratified_split(labels, 0.2, np.random.default_rng(seed))[1] for seed in (0, 1)]
    assert set(parts[0]) != set(parts[1])


def test_each_row_of_a_class_is_equally_likely_in_the_part():
    labels = np.repeat([0, 1], 10)
    rng = np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(2000):
        counts[stratified_split(labels, 0.3, rng)[1]] += 1
    np.testing.assert_allclose(counts / 2000, 0.3, atol=0.05)


def examples(rows: int) -> Examples:
    numbers = np.asfortranarray(np.arange(3.0 * rows).reshape(rows, 3))
    categories = np.array([[f"{row}", f"{-row}"] for row in range(rows)], object)
    return Examples(numbers, categories.reshape(rows, 2), np.arange(rows))


@given(labels, fractions, seeds)
def test_subsets_equal_taken_rows(labels, fraction, seed):
    parts = stratified_split(labels, fraction, np.random.default_rng(seed))
    expected = [examples(len(labels)).take(rows) for rows in parts]
    for one, other in zip(take_subsets(examples(len(labels)), *parts), expected, strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.categories, other.categories)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_subsets_share_the_memory_of_the_whole():
    whole = examples(6)
    for part in take_subsets(whole, np.array([5, 0, 2]), np.array([1]), np.array([3, 4])):
        assert np.shares_memory(part.numbers, whole.numbers)
        assert np.shares_memory(part.categories, whole.categories)
        assert np.shares_memory(part.labels, whole.labels)


def test_subsets_that_do_not_hold_every_row_once_are_rejected():
    with pytest.raises(ValueError, match="every row once"):
        take_subsets(examples(3), np.array([0, 1]), np.array([1, 2]))
    with pytest.raises(ValueError, match="every row once"):
        take_subsets(examples(3), np.array([0, 1]))


@given(fold_labels, counts, seeds)
def test_each_row_is_in_exactly_one_fold(labels, count: int, seed: int) -> None:
    folds = stratified_folds(labels, count, np.random.default_rng(seed))
    assert len(folds) == count
    assert np.sort(np.concatenate(folds)).tolist() == list(range(len(labels)))
    for fold in folds:
        assert fold.dtype == np.int64
        assert (np.diff(fold) > 0).all()


@given(fold_labels, counts, seeds)
def test_folds_and_their_classes_differ_by_at_most_one_row(labels, count: int, seed: int) -> None:
    folds = stratified_folds(labels, count, np.random.default_rng(seed))
    assert np.ptp([len(fold) for fold in folds]) <= 1
    for label in np.unique(labels):
        assert np.ptp([np.count_nonzero(labels[fold] == label) for fold in folds]) <= 1


@given(fold_labels, counts, seeds)
def test_same_seed_gives_same_folds_and_parts(labels, count: int, seed: int) -> None:
    for split, arguments in ((stratified_folds, ()), (stratified_parts, (0.9 / count,))):
        first, second = (
            split(labels, count, *arguments, np.random.default_rng(seed)) for _ in range(2)
        )
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


def test_different_seed_gives_different_folds() -> None:
    labels = np.zeros(100, np.int64)
    folds = [stratified_folds(labels, 5, np.random.default_rng(seed))[0] for seed in (0, 1)]
    assert set(folds[0]) != set(folds[1])


@given(fold_labels, st.integers(1, 7), st.floats(0.01, 1), seeds)
def test_parts_are_disjoint(labels, count: int, of_most: float, seed: int) -> None:
    parts = stratified_parts(labels, count, of_most / count, np.random.default_rng(seed))
    assert len(parts) == count
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    assert set(together.tolist()) <= set(range(len(labels)))
    for part in parts:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


@pytest.mark.parametrize(("count", "share"), [(1, 0.2), (2, 0.2), (3, 0.25), (4, 0.2), (2, 0.05)])
def test_each_part_has_each_class_in_its_share(count: int, share: float) -> None:
    labels = np.repeat([0, 1, 2], [100, 260, 40])
    for part in stratified_parts(labels, count, share, np.random.default_rng(0)):
        assert len(part) == pytest.approx(share * 400, abs=1.5)
        for label, rows in ((0, 100), (1, 260), (2, 40)):
            assert np.count_nonzero(labels[part] == label) == pytest.approx(share * rows, abs=1.5)


@pytest.mark.parametrize(("count", "share"), [(5, 0.2), (2, 0.5), (3, 1 / 3), (50, 0.02), (3, 0.3)])
def test_parts_of_the_whole_cover_every_row(count: int, share: float) -> None:
    labels = np.arange(103) % 2
    parts = stratified_parts(labels, count, share, np.random.default_rng(0))
    assert np.sort(np.concatenate(parts)).tolist() == list(range(103))


@given(fold_labels, st.floats(0.05, 0.45), seeds)
def test_each_class_keeps_a_row_outside_two_parts(labels, share: float, seed: int) -> None:
    parts = stratified_parts(labels, 2, share, np.random.default_rng(seed))
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate(parts))
    if 2 * share <= 1 - share / 2:
        assert set(labels[rest].tolist()) == set(labels.tolist())
