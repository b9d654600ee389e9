from __future__ import annotations

import math

import numpy as np
import pytest

from pigeonhole.trainer.network.layers import Dense, PeriodicEmbedding, Scaling
from pigeonhole.trainer.network.sequential import Sequential


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_gradients_agree_with_differences(columns: int, gradients_agree) -> None:
    layers = [PeriodicEmbedding(columns, 2, frequencies=3, input_shape=(3,)), Dense(3, "softmax")]
    gradients_agree(layers)


def test_gradients_after_another_layer(gradients_agree) -> None:
    gradients_agree(
        [
            *(Scaling(input_shape=(3,)), PeriodicEmbedding(2, 2, frequencies=3, scale=0.5)),
            *(Dense(4, "tanh"), PeriodicEmbedding(1, 1, frequencies=2), Dense(3, "softmax")),
        ]
    )


# The robust scaling gives the layer numbers from -3 to 3.
@pytest.mark.parametrize("columns", [1, 3, 4])
def test_onnxruntime_agrees(columns: int, onnxruntime_agrees) -> None:
    onnxruntime_agrees(
        lambda: [PeriodicEmbedding(columns, input_shape=(4,)), Dense(3, "softmax")], largest=10
    )
    onnxruntime_agrees(lambda: [PeriodicEmbedding(columns, input_shape=(4,))], largest=10)


def test_periodic_embedding_by_hand() -> None:
    network = Sequential(
        [PeriodicEmbedding(1, 2, frequencies=2, input_shape=(2,))], dtype=np.float64
    )
    # Cosines of 0.25 and 0.5 cycles per unit, the second one shifted by a quarter.
    weights = [[0.25, 0.5]], [[0, math.pi / 2]], [[[1, 2], [10, 20]]], [[0.5, 0.25]]
    network.set_weights(weights)
    # x = 1: cos(pi / 2) = 0, cos(pi + pi / 2) = 0;  x = 2: cos(pi) = -1, cos(2.5 pi) = 0
    # x = 0.5: cos(pi / 4) = 0.707107, cos(pi / 2 + pi / 2) = -1
    np.testing.assert_allclose(
        network.predict([[1, 7], [2, -7], [0.5, 0]]),
        [
            [1, 7, 0.5, 0.25],
            [2, -7, -1 + 0.5, -2 + 0.25],
            [0.5, 0, 0.707107 - 10 + 0.5, 1.414214 - 20 + 0.25],
        ],
        atol=1e-6,
    )


def test_first_values_have_the_variances_of_the_paper(rng) -> None:
    network = Sequential([PeriodicEmbedding(50, 3, frequencies=100, scale=0.2, input_shape=(50,))])
    network.build(rng)
    own = network.layers[0].parameters
    assert own["frequencies"].std() == pytest.approx(0.2, rel=0.05)
    # Uniform within +-bound: standard deviation bound / sqrt(3).
    for name, bound in (("phases", math.pi), ("kernel", 0.1), ("bias", 0.1)):
        assert np.abs(own[name]).max() <= np.float32(bound)
        assert own[name].std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PeriodicEmbedding(0), "columns is 0, expected at least 1"),
        (lambda: PeriodicEmbedding(1, 0), "width is 0, expected at least 1"),
        (lambda: PeriodicEmbedding(1, frequencies=0), "frequencies is 0, expected at least 1"),
        (lambda: PeriodicEmbedding(1, scale=0), "scale is 0, expected a finite number above 0"),
        (
            lambda: Sequential([PeriodicEmbedding(3, input_shape=(2,))]),
            "columns is 3, expected at most 2",
        ),
    ],
)
def test_invalid_setting_is_rejected(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
