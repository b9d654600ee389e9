from __future__ import annotations

import numpy as np
import pytest

from trainer.network.activations import ACTIVATIONS
from trainer.network.layers import Activation, BatchNormalization, Dense, Dropout
from trainer.network.losses import CategoricalCrossentropy
from trainer.network.sequential import Sequential

SMOOTH = sorted(set(ACTIVATIONS) - {"threshold", "straight_through_threshold"})


class Frozen(Dropout):
    """Dropout that draws the same at each pass, so that differences can be taken."""

    def forward(self, x, training):
        self._rng = np.random.default_rng(5)
        return super().forward(x, training)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mean_squared_error"])
@pytest.mark.parametrize("activation", SMOOTH)
def test_gradients_of_dense_layers(activation: str, loss: str, gradients_agree) -> None:
    layers = [Dense(4, activation, input_shape=(3,)), Dense(3, "softmax")]
    gradients_agree(layers, loss)


def test_gradients_without_a_bias(gradients_agree) -> None:
    layers = [Dense(4, "tanh", use_bias=False, input_shape=(3,)), Dense(2, "softmax")]
    gradients_agree(layers, "categorical_crossentropy")


@pytest.mark.parametrize("activation", SMOOTH)
def test_gradients_of_an_activation_layer(activation: str, gradients_agree) -> None:
    layers = [Dense(3, input_shape=(2,)), Activation(activation), Dense(3), Activation("softmax")]
    gradients_agree(layers, "categorical_crossentropy")


def test_gradients_with_smoothing_and_class_weights(gradients_agree) -> None:
    layers = [Dense(4, "selu", input_shape=(3,)), Dense(3, "softmax")]
    gradients_agree(layers, CategoricalCrossentropy(0.1, [1, 2.5, 0.3]))


def test_gradients_of_a_cross_entropy_that_is_not_fused(gradients_agree) -> None:
    gradients_agree([Dense(3, "sigmoid", input_shape=(2,))], "categorical_crossentropy")


@pytest.mark.parametrize("rows", [2, 7])
def test_gradients_of_batch_normalization_in_training(rows: int, gradients_agree) -> None:
    layers = [
        BatchNormalization(input_shape=(3,)),
        Dense(4, "tanh"),
        BatchNormalization(epsilon=0.1),
        Dense(3, "softmax"),
    ]
    gradients_agree(layers, "categorical_crossentropy", rows=rows)


def test_gradients_through_dropout(gradients_agree) -> None:
    layers = [Dense(6, "tanh", input_shape=(3,)), Frozen(0.4), Dense(3, "softmax")]
    gradients_agree(layers, "mean_squared_error")


def test_batch_normalization_in_training_gives_mean_0_and_variance_1(rng) -> None:
    network = Sequential([BatchNormalization(epsilon=1e-9, input_shape=(3,))], dtype=np.float64)
    network.build(rng)
    y = network._forward(rng.normal(5, 3, size=(50, 3)), training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-6)


def test_batch_normalization_moves_its_averages_by_hand(rng) -> None:
    network = Sequential([BatchNormalization(momentum=0.75, input_shape=(1,))], dtype=np.float64)
    network.build(rng)
    # Mean 4 and variance 4 (of 2 rows, divided by 2): 0.75 * 0 + 0.25 * 4; 0.75 * 1 + 0.25 * 4
    network._forward(np.array([[2.0], [6.0]]), training=True)
    statistics = network.layers[0].statistics
    assert (statistics["mean"], statistics["variance"]) == (1, 1.75)
    # Outside training nothing moves, and it is (x - 1) / sqrt(1.75 + 0.001).
    assert network.predict([[3.0]]) == pytest.approx(2 / np.sqrt(1.751))
    assert (statistics["mean"], statistics["variance"]) == (1, 1.75)


def test_dropout_keeps_the_expectation_in_training_and_the_rows_outside(rng) -> None:
    network = Sequential([Dropout(0.25, input_shape=(4,))])
    network.build(rng)
    x = np.ones((20_000, 4), np.float32)
    outputs = network._forward(x, training=True)
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / 0.75)}
    # 80,000 draws: the standard error of the share kept is 0.0015.
    assert np.mean(outputs == 0) == pytest.approx(0.25, abs=0.008)
    np.testing.assert_array_equal(network.predict(x), x)


def awkward(columns: int) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.vstack(
        [
            np.zeros((1, columns)),
            -np.zeros((1, columns)),
            np.full((1, columns), 1e4),
            np.full((1, columns), -1e4),
            np.full((1, columns), 1e-30),
            np.eye(columns)[:2] * 1e4,
            rng.normal(size=(20, columns)) * 10 ** rng.uniform(-3, 3, size=(20, 1)),
        ]
    ).astype(np.float32)


def trained(layers, rng) -> Sequential:
    """A network whose weights and statistics are no longer the first ones."""
    network = Sequential(layers)
    network.compile("adam")
    x = rng.normal(size=(64, network.inputs))
    network.fit(x, rng.integers(0, network.units, 64), epochs=2, batch_size=16, rng=rng)
    return network


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_agrees_on_dense_layers_and_activations(
    activation: str, rng, by_onnxruntime
) -> None:
    layers = [Dense(5, activation, input_shape=(4,)), Dense(3, activation, use_bias=False)]
    network = trained(layers, rng)
    x = awkward(4)
    expected = network.predict(x)
    np.testing.assert_allclose(by_onnxruntime(network, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_agrees_on_an_activation_by_itself(
    activation: str, rng, by_onnxruntime
) -> None:
    network = Sequential([Activation(activation, input_shape=(4,))])
    network.build(rng)
    x = awkward(4)
    before = x.copy()
    expected = network.predict(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(by_onnxruntime(network, x), expected, rtol=1e-6, atol=1e-6)


def test_onnxruntime_agrees_on_a_network_of_every_layer(rng, by_onnxruntime) -> None:
    layers = [
        BatchNormalization(input_shape=(4,)),
        *(Dense(8, "relu"), BatchNormalization(), Dropout(0.3), Dense(8), Activation("tanh")),
        *(Dense(3), Activation("softmax")),
    ]
    network = trained(layers, rng)
    x = awkward(4)
    np.testing.assert_allclose(by_onnxruntime(network, x), network.predict(x), atol=1e-5)
    assert by_onnxruntime(network, x[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(0), ValueError, "units is 0, expected at least 1"),
        (lambda: Dense(2.5), TypeError, "units is 2.5"),
        (lambda: Dense(2, "rectifier"), ValueError, "activation is 'rectifier'"),
        (lambda: Dense(2, input_shape=2), ValueError, r"input_shape is 2, expected \(inputs,\)"),
        (lambda: Dense(2, input_shape=(0,)), ValueError, "input_shape is 0, expected at least 1"),
        (lambda: Dropout(1), ValueError, "rate is 1, expected at least 0 and less than 1"),
        (lambda: BatchNormalization(momentum=1.5), ValueError, "momentum is 1.5"),
        (lambda: BatchNormalization(epsilon=0), ValueError, "epsilon is 0"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 4)])
def test_dropout_draws_for_any_number_of_units(shape: tuple[int, int], rng) -> None:
    network = Sequential([Dropout(0.5, input_shape=(shape[1],))])
    network.build(rng)
    passes = [network._forward(np.ones(shape, np.float32), training=True).copy() for _ in range(64)]
    assert set(np.unique(passes)) == {0, 2}
    # Each unit is dropped at times and kept at times: none is left without a chance of its own.
    assert (np.mean(passes, axis=0) > 0).all()
    assert (np.mean(passes, axis=0) < 2).all()


@pytest.mark.parametrize("rate", [0.0, 1 - 1e-12])
def test_dropout_at_either_end_of_its_range_stays_finite(rate: float, rng) -> None:
    network = Sequential([Dropout(rate, input_shape=(3,))])
    network.build(rng)
    outputs = network._forward(np.ones((10, 3), np.float32), training=True)
    assert np.isfinite(outputs).all()
    if not rate:
        assert (outputs == 1).all()


def test_batch_normalization_of_one_row_gives_the_shift_alone(rng) -> None:
    network = Sequential([BatchNormalization(input_shape=(3,)), Dense(2, "softmax")])
    network.compile("adam")
    network.build(rng)
    assert (network._forward(np.full((1, 3), 1e6, np.float32), training=True) == 0.5).all()
    assert np.isfinite(network.train_on_batch(np.full((1, 3), 1e6), [1]))
