from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.activations import ACTIVATIONS
from pigeonhole.trainer.network.layers import Activation, Dense
from pigeonhole.trainer.network.sequential import Sequential

SMOOTH = sorted(set(ACTIVATIONS) - {"threshold", "straight_through_threshold"})


@pytest.mark.parametrize("activation", SMOOTH)
def test_gradients_agree_with_differences(activation: str, gradients_agree) -> None:
    layers = [Dense(3, input_shape=(2,)), Activation(activation), Dense(3), Activation("softmax")]
    gradients_agree(layers)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_agrees_on_each_activation(activation: str, onnxruntime_agrees) -> None:
    onnxruntime_agrees(lambda: [Activation(activation, input_shape=(4,))])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_does_not_change_the_rows(activation: str, rng, edge_cases) -> None:
    network = Sequential([Activation(activation, input_shape=(4,))])
    network.build(rng)
    x = edge_cases(4)
    before = x.copy()
    network.predict(x)
    np.testing.assert_array_equal(x, before)
