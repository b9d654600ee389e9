"""Central differences, and a network run by onnxruntime: the two other roads to the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from trainer.graph import Graph
from trainer.network.layers import Layer
from trainer.network.losses import Loss
from trainer.network.sequential import Sequential


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def slopes():
    """(f, at, width) -> df/dat by central differences; ``at`` is changed in place and put back."""
    return central_differences


def central_differences(f: Callable[[], float], at: np.ndarray, width: float = 1e-6) -> np.ndarray:
    slope = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        middle = at[index]
        at[index] = middle + width
        above = f()
        at[index] = middle - width
        slope[index] = (above - f()) / (2 * width)
        at[index] = middle
    return slope


@pytest.fixture
def gradients_agree():
    """Asserts that backward and central differences agree, for parameters and for inputs."""

    def check(layers: list[Layer], loss: str | Loss, rows: int = 5, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        network = Sequential(layers, dtype=np.float64)
        network.compile(loss=loss)
        network.build(rng)
        network.parameters += 0.1 * rng.normal(size=network.parameters.shape)
        x = rng.normal(size=(rows, network.inputs))
        y = rng.integers(0, network.units, rows)

        def value() -> float:
            return network.loss.value(network._forward(x, training=True), y)

        outputs = network._forward(x, training=True)
        network._backward(outputs, y)
        expected = central_differences(value, network.parameters)
        np.testing.assert_allclose(network.gradients, expected, rtol=1e-5, atol=1e-8)

        outputs = network._forward(x, training=True)
        gradient = np.empty_like(outputs)
        network.loss.gradient(outputs, y, gradient)
        for layer in reversed(network.layers):
            gradient = layer.backward(gradient, needs_input=True)
        computed = gradient.copy()
        expected = central_differences(value, x)
        np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-8)

    return check


@pytest.fixture
def by_onnxruntime():
    """(network, x) -> what the network's graph answers in onnxruntime."""

    def run(network: Sequential, x: np.ndarray) -> np.ndarray:
        graph = Graph("network")
        result = network.emit(graph, graph.input("x", "float", network.inputs))
        graph.output(result, "y", "float", network.units)
        session = onnxruntime.InferenceSession(graph.model({}, "test").SerializeToString())
        return session.run(None, {"x": x.astype(np.float32)})[0]

    return run
