from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.classifier import FittedClassifier, Threshold
from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.errors import ExportError
from pigeonhole.trainer.export.model import export
from pigeonhole.trainer.export.parity import (
    BATCH,
    TOLERANCE,
    ExportedModel,
    check_parity,
    edge_case_rows,
)
from pigeonhole.trainer.features.numeric import RobustScaler
from pigeonhole.trainer.features.preprocessor import Preprocessor
from pigeonhole.trainer.graph import Graph
from pigeonhole.trainer.network.ensemble import Ensemble
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.sequential import Sequential

SCHEMA = Schema(
    (
        Feature("age", Kind.NUMBER, required=False),
        Feature("color", Kind.CATEGORY, required=False),
        Feature("height", Kind.NUMBER, required=True),
    ),
    "target",
    ("no", "yes", "maybe"),
)


@pytest.fixture
def rows() -> Examples:
    rng = np.random.default_rng(0)
    return Examples(
        rng.normal(100, 20, (50, 2)),
        rng.choice(["red", "green", "blue"], (50, 1)).astype(object),
        rng.integers(0, 3, 50),
    )


@pytest.fixture
def fitted(rows: Examples) -> FittedClassifier:
    preprocessor = Preprocessor.fit(rows)
    first = Dense(6, "relu", input_shape=(preprocessor.size,))
    network = Sequential([first, Dense(3, activation="softmax")])
    network.build(np.random.default_rng(1))
    return FittedClassifier(SCHEMA, preprocessor, Ensemble([network]))


def test_correct_file_agrees_up_to_rounding(fitted, rows) -> None:
    assert check_parity(fitted, ExportedModel(export(fitted, {})), rows) < TOLERANCE / 2


def test_weight_changed_after_the_export_is_detected(fitted, rows) -> None:
    exported = ExportedModel(export(fitted, {}))
    fitted.network.members[0].parameters[3] += 1e-3
    with pytest.raises(ExportError, match="differ from the network's by up to"):
        check_parity(fitted, exported, rows)


def test_network_with_nan_is_detected(fitted, rows) -> None:
    exported = ExportedModel(export(fitted, {}))
    fitted.network.members[0].parameters[-1] = np.nan
    with pytest.raises(ExportError, match="by up to nan"):
        check_parity(fitted, exported, rows)


class DifferentForMissing(RobustScaler):
    """A scaler whose graph replaces missing values differently than its formula."""

    def emit(self, graph: Graph, numbers: str) -> str:
        zero = graph.constant(np.float64(0), "zero")  # instead of the center
        return super().emit(graph, graph.add("Where", graph.add("IsNaN", numbers), zero, numbers))


class DifferentForOutliers(RobustScaler):
    """A scaler whose graph clips outliers, different its formula."""

    def emit(self, graph: Graph, numbers: str) -> str:
        bounds = [graph.constant(np.float64(bound), "bound") for bound in (-1e4, 1e4)]
        return super().emit(graph, graph.add("Clip", numbers, *bounds))


@pytest.mark.parametrize("scaler", [DifferentForMissing, DifferentForOutliers])
def test_graph_that_differs_only_on_edge_cases_is_detected(scaler, fitted, rows) -> None:
    numeric = fitted.preprocessor.numeric
    preprocessor = Preprocessor(
        scaler(numeric.center, numeric.factor), fitted.preprocessor.categorical
    )
    different = FittedClassifier(fitted.schema, preprocessor, fitted.network)
    exported = ExportedModel(export(different, {}))
    # The graph agrees on ordinary rows.
    np.testing.assert_allclose(exported.run(rows)[1], fitted.probabilities(rows), atol=TOLERANCE)
    with pytest.raises(ExportError, match="differ from the network's by up to"):
        check_parity(different, exported, rows)


class OtherNames(FittedClassifier):
    """A classifier whose graph has the class names in another order."""

    def emit(self, graph: Graph) -> None:
        schema = Schema(self.schema.features, self.schema.target, self.schema.classes[::-1])
        FittedClassifier(schema, self.preprocessor, self.network).emit(graph)


def test_different_label_is_detected(fitted, rows) -> None:
    different = OtherNames(fitted.schema, fitted.preprocessor, fitted.network)
    with pytest.raises(ExportError, match=r"label of row \d+ differs from the network's"):
        check_parity(different, ExportedModel(export(different, {})), rows)


def test_labels_of_tied_classes_may_differ(fitted, rows) -> None:
    fitted.network.members[0].parameters[:] = 0  # every class has the same probability
    different = OtherNames(fitted.schema, fitted.preprocessor, fitted.network)
    assert check_parity(different, ExportedModel(export(different, {})), rows) < TOLERANCE


class FewerClasses(FittedClassifier):
    """A classifier whose graph leaves the last class out."""

    def emit(self, graph: Graph) -> None:
        probabilities = self.network.emit(graph, self.preprocessor.emit(graph))
        bounds = [graph.constant(np.array([bound]), "bound") for bound in (0, 2, 1)]
        cut = graph.add("Slice", probabilities, *bounds)
        names = graph.constant(np.array(self.schema.classes, dtype=object), "classes")
        best = graph.add("ArgMax", cut, axis=1, keepdims=0)
        graph.output(graph.add("Gather", names, best), "label", "string", None)
        graph.output(cut, "probabilities", "float", 2)


def test_probabilities_of_another_shape_are_detected(fitted, rows) -> None:
    different = FewerClasses(fitted.schema, fitted.preprocessor, fitted.network)
    with pytest.raises(ExportError, match=r"shape \(50, 2\), expected \(50, 3\)"):
        check_parity(different, ExportedModel(export(different, {})), rows)


def test_edge_cases_have_each_value_missing_alone_and_all_together(fitted, rows) -> None:
    edge_cases = edge_case_rows(fitted, rows)
    gaps = np.hstack([np.isnan(edge_cases.numbers), edge_cases.categories == ""]).tolist()
    for gap in ([True] * 3, [True, False, False], [False, True, False], [False, False, True]):
        assert gap in gaps


def test_parity_check_does_not_change_the_rows(fitted, rows) -> None:
    before = rows.numbers.copy(), rows.categories.copy()
    check_parity(fitted, ExportedModel(export(fitted, {})), rows)
    for part, original in zip((rows.numbers, rows.categories), before, strict=True):
        np.testing.assert_array_equal(part, original)


def test_several_batches_keep_the_order_of_the_rows(fitted, rows) -> None:
    many = rows.take(np.arange(BATCH + 7) % len(rows))
    labels, probabilities = ExportedModel(export(fitted, {})).run(many)
    assert (len(labels), len(probabilities)) == (BATCH + 7, BATCH + 7)
    np.testing.assert_allclose(probabilities, fitted.probabilities(many), atol=TOLERANCE)


@pytest.mark.parametrize("kinds", [Kind.NUMBER, Kind.CATEGORY])
def test_classifier_of_one_kind_of_column_is_checked(kinds: Kind, rows: Examples) -> None:
    described = Schema((Feature("only", kinds, required=True),), "target", ("a", "b", "c"))
    only = Examples(
        rows.numbers[:, : 1 if kinds == Kind.NUMBER else 0],
        rows.categories[:, : 1 if kinds == Kind.CATEGORY else 0],
        rows.labels,
    )
    preprocessor = Preprocessor.fit(only)
    network = Sequential([Dense(3, activation="softmax", input_shape=(preprocessor.size,))])
    network.build(np.random.default_rng(0))
    fitted = FittedClassifier(described, preprocessor, Ensemble([network]))
    assert check_parity(fitted, ExportedModel(export(fitted, {})), only) < TOLERANCE


TWO_CLASSES = Schema(SCHEMA.features, SCHEMA.target, ("no", "yes"))


@pytest.fixture
def with_threshold(rows):
    """Makes a classifier of two classes with a threshold for the second."""
    preprocessor = Preprocessor.fit(rows)

    def make(value: float, members: int = 1) -> FittedClassifier:
        networks = []
        for seed in range(members):
            first = Dense(6, "relu", input_shape=(preprocessor.size,))
            networks.append(Sequential([first, Dense(2, activation="softmax")]))
            networks[-1].build(np.random.default_rng(seed))
        threshold = Threshold(1, float(np.float32(value)), "f1")
        return FittedClassifier(TWO_CLASSES, preprocessor, Ensemble(networks), threshold)

    return make


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_correct_file_with_a_threshold_agrees(
    with_threshold, rows, value: float, members: int
) -> None:
    classifier = with_threshold(value, members)
    assert check_parity(classifier, ExportedModel(export(classifier, {})), rows) < TOLERANCE


def test_file_with_another_threshold_is_detected(with_threshold, rows) -> None:
    probabilities = np.sort(with_threshold(0.5).probabilities(rows)[:, 1])
    assert probabilities[10] < probabilities[30] - 1e-3
    exported = ExportedModel(export(with_threshold(probabilities[10]), {}))
    with pytest.raises(ExportError, match=r"label of row \d+ differs from the network's"):
        check_parity(with_threshold(probabilities[30]), exported, rows)


def test_file_without_the_threshold_is_detected(with_threshold, rows) -> None:
    classifier = with_threshold(np.quantile(with_threshold(0.5).probabilities(rows)[:, 1], 0.2))
    plain = FittedClassifier(TWO_CLASSES, classifier.preprocessor, classifier.network)
    with pytest.raises(ExportError, match=r"label of row \d+ differs from the network's"):
        check_parity(classifier, ExportedModel(export(plain, {})), rows)


def test_label_at_the_threshold_may_differ(with_threshold, rows) -> None:
    row = rows.take(np.arange(1))
    probability = with_threshold(0.5).probabilities(row)[0, 1]
    for value in (probability, probability - TOLERANCE, probability + TOLERANCE):
        exported = ExportedModel(export(with_threshold(probability), {}))
        assert check_parity(with_threshold(value), exported, row) < TOLERANCE
