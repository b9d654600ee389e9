from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.graph import Graph
from pigeonhole.trainer.network.ensemble import Ensemble
from pigeonhole.trainer.network.layers import Activation, Dense, Scaling
from pigeonhole.trainer.network.sequential import Sequential


def test_gradients_agree_with_differences(gradients_agree) -> None:
    gradients_agree([Scaling(input_shape=(3,)), Dense(4, "tanh"), Scaling(), Dense(3, "softmax")])


def test_scaling_starts_as_the_identity(rng) -> None:
    network = Sequential([Scaling(input_shape=(3,))])
    network.build(rng)
    x = rng.normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(network.predict(x), x)


def below(kind: str):
    return {
        "dense": lambda: [Scaling(input_shape=(4,)), Dense(3, "softmax")],
        "dense without a bias": lambda: [Scaling(input_shape=(4,)), Dense(3, use_bias=False)],
        "two": lambda: [Scaling(input_shape=(4,)), Scaling(), Dense(3, "softmax")],
        "activation": lambda: [Scaling(input_shape=(4,)), Activation("tanh"), Dense(3)],
        "nothing": lambda: [Dense(3, "tanh", input_shape=(4,)), Scaling()],
    }[kind]


@pytest.mark.parametrize("kind", ["dense", "dense without a bias", "two", "activation", "nothing"])
def test_onnxruntime_agrees_before_any_layer(kind: str, onnxruntime_agrees) -> None:
    onnxruntime_agrees(below(kind), tolerance=1e-4)


@pytest.mark.parametrize(("kind", "nodes"), [("dense", 0), ("two", 1), ("activation", 1)])
@pytest.mark.parametrize("members", [1, 3])
def test_scaling_before_a_dense_layer_adds_no_node(
    kind: str, nodes: int, members: int, rng, trained
) -> None:
    networks = [trained(below(kind)(), rng) for _ in range(members)]
    graph = Graph("scaled")
    graph.output(Ensemble(networks).emit(graph, graph.input("x", "float", 4)), "y", "float", 3)
    operators = [node.op_type for node in graph.model({}, "test").graph.node]
    assert operators.count("Mul") == nodes * members


def test_emit_does_not_change_the_network(rng, trained) -> None:
    network = trained(below("dense")(), rng)
    before = network.parameters.copy()
    graph = Graph("scaled")
    Ensemble([network]).emit(graph, graph.input("x", "float", 4))
    np.testing.assert_array_equal(network.parameters, before)
