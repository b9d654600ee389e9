from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from pigeonhole.trainer.evaluation.baselines import (
    ITERATIONS,
    NEIGHBORS,
    ROWS,
    baseline_probabilities,
)
from pigeonhole.trainer.evaluation.scores import Scores, score

Rows = tuple[np.ndarray, np.ndarray]


def baselines(training, test, classes: int, rng: np.random.Generator) -> dict[str, Scores]:
    """Return the scores of the baselines on the test rows."""
    by_name = baseline_probabilities(training, test[0], classes, rng)
    return {name: score(test[1], probabilities) for name, probabilities in by_name.items()}


def blobs(rng: np.random.Generator, rows: int, classes: int = 2) -> Rows:
    """Return points around one corner per class."""
    y = np.arange(rows) % classes
    x = rng.normal(size=(rows, 2)) + 6 * np.stack([y % 2, y // 2], axis=1)
    return x.astype(np.float32), y


def same(left: Scores, right: Scores) -> bool:
    figures = ("rows", "accuracy", "balanced_accuracy", "log_loss", "macro_f1", "roc_auc")
    return all(getattr(left, f) == pytest.approx(getattr(right, f)) for f in figures)


def test_commonest_class_predicts_the_class_shares_of_training() -> None:
    y = np.array([0, 1, 1, 1])
    x = np.zeros((4, 1), np.float32)
    test = (np.zeros((2, 1), np.float32), np.array([0, 1]))
    found = baselines((x, y), test, 2, np.random.default_rng(0))["commonest class"]
    assert same(found, score(test[1], np.array([[0.25, 0.75], [0.25, 0.75]])))
    assert found.confusion.tolist() == [[0, 1], [0, 1]]


def test_neighbors_and_regression_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    (x, y), test = blobs(rng, 300, 3), blobs(rng, 90, 3)
    found = baselines((x, y), test, 3, rng)
    for name, estimator in (
        ("15 nearest neighbors", KNeighborsClassifier(NEIGHBORS)),
        ("logistic regression", LogisticRegression(max_iter=ITERATIONS)),
    ):
        estimator.fit(x, y)
        assert same(found[name], score(test[1], estimator.predict_proba(test[0])))
        assert found[name].accuracy > 0.9


def test_fewer_rows_have_fewer_neighbors() -> None:
    rng = np.random.default_rng(0)
    found = baselines(blobs(rng, 4), blobs(rng, 4), 2, rng)
    assert list(found) == ["commonest class", "4 nearest neighbors", "logistic regression"]


def test_a_class_without_training_rows_is_never_answered() -> None:
    rng = np.random.default_rng(0)
    x, y = blobs(rng, 40)
    test = (x[:3], np.array([0, 1, 2]))
    for found in baselines((x, y), test, 3, rng).values():
        assert not found.confusion[:, 2].any()
        assert np.isfinite(found.log_loss)


def test_a_rare_class_of_a_large_table_is_still_shown() -> None:
    y = np.zeros(3 * ROWS, dtype=np.int64)
    y[17] = 1
    x = y[:, None].astype(np.float32)
    for seed in range(3):
        found = baselines((x, y), (x[:20], y[:20]), 2, np.random.default_rng(seed))
        assert found["commonest class"].rows == 20
        assert found["logistic regression"].roc_auc == 1


def test_the_same_seed_picks_the_same_rows_of_a_large_table() -> None:
    x, y = blobs(np.random.default_rng(0), ROWS + 500)
    first, second = (
        baselines((x, y), (x[:50], y[:50]), 2, np.random.default_rng(3)) for _ in range(2)
    )
    assert all(same(first[name], second[name]) for name in first)


def test_answers_are_what_the_scores_are_of() -> None:
    rng = np.random.default_rng(0)
    training, test = blobs(rng, 60), blobs(rng, 20)
    answers = baseline_probabilities(training, test[0], 2, np.random.default_rng(1))
    scores = baselines(training, test, 2, np.random.default_rng(1))
    assert list(answers) == list(scores)
    for name, probabilities in answers.items():
        assert probabilities.shape == (20, 2)
        assert same(score(test[1], probabilities), scores[name])
