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
    awkward_rows,
    check_parity,
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


def test_a_faithful_file_agrees_to_the_rounding(fitted, rows) -> None:
    assert check_parity(fitted, ExportedModel(export(fitted, {})), rows) < TOLERANCE / 2


def test_a_weight_changed_after_the_export_is_found_out(fitted, rows) -> None:
    exported = ExportedModel(export(fitted, {}))
    fitted.network.members[0].parameters[3] += 1e-3
    with pytest.raises(ExportError, match=r"probabilities are up to .* from the network's"):
        check_parity(fitted, exported, rows)


def test_a_network_that_says_nothing_is_found_out(fitted, rows) -> None:
    exported = ExportedModel(export(fitted, {}))
    fitted.network.members[0].parameters[-1] = np.nan
    with pytest.raises(ExportError, match="up to nan from"):
        check_parity(fitted, exported, rows)


class UnlikeTwin(RobustScaler):
    """A scaler whose graph differs from its formula in how it takes a gap."""

    def emit(self, graph: Graph, numbers: str) -> str:
        zero = graph.constant(np.float64(0), "zero")  # rather than the center
        return super().emit(graph, graph.add("Where", graph.add("IsNaN", numbers), zero, numbers))


class FarOff(RobustScaler):
    """A scaler whose graph cuts off what lies far out."""

    def emit(self, graph: Graph, numbers: str) -> str:
        bounds = [graph.constant(np.float64(bound), "bound") for bound in (-1e4, 1e4)]
        return super().emit(graph, graph.add("Clip", numbers, *bounds))


@pytest.mark.parametrize("scaler", [UnlikeTwin, FarOff])
def test_a_graph_that_errs_only_on_awkward_rows_is_found_out(scaler, fitted, rows) -> None:
    numeric = fitted.preprocessor.numeric
    preprocessor = Preprocessor(
        scaler(numeric.center, numeric.factor), fitted.preprocessor.categorical
    )
    unlike = FittedClassifier(fitted.schema, preprocessor, fitted.network)
    exported = ExportedModel(export(unlike, {}))
    # On the rows at hand there is nothing to be seen.
    np.testing.assert_allclose(exported.run(rows)[1], fitted.probabilities(rows), atol=TOLERANCE)
    with pytest.raises(ExportError, match="probabilities are up to"):
        check_parity(unlike, exported, rows)


class OtherNames(FittedClassifier):
    """A classifier whose graph has the class names in another order."""

    def emit(self, graph: Graph) -> None:
        schema = Schema(self.schema.features, self.schema.target, self.schema.classes[::-1])
        FittedClassifier(schema, self.preprocessor, self.network).emit(graph)


def test_another_label_is_found_out(fitted, rows) -> None:
    unlike = OtherNames(fitted.schema, fitted.preprocessor, fitted.network)
    with pytest.raises(ExportError, match=r"the file labels row \d+ differently"):
        check_parity(unlike, ExportedModel(export(unlike, {})), rows)


def test_a_tie_may_go_either_way(fitted, rows) -> None:
    fitted.network.members[0].parameters[:] = 0  # every class has the same probability
    unlike = OtherNames(fitted.schema, fitted.preprocessor, fitted.network)
    assert check_parity(unlike, ExportedModel(export(unlike, {})), rows) < TOLERANCE


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


def test_an_answer_of_another_shape_is_found_out(fitted, rows) -> None:
    unlike = FewerClasses(fitted.schema, fitted.preprocessor, fitted.network)
    with pytest.raises(ExportError, match=r"with shape \(50, 2\), not \(50, 3\)"):
        check_parity(unlike, ExportedModel(export(unlike, {})), rows)


def test_awkward_rows_have_every_gap_alone_and_all_together(fitted, rows) -> None:
    awkward = awkward_rows(fitted, rows)
    gaps = np.hstack([np.isnan(awkward.numbers), awkward.categories == ""]).tolist()
    for gap in ([True] * 3, [True, False, False], [False, True, False], [False, False, True]):
        assert gap in gaps


def test_the_rows_at_hand_are_left_as_they_were(fitted, rows) -> None:
    before = rows.numbers.copy(), rows.categories.copy()
    check_parity(fitted, ExportedModel(export(fitted, {})), rows)
    for part, kept in zip((rows.numbers, rows.categories), before, strict=True):
        np.testing.assert_array_equal(part, kept)


def test_more_rows_than_run_at_once_come_back_in_order(fitted, rows) -> None:
    many = rows.take(np.arange(BATCH + 7) % len(rows))
    labels, probabilities = ExportedModel(export(fitted, {})).run(many)
    assert (len(labels), len(probabilities)) == (BATCH + 7, BATCH + 7)
    np.testing.assert_allclose(probabilities, fitted.probabilities(many), atol=TOLERANCE)


@pytest.mark.parametrize("kinds", [Kind.NUMBER, Kind.CATEGORY])
def test_a_classifier_of_one_kind_of_column_is_checked_too(kinds: Kind, rows: Examples) -> None:
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


TWO = Schema(SCHEMA.features, SCHEMA.target, ("no", "yes"))


@pytest.fixture
def decided(rows):
    """(value, members) -> a classifier of two classes with a threshold for the second."""
    preprocessor = Preprocessor.fit(rows)

    def make(value: float, members: int = 1) -> FittedClassifier:
        networks = []
        for seed in range(members):
            first = Dense(6, "relu", input_shape=(preprocessor.size,))
            networks.append(Sequential([first, Dense(2, activation="softmax")]))
            networks[-1].build(np.random.default_rng(seed))
        threshold = Threshold(1, float(np.float32(value)), "f1")
        return FittedClassifier(TWO, preprocessor, Ensemble(networks), threshold)

    return make


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_a_faithful_file_with_a_threshold_agrees(decided, rows, value: float, members: int) -> None:
    classifier = decided(value, members)
    assert check_parity(classifier, ExportedModel(export(classifier, {})), rows) < TOLERANCE


def test_a_file_with_another_threshold_is_found_out(decided, rows) -> None:
    chances = np.sort(decided(0.5).probabilities(rows)[:, 1])
    assert chances[10] < chances[30] - 1e-3
    exported = ExportedModel(export(decided(chances[10]), {}))
    with pytest.raises(ExportError, match=r"the file labels row \d+ differently"):
        check_parity(decided(chances[30]), exported, rows)


def test_a_file_without_the_threshold_is_found_out(decided, rows) -> None:
    classifier = decided(np.quantile(decided(0.5).probabilities(rows)[:, 1], 0.2))
    plain = FittedClassifier(TWO, classifier.preprocessor, classifier.network)
    with pytest.raises(ExportError, match=r"the file labels row \d+ differently"):
        check_parity(classifier, ExportedModel(export(plain, {})), rows)


def test_a_probability_at_the_threshold_may_go_either_way(decided, rows) -> None:
    row = rows.take(np.arange(1))
    chance = decided(0.5).probabilities(row)[0, 1]
    for value in (chance, chance - TOLERANCE, chance + TOLERANCE):
        exported = ExportedModel(export(decided(chance), {}))
        assert check_parity(decided(value), exported, row) < TOLERANCE
