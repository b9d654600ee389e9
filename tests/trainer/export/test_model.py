from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pigeonhole.trainer.classifier import FittedClassifier, Threshold
from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.errors import ExportError
from pigeonhole.trainer.evaluation.scores import score
from pigeonhole.trainer.export import model as model_file
from pigeonhole.trainer.export.parity import ExportedModel
from pigeonhole.trainer.features.preprocessor import Preprocessor
from pigeonhole.trainer.graph import Graph
from pigeonhole.trainer.network.ensemble import Ensemble
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.sequential import Sequential

ROWS = 60


def examples(kinds: str, classes: int = 2, seed: int = 0) -> Examples:
    """Return rows with columns n(umber), b(oolean), c(ategory); capitals have missing values."""
    rng = np.random.default_rng(seed)
    numbers, categories = [], []
    for kind in kinds:
        gaps = rng.random(ROWS) < (0.2 if kind.isupper() else 0)
        if kind in "cC":
            texts = rng.choice(["red", "green", "blue"], ROWS).astype(object)
            categories.append(np.where(gaps, "", texts))
        else:
            values = rng.normal(50, 9, ROWS).round(2) if kind in "nN" else rng.integers(0, 2, ROWS)
            numbers.append(np.where(gaps, np.nan, values))
    return Examples(
        np.array(numbers, dtype=np.float64).reshape(-1, ROWS).T,
        np.array(categories, dtype=object).reshape(-1, ROWS).T,
        np.arange(ROWS) % classes,
    )


def schema(kinds: str, classes: tuple[str, ...], names: tuple[str, ...] = ()) -> Schema:
    names = names or tuple(f"{kind}{place}" for place, kind in enumerate(kinds))
    by_letter = {"n": Kind.NUMBER, "b": Kind.BOOLEAN, "c": Kind.CATEGORY}
    return Schema(
        tuple(
            Feature(name, by_letter[kind.lower()], required=kind.islower())
            for kind, name in zip(kinds, names, strict=True)
        ),
        "target",
        classes,
    )


def classifier(training: Examples, described: Schema) -> FittedClassifier:
    """Return a classifier with random weights."""
    preprocessor = Preprocessor.fit(training)
    outputs = Dense(len(described.classes), activation="softmax")
    network = Sequential([Dense(5, "relu", input_shape=(preprocessor.size,)), outputs])
    network.build(np.random.default_rng(0))
    return FittedClassifier(described, preprocessor, Ensemble([network]))


def small(
    kinds: str, classes: tuple[str, ...] = ("no", "yes")
) -> tuple[FittedClassifier, Examples]:
    training = examples(kinds, len(classes))
    return classifier(training, schema(kinds, classes)), training


def declared(values: Any) -> dict[str, tuple[int, list[str | int]]]:
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def parse_strictly(text: str) -> Any:
    """Parse JSON; fail for NaN and infinities, which the standard does not have."""

    def fail(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=fail)


@pytest.mark.parametrize(
    ("kinds", "inputs"),
    [
        ("ncbC", {"numbers": (TensorProto.DOUBLE, ["N", 2]), "categories": (TensorProto.STRING, ["N", 2])}),
        ("nb", {"numbers": (TensorProto.DOUBLE, ["N", 2])}),
        ("c", {"categories": (TensorProto.STRING, ["N", 1])}),
    ],
)  # fmt: skip
def test_file_follows_the_contract(kinds: str, inputs: dict[str, Any]) -> None:
    fitted, _ = small(kinds, ("a", "b", "c"))
    model = onnx.load_model_from_string(model_file.export(fitted, {}))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 10
    assert {opset.domain: opset.version for opset in model.opset_import} == {
        "": 21,
        "ai.onnx.ml": 3,
    }
    assert declared(model.graph.input) == inputs
    assert declared(model.graph.output) == {
        "label": (TensorProto.STRING, ["N"]),
        "probabilities": (TensorProto.FLOAT, ["N", 3]),
    }
    assert [output.name for output in model.graph.output] == ["label", "probabilities"]
    assert "ZipMap" not in {node.op_type for node in model.graph.node}
    assert all(not tensor.external_data for tensor in model.graph.initializer)


@pytest.mark.parametrize("kinds", ["nN", "cC", "nbcC"])
def test_file_predicts_like_the_network(kinds: str) -> None:
    fitted, rows = small(kinds, ("a", "b", "c"))
    labels, probabilities = ExportedModel(model_file.export(fitted, {})).run(rows)
    expected = fitted.probabilities(rows)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert labels.tolist() == [fitted.schema.classes[index] for index in expected.argmax(axis=1)]


def test_zero_rows_give_zero_predictions() -> None:
    fitted, rows = small("nc")
    none = rows.take(np.arange(0))
    labels, probabilities = ExportedModel(model_file.export(fitted, {})).run(none)
    assert (labels.shape, probabilities.shape) == ((0,), (0, 2))


def test_same_classifier_gives_the_same_bytes() -> None:
    metadata = {"signature": {"b": 1, "a": [1.5, None]}}
    first, second = (model_file.export(small("nc")[0], metadata) for _ in range(2))
    assert first == second


def test_names_in_any_script_are_kept() -> None:
    names = ('the "big" one', "größe, cm", "長さ", "\N{SLIGHTLY SMILING FACE}\n\t\\", "x" * 300)
    classes = ("'ja'", "nein, nie", "Ж" * 300)
    training = examples("ncnCb", 3)
    training.categories[0] = ["\N{SNOWMAN}" * 300, 'a "b"\n']
    described = schema("ncnCb", classes, names)
    fitted = classifier(training, described)
    exported = ExportedModel(
        model_file.export(fitted, {"signature": model_file.signature(fitted, training)})
    )
    stated = parse_strictly(exported.metadata["signature"])
    assert tuple(feature["name"] for feature in stated["features"]) == names
    assert tuple(stated["classes"]) == classes
    assert "\N{SNOWMAN}" * 300 in stated["features"][1]["categories"]
    labels, _ = exported.run(training)
    expected = fitted.probabilities(training).argmax(axis=1)
    assert labels.tolist() == [classes[index] for index in expected]


def test_signature_has_range_or_levels_of_each_feature() -> None:
    training = Examples(
        np.array([[1.5, 1], [np.nan, 0], [4, 0], [3, 1]]),
        np.array([["b"], [""], ["b"], ["a"]], dtype=object),
        np.array([0, 1, 0, 1]),
    )
    fitted = classifier(training, schema("NbC", ("no", "yes")))
    assert model_file.signature(fitted, training) == {
        "features": [
            {"name": "N0", "kind": "number", "required": False, "minimum": 1.5, "maximum": 4.0, "default": 3.0},
            {"name": "b1", "kind": "boolean", "required": True, "minimum": 0.0, "maximum": 1.0},
            {"name": "C2", "kind": "category", "required": False, "categories": {"b": 2, "a": 1}},
        ],
        "classes": ["no", "yes"],
    }  # fmt: skip


def test_number_without_training_values_has_no_range() -> None:
    training = Examples(
        np.array([[np.nan, 1.0], [np.nan, 2.0]]), np.empty((2, 0), object), np.array([0, 1])
    )
    fitted = classifier(training, schema("Nn", ("no", "yes")))
    first = model_file.signature(fitted, training)["features"][0]
    assert first == {"name": "N0", "kind": "number", "required": False, "default": 0.0}
    reference = model_file.reference(fitted, training)["features"]["N0"]
    assert reference == {"edges": [], "counts": [0], "missing": 1.0}


def test_signature_has_all_levels_and_reference_the_most_frequent() -> None:
    texts = [f"level {number}" for number in range(1500)] + ["level 7", "level 1499"]
    training = Examples(
        np.empty((len(texts), 0)),
        np.array(texts, dtype=object)[:, None],
        np.arange(len(texts)) % 2,
    )
    fitted = classifier(training, schema("c", ("no", "yes")))
    stated = model_file.signature(fitted, training)["features"][0]["categories"]
    assert len(stated) == 1500
    assert list(stated.items())[:3] == [("level 1499", 2), ("level 7", 2), ("level 0", 1)]
    counted = model_file.reference(fitted, training)["features"]["c0"]["counts"]
    assert list(counted.items()) == list(stated.items())[: model_file.REFERENCE_CATEGORIES]


def test_reference_counts_every_training_row_once() -> None:
    fitted, training = small("nNbcC")
    reference = model_file.reference(fitted, training)
    assert reference["rows"] == ROWS
    assert reference["classes"] == {"no": 0.5, "yes": 0.5}
    for column, feature in enumerate(fitted.schema.numbers):
        found = reference["features"][feature.name]
        values = training.numbers[:, column]
        edges = [-np.inf, *found["edges"], np.inf]
        expected = [
            np.count_nonzero((low <= values) & (values < high)) for low, high in pairwise(edges)
        ]
        assert found["counts"] == expected
        assert found["missing"] == pytest.approx(np.isnan(values).mean())
    for column, feature in enumerate(fitted.schema.categories):
        found = reference["features"][feature.name]
        texts = training.categories[:, column].tolist()
        assert found["counts"] == {name: texts.count(name) for name in ("red", "green", "blue")}
        assert found["missing"] == pytest.approx(texts.count("") / ROWS)


def test_metadata_of_extreme_numbers_is_json() -> None:
    training = Examples(
        np.array([[-1.7e308], [1.7e308], [np.nan], [5e-324]]),
        np.empty((4, 0), object),
        np.array([0, 1, 0, 1]),
    )
    fitted = classifier(training, schema("N", ("no", "yes")))
    bare = ExportedModel(model_file.export(fitted, {}))
    entries = {
        "signature": model_file.signature(fitted, training),
        "reference": model_file.reference(fitted, training),
        "golden": model_file.golden_rows(fitted, bare, training),
    }
    metadata = ExportedModel(model_file.export(fitted, entries)).metadata
    assert {key: parse_strictly(metadata[key]) for key in entries} == entries
    assert parse_strictly(metadata["pigeonhole"]) == 1


def test_unknown_score_is_null() -> None:
    scores = score(np.array([1]), np.array([[0.2, 0.8]]))
    written = model_file.evaluation(scores, {"commonest class": scores}, [0.8], None)
    assert written["test"]["roc_auc"] is None
    assert written["test"]["confusion"] == [[0, 0], [0, 1]]
    assert "confusion" not in written["baselines"]["commonest class"]
    assert written["baselines"]["commonest class"]["accuracy"] == 1.0


def test_cross_validation_has_mean_and_spread_of_each_known_score() -> None:
    scores = score(np.array([1]), np.array([[0.2, 0.8]]))
    spread = {"accuracy": (0.75, 0.25), "roc_auc": (float("nan"), float("nan"))}
    written = model_file.evaluation(scores, {}, [0.8, 1.5], spread)
    assert written["cross_validation"] == {"accuracy": {"mean": 0.75, "spread": 0.25}}
    assert written["temperatures"] == [0.8, 1.5]
    assert "cross_validation" not in model_file.evaluation(scores, {}, [1.0], None)
    parse_strictly(json.dumps(written))


def test_signature_names_the_threshold_class() -> None:
    fitted, training = small("nc")
    assert "threshold" not in model_file.signature(fitted, training)
    value = float(np.float32(0.37))
    decided = replace(fitted, threshold=Threshold(1, value, "recall@0.9"))
    stated = model_file.signature(decided, training)["threshold"]
    assert stated == {"class": "yes", "value": value, "metric": "recall@0.9"}
    bare = ExportedModel(model_file.export(decided, {}))
    for line in model_file.golden_rows(decided, bare, training):
        assert (line["label"] == "yes") == (line["probabilities"]["yes"] >= value)


def test_metadata_that_is_not_json_is_rejected() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        model_file.export(small("n")[0], {"evaluation": {"loss": float("nan")}})


@pytest.mark.parametrize(("classes", "rows"), [(2, 3), (3, 4), (9, 10), (30, 10)])
def test_there_are_three_to_ten_golden_rows(classes: int, rows: int) -> None:
    fitted, training = small("nC", tuple(f"class {number:02}" for number in range(classes)))
    bare = ExportedModel(model_file.export(fitted, {}))
    assert len(model_file.golden_rows(fitted, bare, training)) == rows


def test_golden_rows_are_typical_and_only_the_last_has_missing_values() -> None:
    training = Examples(
        np.array([[1.5, 1], [2, 0], [np.nan, 0], [10, 1], [30, 1], [20.25, 0]]),
        np.array([["x", "p"], ["y", ""], ["y", "p"], ["x", "q"], ["x", "q"], ["z", ""]], object),
        np.array([0, 0, 0, 1, 1, 1]),
    )
    fitted = classifier(training, schema("NbcC", ("no", "yes")))
    bare = ExportedModel(model_file.export(fitted, {}))
    golden = model_file.golden_rows(fitted, bare, training)
    assert [line["row"] for line in golden] == [
        {"N0": 1.5, "b1": False, "c2": "y", "C3": "p"},
        {"N0": 20.25, "b1": True, "c2": "x", "C3": "q"},
        {"b1": False, "c2": "x"},
    ]


@pytest.mark.parametrize("kinds", ["nbcC", "NC", "n", "c", "NBC"])
def test_golden_rows_give_their_recorded_predictions(kinds: str) -> None:
    fitted, training = small(kinds, ("a", "b", "c"))
    bare = ExportedModel(model_file.export(fitted, {}))
    golden = parse_strictly(json.dumps(model_file.golden_rows(fitted, bare, training)))
    rows = [line["row"] for line in golden]
    described = fitted.schema
    replayed = Examples(
        np.array(
            [[row.get(f.name, np.nan) for f in described.numbers] for row in rows], np.float64
        ),
        np.array([[row.get(f.name, "") for f in described.categories] for row in rows], object),
        np.zeros(len(rows), np.int64),
    )
    labels, probabilities = bare.run(replayed)
    for line, label, given in zip(golden, labels, probabilities, strict=True):
        assert line["label"] == label
        assert list(line["probabilities"]) == ["a", "b", "c"]
        assert list(line["probabilities"].values()) == given.tolist()
    for row in rows:
        assert all(f.name in row for f in described.features if f.required)


class Invalid(FittedClassifier):
    """A classifier that writes an invalid graph."""

    def emit(self, graph: Graph) -> None:
        numbers = graph.input("numbers", "double", 2)
        text = graph.constant(np.array(["a"], dtype=object), "text")
        graph.output(graph.add("Mul", numbers, text), "label", "string", None)


def test_invalid_graph_is_rejected() -> None:
    fitted, _ = small("nn")
    with pytest.raises(ExportError, match="checker rejects the file"):
        model_file.export(Invalid(fitted.schema, fitted.preprocessor, fitted.network), {})
