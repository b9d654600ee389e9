from __future__ import annotations

import math

import numpy as np
import pytest

from pigeonhole.trainer.network.initializers import INITIALIZERS, get
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.sequential import Sequential

SHAPE = (300, 200)
VARIANCES = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 300,
    "he_normal": 2 / 300,
    "lecun_normal": 1 / 300,
    "standard_normal": 1,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_values_have_mean_0_and_the_variance_of_the_formula(name: str, rng) -> None:
    values = INITIALIZERS[name](SHAPE, rng)
    assert values.shape == SHAPE
    # 60,000 values: the standard errors are 0.4 % of the deviation and 0.6 % of the variance.
    assert abs(values.mean()) < 0.02 * math.sqrt(VARIANCES[name])
    assert values.var() == pytest.approx(VARIANCES[name], rel=0.03)
    if name.endswith("uniform"):
        assert np.abs(values).max() <= math.sqrt(3 * VARIANCES[name])


def test_zeros_and_ones_are_constant(rng) -> None:
    before = rng.bit_generator.state
    assert not INITIALIZERS["zeros"]((2, 3), rng).any()
    assert (INITIALIZERS["ones"]((3,), rng) == 1).all()
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("name", INITIALIZERS)
def test_same_generator_gives_the_same_values(name: str) -> None:
    first, second = (INITIALIZERS[name](SHAPE, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("activation", "suited"),
    [("relu", "he_uniform"), ("selu", "lecun_normal"), ("tanh", "glorot_uniform")],
)
def test_default_kernel_initializer_depends_on_the_activation(activation: str, suited: str) -> None:
    network = Sequential([Dense(4, activation, input_shape=(3,))], dtype=np.float64)
    network.build(np.random.default_rng(1))
    expected = INITIALIZERS[suited]((3, 4), np.random.default_rng(1))
    np.testing.assert_array_equal(network.layers[0].parameters["kernel"], expected)
    assert not network.layers[0].parameters["bias"].any()


@pytest.mark.parametrize("activation", ["relu", "selu", "tanh"])
def test_neural_tangent_kernel_has_one_default_initializer(activation: str) -> None:
    layers = [Dense(4, activation, neural_tangent=True, input_shape=(3,))]
    network = Sequential(layers, dtype=np.float64)
    network.build(np.random.default_rng(1))
    expected = np.random.default_rng(1).standard_normal((3, 4)) / math.sqrt(3)
    np.testing.assert_allclose(network.layers[0].parameters["kernel"], expected)


def test_functions_are_accepted_and_unknown_names_are_rejected(rng) -> None:
    def sevens(shape, rng):
        return np.full(shape, 7.0)

    network = Sequential([Dense(2, bias_initializer=sevens, input_shape=(3,))])
    network.build(rng)
    assert (network.layers[0].parameters["bias"] == 7).all()
    with pytest.raises(ValueError, match="kernel_initializer is 'sevens', expected one of zeros"):
        Dense(2, kernel_initializer="sevens")
    assert get("bias_initializer", sevens) is sevens
