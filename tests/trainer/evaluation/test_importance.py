from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.evaluation.importance import FEWEST_ROWS, permutation_importance

NO_TEXT = np.empty((300, 0), dtype=object)


def by_first(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Predict class 1 if the first number is above 0."""
    del categories
    above = np.where(numbers[:, 0] > 0, 0.9, 0.1)
    return np.stack([1 - above, above], axis=1)


def by_text(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Predict class 1 if the second text is ``yes``."""
    del numbers
    above = np.where(categories[:, 1] == "yes", 0.9, 0.1)
    return np.stack([1 - above, above], axis=1)


def test_only_the_feature_that_the_model_uses_is_important() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(300, 3))
    labels = (numbers[:, 0] > 0).astype(np.int64)
    found = permutation_importance(by_first, numbers, NO_TEXT, labels, rng)
    # Shuffling moves half of the rows to the wrong side.
    assert found.accuracy[0] == pytest.approx(0.5, abs=0.08)
    assert found.log_loss[0] == pytest.approx(0.5 * np.log(0.9 / 0.1), abs=0.2)
    assert found.log_loss[1:].tolist() == found.accuracy[1:].tolist() == [0, 0]
    assert found.rows == 300


def test_categories_come_after_numbers() -> None:
    rng = np.random.default_rng(0)
    texts = rng.choice(np.array(["yes", "no"], dtype=object), (300, 2))
    labels = (texts[:, 1] == "yes").astype(np.int64)
    found = permutation_importance(by_text, np.zeros((300, 2)), texts, labels, rng)
    assert found.log_loss.argmax() == 3
    assert np.count_nonzero(found.log_loss) == 1


def test_input_arrays_are_not_changed() -> None:
    rng = np.random.default_rng(0)
    numbers, texts = rng.normal(size=(300, 1)), np.full((300, 1), "a", dtype=object)
    before = numbers.copy()
    permutation_importance(by_first, numbers, texts, np.zeros(300, np.int64), rng)
    np.testing.assert_array_equal(numbers, before)
    assert (texts == "a").all()


def test_many_features_are_shuffled_once_in_fewer_rows() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(500, 400))
    labels = (numbers[:, 0] > 0).astype(np.int64)
    no_text = np.empty((500, 0), dtype=object)
    found = permutation_importance(by_first, numbers, no_text, labels, rng)
    assert (found.rows, found.repeats) == (FEWEST_ROWS, 1)
    assert found.log_loss.argmax() == 0


def test_same_seed_gives_the_same_importance() -> None:
    numbers = np.random.default_rng(1).normal(size=(300, 2))
    labels = (numbers[:, 0] > 0).astype(np.int64)
    first, second = (
        permutation_importance(by_first, numbers, NO_TEXT, labels, np.random.default_rng(5))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.log_loss, second.log_loss)
