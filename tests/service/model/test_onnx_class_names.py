from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pigeonhole.service.model.onnx_class_names import FIELD_LIMIT, ClassNames, find_class_names

ML = "ai.onnx.ml"
NO_NAMES = ClassNames()

TWO = {"classlabels_strings": ["no", "yes"]}


def model(*nodes, **constants) -> bytes:
    """Return a graph's bytes. It is never run, so it does not declare inputs and outputs."""
    tensors = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", [], [], tensors)
    return helper.make_model(graph).SerializeToString()


def node(operator: str, inputs: list[str], *outputs: str, domain: str = "", **attributes):
    return helper.make_node(operator, inputs, outputs, domain=domain, **attributes)


def classifier(operator: str = "LinearClassifier", label: str = "label", **attributes):
    return node(operator, ["x"], label, "p", domain=ML, **attributes)


def pick(name: str = "names"):
    return node("ArrayFeatureExtractor", [name, "place"], "label", domain=ML)


def found(content: bytes, label: str = "label", probabilities: str = "p") -> ClassNames:
    return find_class_names(content, label, probabilities)


@pytest.mark.parametrize(
    ("operator", "attributes", "names"),
    [
        ("LinearClassifier", TWO, ("no", "yes")),
        ("LinearClassifier", {"classlabels_ints": [-1, 2**62]}, ("-1", str(2**62))),
        ("SVMClassifier", {"classlabels_ints": [1, 2, 3]}, ("1", "2", "3")),
        ("TreeEnsembleClassifier", {"classlabels_int64s": [-(2**63), 0]}, (str(-(2**63)), "0")),
        ("TreeEnsembleClassifier", {"classlabels_strings": ["", "ä"]}, ("", "ä")),
    ],
)
def test_classifier_node_names_the_classes_in_column_order(operator, attributes, names) -> None:
    assert found(model(classifier(operator, **attributes))) == ClassNames(names, certain=True)


def test_names_are_certain_only_if_the_same_node_returns_the_probabilities() -> None:
    nodes = [
        classifier(**TWO),
        node("Identity", ["p"], "same"),
        node("Cast", ["same"], "double", to=TensorProto.DOUBLE),
        node("Gather", ["double", "order"], "turned", axis=1),
        node("Normalizer", ["p"], "normal", domain=ML),
        node("Softmax", ["x"], "other"),
    ]
    certain = {
        output: found(model(*nodes), probabilities=output).certain
        for output in ("p", "same", "double", "turned", "normal", "other", "label", "none")
    }
    assert [output for output, is_certain in certain.items() if is_certain] == [
        "p",
        "same",
        "double",
    ]


def test_reshape_nodes_before_the_output_do_not_change_names() -> None:
    content = model(
        classifier(label="first", **TWO),
        node("Cast", ["first"], "second", to=TensorProto.STRING),
        node("Reshape", ["second", "shape"], "third"),
        node("Identity", ["third"], "label"),
    )
    assert found(content).names == ("no", "yes")


def test_only_nodes_before_the_label_give_names() -> None:
    content = model(
        classifier(label="inner", classlabels_strings=["x", "y"]),
        node("ArgMax", ["p"], "place"),
        pick(),
        node("ZipMap", ["p"], "mapped", domain=ML, classlabels_strings=["u", "v"]),
        names=np.array(["no", "yes"], object),
    )
    assert found(content) == ClassNames(("no", "yes"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (np.array(["no", "yes"], object), ("no", "yes")),
        (np.array([["no", "yes"]], object), ("no", "yes")),
        (np.array([1, -2, 3]), ("1", "-2", "3")),
        (np.array([1, -2], np.int32), ("1", "-2")),
        (helper.make_tensor("names", TensorProto.INT64, [2], [5, -6]), ("5", "-6")),
        (helper.make_tensor("names", TensorProto.INT32, [2], [5, -6]), ("5", "-6")),
    ],
    ids=["text", "row", "int64", "int32", "listed int64", "listed int32"],
)
def test_names_are_read_from_an_initializer_or_a_constant_node(names, expected) -> None:
    assert found(model(pick(), names=names)).names == expected
    tensor = names if isinstance(names, TensorProto) else numpy_helper.from_array(names, "t")
    assert found(model(node("Constant", [], "names", value=tensor), pick())).names == expected


def outside() -> TensorProto:
    tensor = numpy_helper.from_array(np.array([1, 2]), "names")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def no_utf8() -> TensorProto:
    return TensorProto(dims=[1], data_type=TensorProto.STRING, name="names", string_data=[b"\xff"])


@pytest.mark.parametrize(
    "content",
    [
        model(),
        model(classifier()),
        model(classifier(label="other", **TWO)),
        model(classifier(classlabels_strings=["a", "b"], classlabels_ints=[1, 2])),
        model(node("LinearClassifier", ["x"], "label", "p", domain="my.own", **TWO)),
        model(node("LinearClassifier", ["x"], "p", "label", domain=ML, **TWO)),
        model(node("ArgMax", ["p"], "label")),
        model(node("Identity", [], "label")),
        model(classifier(label="first", **TWO), node("Neg", ["first"], "label")),
        model(pick()),
        model(node("Softmax", ["x"], "names"), pick()),
        model(pick(), names=np.array([["a"], ["b"]], object)),
        model(pick(), names=np.array("a", object)),
        model(pick(), names=np.array([0.5, 1.5])),
        model(pick(), names=outside()),
        model(pick(), names=no_utf8()),
        model(pick(), names=np.array([1, 2]), other=helper.make_tensor("names", 7, [1], [3])),
        model(classifier(**TWO)) * 2,
        model(classifier(**TWO))[:-3],
    ],
)
def test_ambiguous_or_invalid_graph_gives_no_names(content) -> None:
    assert found(content) == NO_NAMES


def test_cycle_of_nodes_is_read_once() -> None:
    circle = [node("Identity", ["a"], "label"), node("Identity", ["label"], "a")]
    assert found(model(*circle)) == NO_NAMES
    assert found(model(*reversed(circle))) == NO_NAMES


def test_learned_parameters_are_not_read() -> None:
    learned = {"coefficients": [0.5] * (FIELD_LIMIT + 1)}
    named = {"operator": "LinearClassifier", **TWO}
    assert found(model(classifier(**learned, **named))).names == ("no", "yes")


def field(number: int, content: bytes) -> bytes:
    """Return a protobuf field with bytes, below 2 MB."""
    size = len(content)
    low, middle, high = size & 127 | 128, size >> 7 & 127 | 128, size >> 14
    return bytes([number << 3 | 2, low, middle, high]) + content


@pytest.mark.parametrize(
    "more",
    [
        field(1, b"") * (FIELD_LIMIT + 1),
        field(1, field(2, b"") * (FIELD_LIMIT // 4)) * 4,
        b"\x78\x01" * (FIELD_LIMIT + 1),
    ],
    ids=["nodes", "fields of nodes", "unknown"],
)
def test_file_over_the_field_limit_gives_no_names(more) -> None:
    graph = helper.make_graph([classifier(**TWO)], "g", [], []).SerializeToString()
    assert found(field(7, graph)).names == ("no", "yes")
    assert found(field(7, graph + more)) == NO_NAMES


def test_lists_and_texts_count_towards_the_limit() -> None:
    assert found(model(pick(), names=np.arange(FIELD_LIMIT // 2))).names[-1] == "99999"
    assert found(model(pick(), names=np.arange(FIELD_LIMIT + 1))) == NO_NAMES
    assert found(model(classifier(classlabels_ints=[0] * (FIELD_LIMIT + 1)))) == NO_NAMES
    assert found(model(classifier(classlabels_strings=["a" * 64 * FIELD_LIMIT, "b"]))) == NO_NAMES


VALID = [
    model(classifier(**TWO)),
    model(node("ArgMax", ["p"], "place"), pick(), names=np.array([7, 8])),
    model(node("Constant", [], "names", value=no_utf8()), pick()),
]


@given(st.binary(max_size=200))
def test_random_bytes_give_no_names(content) -> None:
    assert found(content) == NO_NAMES
    assert isinstance(found(field(7, content)), ClassNames)
    assert isinstance(found(field(7, field(1, content))), ClassNames)


@given(st.sampled_from(VALID), st.data())
def test_damaged_file_does_not_raise(content, data) -> None:
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(start + 8, len(content))))
    damaged = content[:start] + data.draw(st.binary(max_size=8)) + content[stop:]
    assert isinstance(found(damaged), ClassNames)
