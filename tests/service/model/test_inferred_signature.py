from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from pigeonhole.service.errors import ModelRejected
from tests.service.model.graphs import (
    I32,
    I64,
    KERNEL,
    LINEAR,
    D,
    F,
    S,
    columns,
    softmax,
)


@pytest.mark.parametrize("element_type", [F, D])
def test_file_without_metadata_gets_named_features_and_numbered_classes(
    load, write_graph, element_type
) -> None:
    constants = {"kernel": KERNEL if element_type == F else KERNEL.astype(np.float64)}
    model = load(
        write_graph(
            LINEAR, {"x": (element_type, ["N", 2])}, {"p": (element_type, ["N", 2])}, constants
        )
    )
    assert not model.has_metadata
    assert [f.name for f in model.signature.features] == ["x_0", "x_1"]
    assert model.signature.classes == ("0", "1")
    prediction = model.session.run(columns([[1, 0.5], [-1, 0]]))
    assert prediction.labels == ["0", "1"]
    np.testing.assert_allclose(
        prediction.probabilities, [softmax(1, 0.5), softmax(-1, 0)], rtol=1e-5
    )
    assert prediction.probabilities.dtype == np.float32


def zipmap(labels: dict, key_type: int) -> tuple:
    """Return the ZipMap node that scikit-learn's converter appends, and the type of its output."""
    value_type = helper.make_tensor_type_proto(F, [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(key_type, value_type))
    return ("ZipMap", ["p"], "mapped", {"domain": "ai.onnx.ml", **labels}), kind


@pytest.mark.parametrize(
    ("labels", "key_type", "classes"),
    [
        ({"classlabels_strings": ["no", "yes"]}, S, ("no", "yes")),
        ({"classlabels_int64s": [7, 12]}, I64, ("7", "12")),
    ],
)
def test_zipmap_names_the_classes(load, write_graph, labels, key_type, classes) -> None:
    node, kind = zipmap(labels, key_type)
    path = write_graph([*LINEAR, node], {"x": (F, ["N", 2])}, {"mapped": kind}, {"kernel": KERNEL})
    model = load(path)
    assert model.signature.classes == classes
    prediction = model.session.run(columns([[1, 0.5], [-1, 0]]))
    assert prediction.labels == list(classes)
    np.testing.assert_allclose(
        prediction.probabilities, [softmax(1, 0.5), softmax(-1, 0)], rtol=1e-5
    )
    assert model.session.run(columns(np.empty((0, 2)))).probabilities.shape == (0, 2)


def test_zipmap_takes_precedence_over_the_label_output(load, write_graph) -> None:
    node, kind = zipmap({"classlabels_strings": ["no", "yes"]}, S)
    label = ("ArgMin", ["p"], "label", {"axis": 1, "keepdims": 0})
    path = write_graph(
        [*LINEAR, node, label],
        {"x": (F, ["N", 2])},
        {"label": (I64, ["N"]), "mapped": kind},
        {"kernel": KERNEL},
    )
    assert load(path).session.run(columns([[1, 1]])).labels == ["no"]


PLACE = ("ArgMax", ["p"], "place", {"axis": 1, "keepdims": 0})

X_AND_P = ({"x": (F, ["N", 2])}, {"p": (F, ["N", 2])})


def classifier(label: str = "label", probabilities: str = "p", **attributes) -> tuple:
    """Return the same formula as one node, as scikit-learn's converter writes it."""
    attributes |= {
        "domain": "ai.onnx.ml",
        "coefficients": KERNEL.T.ravel().tolist(),
        "intercepts": [0.0, 0.0],
        "post_transform": "SOFTMAX",
    }
    return ("LinearClassifier", ["x"], [label, probabilities], attributes)


@pytest.mark.parametrize(
    ("names", "kind", "classes"),
    [
        ({"classlabels_strings": ["yes", "no"]}, S, ("yes", "no")),
        ({"classlabels_ints": [-1, 12]}, I64, ("-1", "12")),
        ({"classlabels_ints": [0, 1]}, I64, ("0", "1")),
    ],
)
@pytest.mark.parametrize("label", ["label", "output_label", "other"])
def test_classifier_node_without_zipmap_names_the_classes(
    load, write_graph, names, kind, classes, label
) -> None:
    inputs, outputs = X_AND_P
    path = write_graph([classifier(label, **names)], inputs, outputs | {label: (kind, ["N"])})
    model = load(path)
    assert model.signature.classes == classes
    prediction = model.session.run(columns([[1, 0.5], [-1, 0]]))
    assert prediction.labels == list(classes)
    np.testing.assert_allclose(
        prediction.probabilities, [softmax(1, 0.5), softmax(-1, 0)], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (np.array(["yes", "no"], object), S),
        (np.array([3, -7]), I64),
        (np.array([3, 7], np.int32), I32),
    ],
)
@pytest.mark.parametrize(
    "pick",
    [
        ("Gather", ["names", "place"], "picked"),
        ("ArrayFeatureExtractor", ["names", "place"], "picked", {"domain": "ai.onnx.ml"}),
    ],
    ids=["Gather", "ArrayFeatureExtractor"],
)
def test_list_that_the_label_is_picked_from_names_the_classes(
    load, write_graph, pick, classes, kind
) -> None:
    inputs, outputs = X_AND_P
    path = write_graph(
        [*LINEAR, PLACE, pick, ("Reshape", ["picked", "flat"], "label")],
        inputs,
        outputs | {"label": (kind, ["N"])},
        {"kernel": KERNEL, "names": classes, "flat": np.array([-1])},
    )
    model = load(path)
    assert model.signature.classes == tuple(map(str, classes.tolist()))
    assert model.session.run(columns([[1, 1], [-1, 0]])).labels == list(model.signature.classes)


@pytest.mark.parametrize("last", [0, 1])
def test_labels_that_are_indices_leave_the_classes_numbered(load, write_graph, last) -> None:
    # For equally probable classes, as in a row of zeros, the graph may return either label.
    place = ("ArgMax", ["p"], "label", {"axis": 1, "keepdims": 0, "select_last_index": last})
    inputs, outputs = X_AND_P
    path = write_graph(
        [*LINEAR, place], inputs, outputs | {"label": (I64, ["N"])}, {"kernel": KERNEL}
    )
    model = load(path)
    assert model.signature.classes == ("0", "1")
    assert model.session.run(columns([[1, 1]])).labels == ["0"]


@pytest.mark.parametrize(
    ("label", "kind", "reason"),
    [
        # The names are in a node that the service does not read.
        (
            [
                PLACE,
                (
                    "LabelEncoder",
                    ["place"],
                    "label",
                    {
                        "domain": "ai.onnx.ml",
                        "keys_int64s": [0, 1],
                        "values_strings": ["no", "yes"],
                    },
                ),
            ],
            S,
            "'no' for a row whose most probable class would be called '0'",
        ),
        # More names than classes, and one name twice.
        ([PLACE, ("Gather", ["three", "place"], "label")], S, "'a' for .* called '0'"),
        ([PLACE, ("Gather", ["same", "place"], "label")], S, "'a' for .* called '0'"),
        # The label is the least probable class.
        (
            [
                ("ArgMin", ["p"], "place", {"axis": 1, "keepdims": 0}),
                ("Gather", ["two", "place"], "label"),
            ],
            S,
            "'[ab]' for .* called '[ab]'",
        ),
        (
            [("ArgMin", ["p"], "label", {"axis": 1, "keepdims": 0})],
            I64,
            "'[01]' for .* called '[01]'",
        ),
        # Labels that count from one.
        ([PLACE, ("Add", ["place", "one"], "label")], I64, "'1' for .* called '0'"),
    ],
    ids=["elsewhere", "more", "twice", "other", "least likely", "from one"],
)
def test_graph_whose_labels_contradict_the_class_names_is_rejected(
    load, write_graph, label, kind, reason
) -> None:
    inputs, outputs = X_AND_P
    constants = {
        "two": np.array(["a", "b"], object),
        "three": np.array(["a", "b", "c"], object),
        "same": np.array(["a", "a"], object),
        "one": np.array([1]),
    }
    used = {name for node in label for name in node[1]}
    path = write_graph(
        [*LINEAR, *label],
        inputs,
        outputs | {"label": (kind, ["N"])},
        {"kernel": KERNEL} | {name: a for name, a in constants.items() if name in used},
    )
    with pytest.raises(
        ModelRejected, match=rf"output 'label' is {reason}: export the model with a ZipM"
    ):
        load(path)


def test_names_for_columns_in_another_order_are_rejected(load, write_graph) -> None:
    inputs, outputs = X_AND_P
    path = write_graph(
        [
            classifier(probabilities="straight", classlabels_strings=["a", "b"]),
            ("Gather", ["straight", "turned"], "p", {"axis": 1}),
        ],
        inputs,
        outputs | {"label": (S, ["N"])},
        {"turned": np.array([1, 0])},
    )
    with pytest.raises(ModelRejected, match=r"output 'label' is '.' for a row"):
        load(path)


def test_classifier_that_votes_for_a_less_probable_class_keeps_its_names(load, write_graph) -> None:
    # Support vector machines do so far from their training rows. This one does so everywhere.
    machine = {
        "domain": "ai.onnx.ml",
        "classlabels_strings": ["no", "yes"],
        "kernel_type": "LINEAR",
        "kernel_params": [0.0, 0.0, 0.0],
        "vectors_per_class": [1, 1],
        "support_vectors": [1.0, 0.0, -1.0, 0.0],
        "coefficients": [1.0, -1.0],
        "rho": [0.0],
    }
    inputs, outputs = X_AND_P
    labels, most_probable = [], []
    for slope in (-1.0, 1.0):
        machine |= {"prob_a": [slope], "prob_b": [0.0]}
        path = write_graph(
            [("SVMClassifier", ["x"], ["label", "p"], machine)],
            inputs,
            outputs | {"label": (S, ["N"])},
        )
        model = load(path)
        assert model.signature.classes == ("no", "yes")
        rows = columns([[2, 0], [-2, 0]])
        most_probable.append(model.session.run(rows).labels)
        (graph_labels,) = model.session.run_outputs(["label"], rows)
        labels.append(graph_labels.tolist())
    assert labels[0] == labels[1]
    assert sorted(most_probable) == [["no", "yes"], ["yes", "no"]]


def test_output_with_several_values_per_row_is_not_a_label(load, write_graph) -> None:
    inputs, outputs = X_AND_P
    path = write_graph(
        [
            classifier("votes", classlabels_ints=[3, 4]),
            ("Cast", ["x"], "leaves", {"to": I64}),
        ],
        inputs,
        {"leaves": (I64, ["N", 2])} | outputs | {"votes": (I64, ["N"])},
    )
    assert load(path).signature.classes == ("3", "4")
    alone = write_graph(
        [*LINEAR, ("Cast", ["x"], "label", {"to": I64})],
        inputs,
        {"label": (I64, ["N", 2])} | outputs,
        {"kernel": KERNEL},
    )
    assert load(alone).signature.classes == ("0", "1")


def test_probe_rows_that_the_graph_rejects_do_not_disprove_names(load, write_graph) -> None:
    table = np.array([[0.4, 0.6], [0.7, 0.3]], np.float32)
    path = write_graph(
        [("Gather", ["table", "x"], "p"), PLACE, ("Gather", ["names", "place"], "label")],
        {"x": (I64, ["N"])},
        {"label": (S, ["N"]), "p": (F, ["N", 2])},
        {"table": table, "names": np.array(["a", "b"], object)},
    )
    assert load(path).session.run(columns([[0], [1]])).labels == ["b", "a"]


def test_file_that_lost_its_metadata_gets_the_class_names_of_its_graph(
    load, write_model, tmp_path
) -> None:
    bare = dict.fromkeys(["pigeonhole", "signature", "golden"])
    model = load(write_model(tmp_path, metadata=bare))
    assert not model.has_metadata
    assert model.signature.classes == ("underweight", "overweight")
    assert model.session.run(columns([[172, 95], [172, 40]])).labels == [
        "overweight",
        "underweight",
    ]
