from __future__ import annotations

import math

import numpy as np
import pytest

from pigeonhole.trainer.network.activations import ACTIVATIONS
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.losses import CategoricalCrossentropy
from pigeonhole.trainer.network.optimizers import Adam, AdamW
from pigeonhole.trainer.network.sequential import Sequential

SMOOTH = sorted(set(ACTIVATIONS) - {"threshold", "straight_through_threshold"})


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mean_squared_error"])
@pytest.mark.parametrize("activation", SMOOTH)
def test_gradients_agree_with_differences(activation: str, loss: str, gradients_agree) -> None:
    gradients_agree([Dense(4, activation, input_shape=(3,)), Dense(3, "softmax")], loss)


def test_gradients_without_a_bias(gradients_agree) -> None:
    gradients_agree([Dense(4, "tanh", use_bias=False, input_shape=(3,)), Dense(2, "softmax")])


def test_gradients_with_smoothing_and_class_weights(gradients_agree) -> None:
    layers = [Dense(4, "selu", input_shape=(3,)), Dense(3, "softmax")]
    gradients_agree(layers, CategoricalCrossentropy(0.1, [1, 2.5, 0.3]))


def test_gradients_of_a_cross_entropy_that_is_not_fused(gradients_agree) -> None:
    gradients_agree([Dense(3, "sigmoid", input_shape=(2,))])


def test_gradients_of_neural_tangent_layers(gradients_agree) -> None:
    layers = [Dense(4, "selu", neural_tangent=True, rates={"bias": 0.1}, input_shape=(3,))]
    gradients_agree([*layers, Dense(3, "softmax", neural_tangent=True)])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_agrees_with_every_activation(activation: str, onnxruntime_agrees) -> None:
    onnxruntime_agrees(
        lambda: [Dense(5, activation, input_shape=(4,)), Dense(3, activation, use_bias=False)]
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(0), ValueError, "units is 0, expected at least 1"),
        (lambda: Dense(2.5), TypeError, "units is 2.5"),
        (lambda: Dense(2, "rectifier"), ValueError, "activation is 'rectifier'"),
        (lambda: Dense(2, input_shape=2), ValueError, r"input_shape is 2, expected \(inputs,\)"),
        (lambda: Dense(2, input_shape=(0,)), ValueError, "input_shape is 0, expected at least 1"),
        (lambda: Dense(2, rates={"bias": 0}), ValueError, "rates is 0, expected a finite number"),
    ],
)
def test_invalid_setting_is_rejected(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_rate_for_an_unknown_parameter_is_rejected() -> None:
    with pytest.raises(ValueError, match="rates names 'kernle', expected kernel, bias"):
        Sequential([Dense(2, rates={"kernle": 2}, input_shape=(3,))])
    with pytest.raises(ValueError, match="rates names 'bias', expected kernel"):
        Sequential([Dense(2, use_bias=False, rates={"bias": 2}, input_shape=(3,))])


class ExplicitTangent(Dense):
    """z = x V / sqrt(inputs) + b with the parameter V."""

    def forward(self, x, training):
        return super().forward(x / math.sqrt(self.inputs), training)

    def backward_from_logits(self, gradient, needs_input):
        return super().backward_from_logits(gradient, needs_input) / math.sqrt(self.inputs)


# The two forms differ only by Adam's epsilon, which is added to the size of a gradient.
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: Adam(0.05, beta_2=0.95, epsilon=1e-30),
        lambda: AdamW(0.05, epsilon=1e-30, weight_decay=0.3),
    ],
    ids=["adam", "adamw"],
)
def test_neural_tangent_equals_the_explicit_parametrization(optimizer, rng) -> None:
    x, y = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    settings = {"bias_initializer": "standard_normal", "rates": {"kernel": 2.0, "bias": 0.1}}
    ours = Sequential(
        [
            Dense(5, "selu", neural_tangent=True, input_shape=(6,), **settings),
            Dense(3, "softmax", neural_tangent=True, **settings),
        ],
        dtype=np.float64,
    )
    settings["kernel_initializer"] = "standard_normal"
    textbooks = Sequential(
        [
            ExplicitTangent(5, "selu", input_shape=(6,), **settings),
            ExplicitTangent(3, "softmax", **settings),
        ],
        dtype=np.float64,
    )
    for network in (ours, textbooks):
        network.compile(optimizer(), CategoricalCrossentropy(0.1), "coslog4", "flat_cosine")
        network.fit(x, y, epochs=6, batch_size=7, rng=np.random.default_rng(1))
    for layer, textbook in zip(ours.layers, textbooks.layers, strict=True):
        kernel = textbook.parameters["kernel"] / math.sqrt(layer.inputs)
        np.testing.assert_allclose(layer.parameters["kernel"], kernel, rtol=1e-8)
        np.testing.assert_allclose(layer.parameters["bias"], textbook.parameters["bias"], rtol=1e-8)
    np.testing.assert_allclose(ours.predict(x), textbooks.predict(x), rtol=1e-8)


def test_neural_tangent_starts_with_outputs_of_variance_1(rng) -> None:
    network = Sequential([Dense(400, neural_tangent=True, input_shape=(400,))])
    network.build(rng)
    outputs = network.predict(rng.normal(size=(200, 400)))
    # 80,000 outputs of 160,000 weights: the standard error of the variance is below 1 %.
    assert outputs.var() == pytest.approx(1, rel=0.03)
