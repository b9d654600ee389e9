from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from pigeonhole.trainer.graph import IR_VERSION, OPSETS, Graph


def shape(declared: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in declared.type.tensor_type.shape.dim]


def doubled() -> Graph:
    graph = Graph("doubled")
    x = graph.input("numbers", "double", 3)
    graph.output(graph.add("Mul", x, graph.constant(np.array(2.0), "two")), "twice", "double", 3)
    return graph


def test_versions_are_pinned_where_the_contract_has_them() -> None:
    model = doubled().model({}, "0")
    assert model.ir_version == IR_VERSION == 10
    assert {o.domain: o.version for o in model.opset_import} == OPSETS == {"": 21, "ai.onnx.ml": 3}
    onnx.checker.check_model(model, full_check=True)


def test_inputs_and_outputs_are_declared_as_they_were_named() -> None:
    graph = doubled()
    graph.output(graph.constant(np.array(["a"], dtype=object), "text"), "label", "string", None)
    declared = graph.model({}, "0").graph
    assert [(i.name, i.type.tensor_type.elem_type, shape(i)) for i in declared.input] == [
        ("numbers", TensorProto.DOUBLE, ["N", 3])
    ]
    assert [(o.name, o.type.tensor_type.elem_type, shape(o)) for o in declared.output] == [
        ("twice", TensorProto.DOUBLE, ["N", 3]),
        ("label", TensorProto.STRING, ["N"]),
    ]


def test_what_is_added_is_what_runs() -> None:
    content = doubled().model({}, "0").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    numbers = np.array([[1.0, 2.0, 1e300]])
    np.testing.assert_array_equal(session.run(["twice"], {"numbers": numbers})[0], 2 * numbers)


def test_no_two_results_have_one_name() -> None:
    graph = Graph("names")
    x = graph.input("numbers", "double", 1)
    names = [x, *(graph.add("Add", x, x) for _ in range(3)), graph.add("Neg", x)]
    names += [graph.constant(np.float32(1), "add") for _ in range(2)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.array([0.1, -1e308, 5e-324]),
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.array([2**53 + 1]),
        np.array(["", "é", "貓", 'a "b" \n c', "x" * 300], dtype=object),
    ],
    ids=["scalar", "doubles", "transposed", "int64", "texts"],
)
def test_a_constant_is_stored_as_it_is(value: np.ndarray) -> None:
    graph = Graph("constants")
    name = graph.constant(value, "value")
    (stored,) = graph.model({}, "0").graph.initializer
    array = numpy_helper.to_array(stored)
    assert stored.name == name
    np.testing.assert_array_equal(array, np.asarray(value))
    assert array.dtype == np.asarray(value).dtype


def test_metadata_goes_along() -> None:
    model = doubled().model({"key": "värde"}, "1.2")
    assert {entry.key: entry.value for entry in model.metadata_props} == {"key": "värde"}
    assert (model.producer_name, model.producer_version) == ("pigeonhole", "1.2")
