from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.graph import Graph
from pigeonhole.trainer.network.ensemble import Ensemble
from pigeonhole.trainer.network.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Layer,
    PeriodicEmbedding,
    Scaling,
)
from pigeonhole.trainer.network.sequential import Sequential

LEVELS = (3, 40)


def every_kind() -> list[Layer]:
    return [
        Embedding(LEVELS, 2, input_shape=(6,)),
        PeriodicEmbedding(3, 2, frequencies=4),
        Scaling(),
        Dense(8, "selu", neural_tangent=True),
        *(BatchNormalization(), Dropout(0.3), Dense(5), Activation("tanh"), Scaling()),
        Dense(3, "softmax", use_bias=False),
    ]


def small(seed: int, units: int = 3) -> Sequential:
    network = Sequential([Dense(units, "relu", input_shape=(4,)), Dense(2, "softmax")])
    network.build(np.random.default_rng(seed))
    return network


def test_onnxruntime_agrees_on_every_layer_together(onnxruntime_agrees) -> None:
    onnxruntime_agrees(every_kind, levels=LEVELS, largest=10)


def test_prediction_is_the_mean_of_the_members(rng) -> None:
    members, x = [small(seed) for seed in range(3)], rng.normal(size=(5, 4))
    before = [member.predict(x) for member in members]
    np.testing.assert_allclose(Ensemble(members).predict(x), np.mean(before, axis=0), rtol=1e-6)
    for member, answer in zip(members, before, strict=True):
        np.testing.assert_array_equal(member.predict(x), answer)


def test_ensemble_of_one_predicts_like_its_member(rng) -> None:
    member, x = small(0), rng.normal(size=(5, 4))
    np.testing.assert_array_equal(Ensemble([member]).predict(x), member.predict(x))
    assert Ensemble([member]).summary() == member.summary()


@pytest.mark.parametrize("members", [1, 3])
def test_row_has_the_same_bits_in_any_batch(members, rng, trained, by_onnxruntime) -> None:
    def wide() -> list[Layer]:  # wide enough for kernels that process rows in groups
        return [PeriodicEmbedding(20, input_shape=(24,)), Dense(96, "selu"), Dense(3, "softmax")]

    networks = [trained(wide(), rng) for _ in range(members)]
    x = rng.normal(size=(70, 24))
    together = by_onnxruntime(networks, x)
    for size in (1, 2, 3, 7, 64):
        parts = [by_onnxruntime(networks, x[at : at + size]) for at in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_graph_of_one_member_has_no_mean(rng, trained) -> None:
    graph = Graph("one")
    layers = [Scaling(input_shape=(4,)), Dense(5, "selu"), Dropout(0.1), Dense(2, "softmax")]
    Ensemble([trained(layers, rng)]).emit(graph, graph.input("x", "float", 4))
    operators = [node.op_type for node in graph.model({}, "test").graph.node]
    assert operators == ["Gemm", "Selu", "Gemm", "Softmax"]


def test_summary_has_the_number_of_members_and_one_of_them() -> None:
    members = [small(seed) for seed in range(2)]
    text = Ensemble(members).summary()
    assert text == f"2 members, each:\n{members[0].summary(weights=False)}"
    assert "kernel" not in text


def test_no_members_or_different_members_are_rejected() -> None:
    with pytest.raises(ValueError, match="members is empty, expected at least one network"):
        Ensemble([])
    with pytest.raises(ValueError, match="members differ in their layers"):
        Ensemble([small(0), small(1, units=4)])
