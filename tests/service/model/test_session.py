from __future__ import annotations

import json
import math

import numpy as np
import pytest
from onnx import TensorProto, helper

from pigeonhole.service.errors import InvalidRows, ModelRejected, PredictionFailed
from pigeonhole.service.model.session import Graph, Session
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.model.validation import columns_from_values
from tests.service.model.graphs import (
    I32,
    I64,
    KERNEL,
    LINEAR,
    SOFTMAX,
    B,
    D,
    F,
    S,
    columns,
    softmax,
)


def signature_of(n: int, **kwargs) -> Signature:
    features = [Feature(name=f"f{i}", kind=Kind.NUMBER, **kwargs) for i in range(n)]
    return Signature(features, ["a", "b"])


def test_run_returns_the_probabilities_of_the_exported_formula(load, write_model, tmp_path) -> None:
    session = load(write_model(tmp_path)).session
    prediction = session.run(columns([[172, 95], [172, 40]]))
    assert prediction.labels == ["overweight", "underweight"]
    overweight = [1 / (1 + math.exp(-(w - 65) / 5)) for w in (95, 40)]
    expected = [[1 - p, p] for p in overweight]
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    assert prediction.probabilities.dtype == np.float32


def test_zero_rows_get_zero_predictions(load, write_model, tmp_path) -> None:
    prediction = load(write_model(tmp_path)).session.run(columns(np.empty((0, 2))))
    assert prediction.labels == []
    assert prediction.probabilities.shape == (0, 2)


def test_zero_rows_do_not_reach_the_graph(load, write_graph) -> None:
    path = write_graph(
        [
            ("Gather", ["x", "first"], "row", {"axis": 0}),
            ("Sub", ["x", "row"], "moved"),
            ("MatMul", ["moved", "kernel"], "z"),
            SOFTMAX,
        ],
        {"x": (F, ["N", 2])},
        {"p": (F, ["N", 2])},
        {"first": np.array([0]), "kernel": KERNEL},
    )
    session = load(path).session
    assert session.run(columns([[1, 2]])).probabilities.tolist() == [[0.5, 0.5]]
    assert session.run(columns(np.empty((0, 2)))).probabilities.shape == (0, 2)


def test_label_is_the_first_of_equally_probable_classes(load, write_graph) -> None:
    table = np.array([[0.4, 0.2, 0.4], [0.2, 0.4, 0.4]], np.float32)
    path = write_graph(
        [("Gather", ["table", "x"], "p")],
        {"x": (I64, ["N"])},
        {"p": (F, ["N", 3])},
        {"table": table},
    )
    assert load(path).session.run(columns([[0], [1]])).labels == ["0", "1"]


@pytest.mark.parametrize(
    ("label", "shape", "reason"),
    [
        (("ArgMax", ["p"], "place", {"axis": 1, "keepdims": 0}), ["N"], None),
        (
            ("ArgMin", ["p"], "place", {"axis": 1, "keepdims": 0}),
            ["N"],
            "golden row 0 got label 'b', expected 'a'",
        ),
        (
            ("ArgMax", ["p"], "place", {"axis": 1, "keepdims": 1}),
            ["N", 1],
            r"output 'label' has shape \[1, 1\], expected \[1\]",
        ),
    ],
)
def test_graph_whose_label_is_not_the_most_probable_class_is_rejected(
    load, write_graph, label, shape, reason
) -> None:
    answer = dict(zip("ab", softmax(1, 1), strict=True))
    golden = {"row": {"x": 1, "y": 1}, "label": "a", "probabilities": answer}
    signature = {"features": [{"name": n, "kind": "number"} for n in "xy"], "classes": ["a", "b"]}
    path = write_graph(
        [*LINEAR, label, ("Gather", ["names", "place"], "label")],
        {"x": (F, ["N", 2])},
        {"label": (S, shape), "p": (F, ["N", 2])},
        {"kernel": KERNEL, "names": np.array(["a", "b"], object)},
        {"pigeonhole": "1", "signature": json.dumps(signature), "golden": json.dumps([golden])},
    )
    if reason is None:
        assert load(path).session.run(columns([[1, 1], [-1, 0]])).labels == ["a", "b"]
    else:
        with pytest.raises(ModelRejected, match=reason):
            load(path)


def test_graph_with_an_input_per_feature_gets_one_column_each(load, write_graph) -> None:
    path = write_graph(
        [("Concat", ["height", "weight"], "x", {"axis": 1}), *LINEAR],
        {"height": (F, ["N", 1]), "weight": (F, ["N", 1])},
        {"p": (F, ["N", 2])},
        {"kernel": KERNEL},
    )
    model = load(path)
    assert [f.name for f in model.signature.features] == ["height", "weight"]
    prediction = model.session.run(columns([[1, 0.5]]))
    np.testing.assert_allclose(prediction.probabilities, [softmax(1, 0.5)], rtol=1e-5)


def test_flat_inputs_get_flat_arrays(load, write_graph) -> None:
    path = write_graph(
        [
            ("Unsqueeze", ["height", "axis"], "h"),
            ("Unsqueeze", ["weight", "axis"], "w"),
            ("Concat", ["h", "w"], "x", {"axis": 1}),
            *LINEAR,
        ],
        {"height": (F, ["N"]), "weight": (F, ["N"])},
        {"p": (F, ["N", 2])},
        {"kernel": KERNEL, "axis": np.array([1])},
    )
    prediction = load(path).session.run(columns([[1, 0.5], [2, 0]]))
    np.testing.assert_allclose(
        prediction.probabilities, [softmax(1, 0.5), softmax(2, 0)], rtol=1e-5
    )


def test_inputs_of_text_and_numbers_may_alternate(load, write_graph) -> None:
    encode = {"domain": "ai.onnx.ml", "keys_strings": ["x", "red"], "default_float": 0.0}
    path = write_graph(
        [
            ("LabelEncoder", ["color"], "c", encode | {"values_floats": [0.0, 3.0]}),
            ("LabelEncoder", ["shape"], "s", encode | {"values_floats": [0.0, 5.0]}),
            ("Add", ["c", "s"], "text"),
            ("Concat", ["size", "text"], "x", {"axis": 1}),
            *LINEAR,
        ],
        {"color": (S, ["N", 1]), "size": (F, ["N", 1]), "shape": (S, ["N", 1])},
        {"p": (F, ["N", 2])},
        {"kernel": KERNEL},
    )
    model = load(path)
    assert [(f.name, f.kind) for f in model.signature.features] == [
        ("color", Kind.CATEGORY),
        ("size", Kind.NUMBER),
        ("shape", Kind.CATEGORY),
    ]
    rows = columns_from_values(
        model.signature,
        [
            {"color": "red", "size": -4, "shape": "round"},
            {"color": "blue", "size": -4, "shape": "red"},
        ],
    )
    np.testing.assert_allclose(
        model.session.run(rows).probabilities, [softmax(-4, 3), softmax(-4, 5)], rtol=1e-4
    )


def test_integer_inputs_get_integers(load, write_graph) -> None:
    table = np.array([[1, 0], [0.25, 0.75], [0, 1]], np.float32)
    path = write_graph(
        [("Gather", ["table", "x"], "p")],
        {"x": (I64, ["N"])},
        {"p": (F, ["N", 2])},
        {"table": table},
    )
    prediction = load(path).session.run(columns([[1], [2]]))
    assert prediction.probabilities.tolist() == [[0.25, 0.75], [0, 1]]


@pytest.mark.parametrize(
    ("element_type", "limit"),
    [(I32, 2**31 - 1), (I32, -(2**31)), (I64, 2**53), (I64, -(2**63)), (B, True)],
)
def test_limits_of_a_narrow_type_reach_the_graph_unchanged(
    load, write_graph, element_type, limit
) -> None:
    types = {I32: np.int32, I64: np.int64, B: np.bool_}
    path = write_graph(
        [
            ("Equal", ["x", "limit"], "same"),
            ("Cast", ["same"], "yes", {"to": F}),
            ("Sub", ["one", "yes"], "no"),
            ("Concat", ["no", "yes"], "p", {"axis": 1}),
        ],
        {"x": (element_type, ["N", 1])},
        {"p": (F, ["N", 2])},
        {"limit": np.array([[limit]], types[element_type]), "one": np.ones((1, 1), np.float32)},
    )
    assert load(path).session.run(columns([[limit], [0]])).labels == ["1", "0"]


@pytest.mark.parametrize("element_type", [F, D, I64, I32, B])
@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38, -3.5e38, 9.3e18, 1e-320])
def test_huge_value_gets_finite_probabilities_or_is_rejected(
    load, write_graph, element_type, value
) -> None:
    path = write_graph(
        [("Cast", ["x"], "floats", {"to": F}), ("MatMul", ["floats", "kernel"], "z"), SOFTMAX],
        {"x": (element_type, ["N", 2])},
        {"p": (F, ["N", 2])},
        {"kernel": KERNEL},
    )
    session = load(path).session
    try:
        prediction = session.run(columns([[value, value]]))
    except InvalidRows as error:
        assert error.problems[0].got == "no finite probability"  # noqa: PT017 - either will do
    else:
        assert np.isfinite(prediction.probabilities).all()


def test_rows_without_finite_probabilities_are_reported_by_number(load, write_graph) -> None:
    path = write_graph(LINEAR, {"x": (F, ["N", 2])}, {"p": (F, ["N", 2])}, {"kernel": KERNEL})
    session = load(path).session
    with pytest.raises(InvalidRows) as caught:
        session.run(columns([[1, 1], [1e300, 1e300], [2, 2], [1e38, 3e38]]))
    assert [problem.row for problem in caught.value.problems] == [1, 3]


@pytest.mark.parametrize("infinities", [[math.inf, -math.inf], [math.nan, 0.5], [math.inf, 0]])
def test_infinite_or_nan_probabilities_are_rejected(load, write_graph, infinities) -> None:
    table = np.array([[0.5, 0.5], infinities], np.float32)
    path = write_graph(
        [("Gather", ["table", "x"], "p")],
        {"x": (I64, ["N"])},
        {"p": (F, ["N", 2])},
        {"table": table},
    )
    session = load(path).session
    with pytest.raises(InvalidRows, match="1 problem in 1 row"):
        session.run(columns([[1]]))


def test_message_of_onnxruntime_is_only_in_the_cause(load, write_graph) -> None:
    table = np.array([[1, 0]], np.float32)
    path = write_graph(
        [("Gather", ["table", "x"], "p")],
        {"x": (I64, ["N"])},
        {"p": (F, ["N", 2])},
        {"table": table},
    )
    session = load(path).session
    with pytest.raises(PredictionFailed) as caught:
        session.run(columns([[77]]))
    assert str(caught.value) == "the model could not be run on these rows"
    assert "77" in str(caught.value.__cause__)


def test_output_of_the_wrong_shape_is_a_failure(load, write_graph) -> None:
    # One row of probabilities for one row, and also for two rows.
    path = write_graph(
        [
            ("ReduceMax", ["x", "axis"], "z", {"keepdims": 1}),
            ("Shape", ["x"], "shape"),
            ("Gather", ["shape", "zero"], "n"),
            ("Min", ["n", "one"], "least"),
            ("Concat", ["least", "two"], "wanted", {"axis": 0}),
            ("ConstantOfShape", ["wanted"], "halves", {"value": half()}),
            ("Identity", ["halves"], "p"),
        ],
        {"x": (F, ["N", 2])},
        {"p": (F, ["M", 2])},
        {
            "axis": np.array([1]),
            "zero": np.array([0]),
            "one": np.array([1]),
            "two": np.array([2]),
        },
    )
    session = Session(Graph(path.read_bytes(), 1), signature_of(2))
    assert session.run(columns([[1, 2]])).probabilities.tolist() == [[0.5, 0.5]]
    with pytest.raises(PredictionFailed, match=r"shape \[1, 2\], expected \[2, 2\]"):
        session.run(columns([[1, 2], [3, 4]]))
    with pytest.raises(
        ModelRejected, match=r"the model can't be run: the model returned probabilities of"
    ):
        load(path)


def half():
    return helper.make_tensor("half", F, [1], [0.5])


@pytest.mark.parametrize("value", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("positive", [0, 1])
def test_threshold_decides_the_label(load, write_model, tmp_path, positive, value) -> None:
    features = [{"name": name, "kind": "number"} for name in ("height_cm", "weight_kg")]
    classes = ["underweight", "overweight"]
    threshold = {"class": classes[positive], "value": value, "metric": "accuracy"}
    signature = {"features": features, "classes": classes, "threshold": threshold}
    golden = {
        "row": {"height_cm": 172, "weight_kg": 65},
        "probabilities": dict.fromkeys(classes, 0.5),
    }
    golden["label"] = classes[positive if value <= 0.5 else 1 - positive]
    path = write_model(
        tmp_path,
        metadata={"signature": json.dumps(signature), "golden": json.dumps([golden])},
    )
    prediction = load(path).session.run(columns([[172, w] for w in range(30, 100, 5)]))
    reached = prediction.probabilities[:, positive].astype(float) >= value
    assert 0 < reached.sum() < len(reached)
    assert prediction.labels == [classes[positive if r else 1 - positive] for r in reached]


def test_threshold_decides_for_a_graph_without_a_label(load, write_graph) -> None:
    features = [{"name": name, "kind": "number"} for name in ("x", "y")]
    row = {"row": {"x": 0, "y": 0}, "label": "b", "probabilities": {"a": 0.5, "b": 0.5}}
    threshold = {"class": "b", "value": 0.2, "metric": "recall at precision 0.9"}
    signature = {"features": features, "classes": ["a", "b"], "threshold": threshold}
    metadata = {
        "pigeonhole": "1",
        "signature": json.dumps(signature),
        "golden": json.dumps([row]),
    }
    path = write_graph(
        LINEAR, {"x": (F, ["N", 2])}, {"p": (F, ["N", 2])}, {"kernel": KERNEL}, metadata
    )
    session = load(path).session
    assert session.run(columns([[0, 0], [1, 0]])).labels == ["b", "a"]
    assert session.run(columns(np.empty((0, 2)))).labels == []


def test_output_called_probabilities_takes_precedence(load, write_graph) -> None:
    nodes = [
        *LINEAR,
        ("Neg", ["p"], "scores"),
        ("Identity", ["p"], "probabilities"),
        ("ArgMax", ["p"], "label", {"axis": 1, "keepdims": 0}),
    ]
    outputs = {"label": (I64, ["N"]), "scores": (F, ["N", 2]), "probabilities": (F, ["N", 2])}
    inputs, constants = {"x": (F, ["N", 2])}, {"kernel": KERNEL}
    model = load(write_graph(nodes, inputs, outputs, constants))
    assert model.session.run(columns([[1, 1]])).labels == ["0"]


@pytest.mark.parametrize(
    ("element_type", "shape", "reason"),
    [
        (
            TensorProto.FLOAT16,
            ["N", 2],
            r"'x' has type tensor\(float16\), expected one of tensor\(double\), tensor\(float\), ",
        ),
        (F, ["N", "M"], r"'x' has shape \['N', 'M'\], expected \(rows,\) or \(rows, columns\)"),
        (F, ["N", 2, 2], r"'x' has shape \['N', 2, 2\]"),
        (F, [], r"'x' has shape \[\]"),
    ],
)
def test_input_of_unsupported_type_or_shape_is_rejected(
    load, write_graph, element_type, shape, reason
) -> None:
    path = write_graph(
        [("Cast", ["x"], "floats", {"to": F}), ("Identity", ["floats"], "p")],
        {"x": (element_type, shape)},
        {"p": (F, shape)},
    )
    with pytest.raises(ModelRejected, match=reason):
        load(path)


@pytest.mark.parametrize(
    ("nodes", "outputs", "reason"),
    [
        ([("Cast", ["x"], "p", {"to": I64})], {"p": (I64, ["N", 2])}, "no output for prob"),
        (
            [("Cast", ["x"], "probabilities", {"to": S})],
            {"probabilities": (S, ["N", 2])},
            r"no output for probabilities: .* got 'probabilities' of tensor\(string\)",
        ),
        (
            [("Exp", ["x"], "p")],
            {"p": (F, ["N", 2])},
            r"not hold probabilities: a row is \[1.0, 1.0\], expected",
        ),
        ([("Neg", ["x"], "p")], {"p": (F, ["N", 2])}, "'p' does not hold probabilities"),
        ([("Log", ["x"], "p")], {"p": (F, ["N", 2])}, "got no finite probability"),
        (
            [("ReduceSum", ["x", "axis"], "p", {"keepdims": 0})],
            {"p": (F, ["N"])},
            r"output 'p' has shape \[1\], expected \(rows, classes\)",
        ),
        (
            [("ReduceSum", ["x"], "p", {"keepdims": 0})],
            {"p": (F, [])},
            r"output 'p' has shape \[\], expected \(rows, classes\)",
        ),
        (
            [("ReduceSum", ["x", "axis"], "s"), ("Sigmoid", ["s"], "p")],
            {"p": (F, ["N", 1])},
            r"a row is \[0.5\]",
        ),
        (
            [("Reshape", ["x", "four"], "p")],
            {"p": (F, [2, 2])},
            "the model can't be run: .*running Reshape node",
        ),
        (
            [("ReduceMean", ["x", "rows"], "z"), SOFTMAX],
            {"p": (F, [1, 2])},
            r"can't be run: the model returned probabilities of shape \[1, 2\], expected \[\d+, 2\]",
        ),
    ],
)
def test_graph_without_probabilities_is_rejected(load, write_graph, nodes, outputs, reason) -> None:
    constants = {"axis": np.array([1]), "rows": np.array([0]), "four": np.array([2, 2])}
    used = {name for node in nodes for name in node[1]}
    constants = {name: value for name, value in constants.items() if name in used}
    with pytest.raises(ModelRejected, match=reason) as caught:
        load(write_graph(nodes, {"x": (F, ["N", 2])}, outputs, constants))
    assert "\n" not in caught.value.reason


def test_signature_whose_width_differs_from_the_inputs_is_rejected(write_graph) -> None:
    path = write_graph(LINEAR, {"x": (F, ["N", 2])}, {"p": (F, ["N", 2])}, {"kernel": KERNEL})
    graph = Graph(path.read_bytes(), 1)
    for n in (1, 3):
        with pytest.raises(ModelRejected, match=f"has {n} numeric and 0 category columns, but the"):
            Session(graph, signature_of(n))
    assert Session(graph, signature_of(2)).run(columns([[1, 1]])).labels == ["a"]


@pytest.mark.parametrize("element_type", [I64, I32, B])
def test_optional_feature_needs_a_float_input(write_graph, element_type) -> None:
    path = write_graph(
        [("Cast", ["x"], "floats", {"to": F}), ("MatMul", ["floats", "kernel"], "z"), SOFTMAX],
        {"x": (element_type, ["N", 2])},
        {"p": (F, ["N", 2])},
        {"kernel": KERNEL},
    )
    graph = Graph(path.read_bytes(), 1)
    with pytest.raises(ModelRejected, match="feature 'f0' may be missing, but input 'x' of"):
        Session(graph, signature_of(2, required=False))


def test_missing_value_stays_nan_in_float32(write_graph) -> None:
    path = write_graph(
        [
            ("IsNaN", ["x"], "missing"),
            ("Cast", ["missing"], "yes", {"to": F}),
            ("Sub", ["one", "yes"], "no"),
            ("Concat", ["no", "yes"], "p", {"axis": 1}),
        ],
        {"x": (F, ["N", 1])},
        {"p": (F, ["N", 2])},
        {"one": np.ones((1, 1), np.float32)},
    )
    session = Session(Graph(path.read_bytes(), 1), signature_of(1, required=False))
    assert session.run(columns([[np.nan], [1]])).labels == ["b", "a"]
