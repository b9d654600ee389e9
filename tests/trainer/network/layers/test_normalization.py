from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.layers import BatchNormalization, Dense
from pigeonhole.trainer.network.sequential import Sequential


@pytest.mark.parametrize("rows", [2, 7])
def test_gradients_agree_with_differences(rows: int, gradients_agree) -> None:
    layers = [
        BatchNormalization(input_shape=(3,)),
        Dense(4, "tanh"),
        BatchNormalization(epsilon=0.1),
        Dense(3, "softmax"),
    ]
    gradients_agree(layers, rows=rows)


def test_onnxruntime_agrees_before_and_after_a_dense_layer(onnxruntime_agrees) -> None:
    onnxruntime_agrees(
        lambda: [
            *(BatchNormalization(input_shape=(4,)), Dense(8, "relu"), BatchNormalization()),
            Dense(3, "softmax"),
        ]
    )


def test_training_batch_gets_mean_0_and_variance_1(rng) -> None:
    network = Sequential([BatchNormalization(epsilon=1e-9, input_shape=(3,))], dtype=np.float64)
    network.build(rng)
    y = network._forward(rng.normal(5, 3, size=(50, 3)), training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-6)


def test_moving_averages_by_hand(rng) -> None:
    network = Sequential([BatchNormalization(momentum=0.75, input_shape=(1,))], dtype=np.float64)
    network.build(rng)
    # Mean 4 and variance 4 (of 2 rows, divided by 2): 0.75 * 0 + 0.25 * 4; 0.75 * 1 + 0.25 * 4
    network._forward(np.array([[2.0], [6.0]]), training=True)
    statistics = network.layers[0].statistics
    assert (statistics["mean"], statistics["variance"]) == (1, 1.75)
    # Outside training, averages do not change, and the output is (x - 1) / sqrt(1.75 + 0.001).
    assert network.predict([[3.0]]) == pytest.approx(2 / np.sqrt(1.751))
    assert (statistics["mean"], statistics["variance"]) == (1, 1.75)


def test_one_row_gives_the_shift(rng) -> None:
    network = Sequential([BatchNormalization(input_shape=(3,)), Dense(2, "softmax")])
    network.compile("adam")
    network.build(rng)
    assert (network._forward(np.full((1, 3), 1e6, np.float32), training=True) == 0.5).all()
    assert np.isfinite(network.train_on_batch(np.full((1, 3), 1e6), [1]))


@pytest.mark.parametrize("given", [{"momentum": 1.5}, {"epsilon": 0}])
def test_setting_out_of_range_is_rejected(given: dict[str, float]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} is"):
        BatchNormalization(**given)
