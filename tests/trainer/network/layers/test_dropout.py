from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.layers import Dense, Dropout
from pigeonhole.trainer.network.sequential import Sequential


class Frozen(Dropout):
    """Dropout with the same mask in each pass, so that central differences work."""

    def forward(self, x, training):
        self._rng = np.random.default_rng(5)
        return super().forward(x, training)


@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_gradients_agree_with_differences(strength: float, gradients_agree) -> None:
    noise = Frozen(0.4)
    noise.strength = strength
    layers = [Dense(6, "tanh", input_shape=(3,)), noise, Dense(3, "softmax")]
    gradients_agree(layers, "mean_squared_error")


def test_onnxruntime_agrees_outside_training(onnxruntime_agrees) -> None:
    onnxruntime_agrees(lambda: [Dropout(0.5, input_shape=(4,)), Dense(3, "softmax"), Dropout(0.3)])


def made(rate: float, columns: int, rng: np.random.Generator) -> Sequential:
    network = Sequential([Dropout(rate, input_shape=(columns,))])
    network.build(rng)
    return network


def test_training_keeps_the_expectation(rng) -> None:
    network, x = made(0.25, 4, rng), np.ones((20_000, 4), np.float32)
    outputs = network._forward(x, training=True)
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / 0.75)}
    # 80,000 draws: the standard error of the share is 0.0015.
    assert np.mean(outputs == 0) == pytest.approx(0.25, abs=0.008)
    np.testing.assert_array_equal(network.predict(x), x)


@pytest.mark.parametrize(("strength", "dropped"), [(1, 0.4), (0.5, 0.2), (0.0, 0.0)])
def test_strength_scales_the_rate(strength: float, dropped: float, rng) -> None:
    network, x = made(0.4, 4, rng), np.ones((20_000, 4), np.float32)
    network.layers[0].strength = strength
    outputs = network._forward(x, training=True)
    assert np.mean(outputs == 0) == pytest.approx(dropped, abs=0.008)
    np.testing.assert_allclose(outputs[outputs > 0], 1 / (1 - dropped), rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 4)])
def test_each_unit_is_dropped_in_some_rows(shape: tuple[int, int], rng) -> None:
    network = made(0.5, shape[1], rng)
    passes = [network._forward(np.ones(shape, np.float32), training=True).copy() for _ in range(64)]
    assert set(np.unique(passes)) == {0, 2}
    # Each unit is dropped in some rows and kept in others.
    assert (np.mean(passes, axis=0) > 0).all()
    assert (np.mean(passes, axis=0) < 2).all()


@pytest.mark.parametrize("rate", [0.0, 1 - 1e-12])
def test_extreme_rates_give_finite_outputs(rate: float, rng) -> None:
    outputs = made(rate, 3, rng)._forward(np.ones((10, 3), np.float32), training=True)
    assert np.isfinite(outputs).all()
    if not rate:
        assert (outputs == 1).all()


def test_rate_of_1_is_rejected() -> None:
    with pytest.raises(ValueError, match="rate is 1, expected at least 0 and less than 1"):
        Dropout(1)
