import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.data.schema import Examples
from pigeonhole.trainer.data.stratified import stratified_split, take_subsets

labels = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)


@given(labels, fractions, seeds)
def test_every_row_is_on_exactly_one_side(labels, fraction, seed):
    rest, part = stratified_split(labels, fraction, np.random.default_rng(seed))
    assert sorted([*rest, *part]) == list(range(len(labels)))
    assert rest.dtype == part.dtype == np.int64


@given(labels, fractions, seeds)
def test_each_class_gives_its_share_within_one_row(labels, fraction, seed):
    _, part = stratified_split(labels, fraction, np.random.default_rng(seed))
    for label in set(labels.tolist()):
        ideal = fraction * np.count_nonzero(labels == label)
        assert abs(np.count_nonzero(labels[part] == label) - ideal) <= 1


@given(labels, fractions, seeds)
def test_a_class_of_two_rows_or_more_is_on_both_sides(labels, fraction, seed):
    rest, part = stratified_split(labels, fraction, np.random.default_rng(seed))
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        assert label in labels[rest]
        assert (label in labels[part]) == (count > 1)


@given(labels, fractions, seeds)
def test_the_same_seed_gives_the_same_split(labels, fraction, seed):
    first = stratified_split(labels, fraction, np.random.default_rng(seed))
    second = stratified_split(labels, fraction, np.random.default_rng(seed))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_large_classes_together_give_the_size_asked_for():
    labels = np.repeat(np.arange(7), 33)
    _, part = stratified_split(labels, 0.2, np.random.default_rng(0))
    assert len(part) == round(0.2 * len(labels))


def test_another_seed_gives_another_split():
    labels = np.zeros(100, np.int64)
    parts = [stratified_split(labels, 0.2, np.random.default_rng(seed))[1] for seed in (0, 1)]
    assert set(parts[0]) != set(parts[1])


def test_every_row_of_a_class_is_as_likely_to_be_set_aside():
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
def test_parts_are_the_rows_that_taking_them_would_give(labels, fraction, seed):
    parts = stratified_split(labels, fraction, np.random.default_rng(seed))
    expected = [examples(len(labels)).take(rows) for rows in parts]
    for one, other in zip(take_subsets(examples(len(labels)), *parts), expected, strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.categories, other.categories)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_parts_lie_in_the_memory_of_the_whole():
    whole = examples(6)
    for part in take_subsets(whole, np.array([5, 0, 2]), np.array([1]), np.array([3, 4])):
        assert np.shares_memory(part.numbers, whole.numbers)
        assert np.shares_memory(part.categories, whole.categories)
        assert np.shares_memory(part.labels, whole.labels)


def test_parts_that_are_not_every_row_once_are_refused():
    with pytest.raises(ValueError, match="every row once"):
        take_subsets(examples(3), np.array([0, 1]), np.array([1, 2]))
    with pytest.raises(ValueError, match="every row once"):
        take_subsets(examples(3), np.array([0, 1]))
