from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.classifier import FittedClassifier, Threshold
from pigeonhole.trainer.export.model import export
from pigeonhole.trainer.export.parity import ExportedModel
from pigeonhole.trainer.features.preprocessor import Preprocessor
from pigeonhole.trainer.network.ensemble import Ensemble
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.sequential import Sequential

VALUE = float(np.float32(0.37))
ABOVE, BELOW = (float(np.nextafter(np.float32(VALUE), side)) for side in (1, 0))


@pytest.fixture
def fitted(schema, examples):
    """Makes a classifier with first weights."""

    def make(threshold: Threshold | None = None, members: int = 1) -> FittedClassifier:
        preprocessor = Preprocessor.fit(examples(60), schema)
        networks = []
        for seed in range(members):
            network = Sequential([Dense(2, "softmax", input_shape=(preprocessor.size,))])
            network.build(np.random.default_rng(seed))
            networks.append(network)
        return FittedClassifier(schema, preprocessor, Ensemble(networks), threshold)

    return make


def test_most_likely_class_is_predicted_without_a_threshold(fitted) -> None:
    p = np.array([[0.6, 0.4], [0.4, 0.6], [0.5, 0.5]], np.float32)
    assert fitted().predicted(p).tolist() == [0, 1, 0]


@pytest.mark.parametrize("positive", [0, 1])
def test_positive_class_is_predicted_from_the_threshold_on(fitted, positive: int) -> None:
    probabilities = np.array([0, BELOW, VALUE, ABOVE, 0.5, 1], np.float32)
    p = np.stack([1 - probabilities, probabilities], axis=1)[:, :: 1 if positive else -1]
    predicted = fitted(Threshold(positive, VALUE, "f1")).predicted(p)
    assert (predicted == positive).tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("positive", [0, 1])
def test_labels_of_the_file_follow_the_threshold_including_ties(
    fitted, examples, positive: int, members: int
) -> None:
    rows = examples(300, seed=1)
    _, probabilities = ExportedModel(export(fitted(members=members), {})).run(rows)
    # A threshold that equals one row's probability, and its two neighbors.
    tie = np.sort(probabilities[:, positive])[150]
    for value in (tie, np.nextafter(tie, np.float32(1)), np.nextafter(tie, np.float32(0))):
        classifier = fitted(Threshold(positive, float(value), "f1"), members)
        labels, same = ExportedModel(export(classifier, {})).run(rows)
        np.testing.assert_array_equal(same, probabilities)
        names = np.array(classifier.schema.classes, dtype=object)
        np.testing.assert_array_equal(labels, names[classifier.predicted(probabilities)])
        expected = probabilities[:, positive].astype(np.float64) >= float(value)
        np.testing.assert_array_equal(labels == names[positive], expected)
        assert 0 < expected.sum() < 300


def test_file_with_a_threshold_accepts_zero_rows(fitted, examples) -> None:
    no_rows = examples(3).take(np.arange(0))
    labels, p = ExportedModel(export(fitted(Threshold(1, VALUE, "f1")), {})).run(no_rows)
    assert (labels.shape, p.shape) == ((0,), (0, 2))


def test_threshold_may_be_0_or_1(fitted, examples) -> None:
    rows = examples(40)
    for value, is_light in ((0.0, True), (1.0, False)):
        labels, _ = ExportedModel(export(fitted(Threshold(1, value, "f1")), {})).run(rows)
        assert ((labels == "light") == is_light).all()


def test_probabilities_are_the_mean_of_the_members(fitted, examples) -> None:
    classifier, rows = fitted(members=3), examples(20)
    x = classifier.preprocessor.transform(rows)
    each = [member.predict(x) for member in classifier.network.members]
    found = classifier.probabilities(rows)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-6)
    assert found.dtype == np.float32
