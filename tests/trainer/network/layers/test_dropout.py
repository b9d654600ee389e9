from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.layers import Dense, Dropout
from pigeonhole.trainer.network.sequential import Sequential


class Frozen(Dropout):
    """Dropout that draws the same at each pass, so that differences can be taken."""

    def forward(self, x, training):
        self._rng = np.random.default_rng(5)
        return super().forward(x, training)


@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_gradients_agree_with_differences(strength: float, gradients_agree) -> None:
    noise = Frozen(0.4)
    noise.strength = strength
    layers = [Dense(6, "tanh", input_shape=(3,)), noise, Dense(3, "softmax")]
    gradients_agree(layers, "mean_squared_error")


def test_onnxruntime_agrees_that_outside_training_there_is_none(onnxruntime_agrees) -> None:
    onnxruntime_agrees(lambda: [Dropout(0.5, input_shape=(4,)), Dense(3, "softmax"), Dropout(0.3)])


def made(rate: float, columns: int, rng: np.random.Generator) -> Sequential:
    network = Sequential([Dropout(rate, input_shape=(columns,))])
    network.build(rng)
    return network


def test_the_expectation_is_kept_in_training_and_the_rows_outside(rng) -> None:
    network, x = made(0.25, 4, rng), np.ones((20_000, 4), np.float32)
    outputs = network._forward(x, training=True)
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / 0.75)}
    # 80,000 draws: the standard error of the share kept is 0.0015.
    assert np.mean(outputs == 0) == pytest.approx(0.25, abs=0.008)
    np.testing.assert_array_equal(network.predict(x), x)


@pytest.mark.parametrize(("strength", "dropped"), [(1, 0.4), (0.5, 0.2), (0.0, 0.0)])
def test_strength_multiplies_the_rate(strength: float, dropped: float, rng) -> None:
    network, x = made(0.4, 4, rng), np.ones((20_000, 4), np.float32)
    network.layers[0].strength = strength
    outputs = network._forward(x, training=True)
    assert np.mean(outputs == 0) == pytest.approx(dropped, abs=0.008)
    np.testing.assert_allclose(outputs[outputs > 0], 1 / (1 - dropped), rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 4)])
def test_any_number_of_units_is_drawn_for(shape: tuple[int, int], rng) -> None:
    network = made(0.5, shape[1], rng)
    passes = [network._forward(np.ones(shape, np.float32), training=True).copy() for _ in range(64)]
    assert set(np.unique(passes)) == {0, 2}
    # Each unit is dropped at times and kept at times: none is left without a chance of its own.
    assert (np.mean(passes, axis=0) > 0).all()
    assert (np.mean(passes, axis=0) < 2).all()


@pytest.mark.parametrize("rate", [0.0, 1 - 1e-12])
def test_either_end_of_its_range_stays_finite(rate: float, rng) -> None:
    outputs = made(rate, 3, rng)._forward(np.ones((10, 3), np.float32), training=True)
    assert np.isfinite(outputs).all()
    if not rate:
        assert (outputs == 1).all()


def test_a_rate_that_would_drop_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="rate is 1, expected at least 0 and less than 1"):
        Dropout(1)
