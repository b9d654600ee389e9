from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.layers import Dense, Embedding
from pigeonhole.trainer.network.sequential import Sequential

LEVELS = {"beside numbers": (3, 4), "alone": (3, 1, 2, 5)}


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_gradients_agree_with_differences(levels: tuple[int, ...], gradients_agree) -> None:
    # More rows than levels, so that gradients of shared levels must be summed.
    layers = [Embedding(levels, 2, input_shape=(4,)), Dense(3, "softmax")]
    gradients_agree(layers, rows=9, levels=levels)


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_onnxruntime_agrees(levels: tuple[int, ...], onnxruntime_agrees) -> None:
    onnxruntime_agrees(
        lambda: [Embedding(levels, 2, input_shape=(4,)), Dense(3, "softmax")], levels=levels
    )
    onnxruntime_agrees(lambda: [Embedding(levels, 1, input_shape=(4,))], levels=levels)


def made(rng: np.random.Generator) -> Sequential:
    network = Sequential([Embedding((2, 3), 2, input_shape=(3,))], dtype=np.float64)
    network.build(rng)
    return network


def test_embedding_by_hand(rng) -> None:
    network = made(rng)
    network.set_weights([[[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]])
    np.testing.assert_array_equal(
        network.predict([[0.5, 0, 0], [-7.0, 1, 2], [0.0, 1, 0]]),
        [[0.5, 1, 2, 5, 6], [-7, 3, 4, 9, 10], [0, 3, 4, 5, 6]],
    )


def test_vector_of_index_0_starts_as_zero(rng) -> None:
    vectors = made(rng).layers[0].parameters["vectors"]
    assert not vectors[[0, 2]].any()
    assert vectors[[1, 3, 4]].all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Embedding((2, 0), 3), ValueError, "levels is 0, expected at least 1"),
        (lambda: Embedding((2.5,), 3), TypeError, "levels is 2.5"),
        (lambda: Embedding((2,), 0), ValueError, "width is 0, expected at least 1"),
        (lambda: Embedding((2,), 1, initializer="sevens"), ValueError, "initializer is 'sevens'"),
        (
            lambda: Sequential([Embedding((2, 3), 1, input_shape=(1,))]),
            ValueError,
            "levels has 2 columns, expected at most 1",
        ),
    ],
)
def test_invalid_setting_is_rejected(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
