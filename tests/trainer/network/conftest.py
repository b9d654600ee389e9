"""Two independent checks of a network: central differences, and its graph in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from pigeonhole.trainer.graph import Graph
from pigeonhole.trainer.network.ensemble import Ensemble
from pigeonhole.trainer.network.layers import Layer
from pigeonhole.trainer.network.losses import Loss
from pigeonhole.trainer.network.sequential import Sequential


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def slopes():
    """Computes df/dat by central differences; ``at`` is changed in place and restored."""
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
    """Asserts that backward and central differences agree, for parameters and inputs.

    ``levels`` are the numbers of levels of the last inputs, indices without a derivative.
    """

    def check(
        layers: list[Layer],
        loss: str | Loss = "categorical_crossentropy",
        rows: int = 5,
        seed: int = 3,
        levels: tuple[int, ...] = (),
    ) -> None:
        rng = np.random.default_rng(seed)
        network = Sequential(layers, dtype=np.float64)
        network.compile(loss=loss)
        network.build(rng)
        network.parameters += 0.1 * rng.normal(size=network.parameters.shape)
        x = with_indices(rng.normal(size=(rows, network.inputs)), levels, rng)
        y = rng.integers(0, network.units, rows)

        def value() -> float:
            return network.loss.value(network._forward(x, training=True), y)

        outputs = network._forward(x, training=True)
        network.gradients.fill(np.nan)  # backward must write every gradient
        network._backward(outputs, y)
        expected = central_differences(value, network.parameters)
        np.testing.assert_allclose(network.gradients, expected, rtol=1e-5, atol=1e-8)

        outputs = network._forward(x, training=True)
        gradient = np.empty_like(outputs)
        network.loss.gradient(outputs, y, gradient)
        for layer in reversed(network.layers):
            gradient = layer.backward(gradient, needs_input=True)
        continuous = slice(network.inputs - len(levels))
        computed = gradient[:, continuous].copy()
        expected = central_differences(value, x[:, continuous])
        np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-8)

    return check


def with_indices(x: np.ndarray, levels: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return ``x`` with random indices of these levels in its last columns."""
    if levels:
        x[:, -len(levels) :] = rng.integers(0, levels, (len(x), len(levels)))
    return x


@pytest.fixture
def edge_cases():
    """Makes rows of zeros and of tiny, huge and intermediate numbers of both signs."""

    def make(columns: int, largest: float = 1e4) -> np.ndarray:
        rng = np.random.default_rng(11)
        rows = [np.zeros((1, columns)), -np.zeros((1, columns)), np.full((1, columns), 1e-30)]
        rows += [np.full((1, columns), sign * largest) for sign in (1, -1)]
        sizes = 10 ** rng.uniform(-3, np.log10(largest), size=(20, 1))
        rows += [np.eye(columns)[:2] * largest, rng.uniform(-1, 1, (20, columns)) * sizes]
        return np.vstack(rows).astype(np.float32)

    return make


@pytest.fixture
def trained():
    """Makes a network that was fitted for two epochs."""

    def make(
        layers: list[Layer], rng: np.random.Generator, levels: tuple[int, ...] = ()
    ) -> Sequential:
        network = Sequential(layers)
        network.compile("adam")
        x = with_indices(rng.normal(size=(64, network.inputs)), levels, rng)
        network.fit(x, rng.integers(0, network.units, 64), epochs=2, batch_size=16, rng=rng)
        return network

    return make


@pytest.fixture
def by_onnxruntime():
    """Runs the graph of an ensemble of networks in onnxruntime."""

    def run(networks: Sequential | list[Sequential], x: np.ndarray) -> np.ndarray:
        ensemble = Ensemble(networks if isinstance(networks, list) else [networks])
        first, graph = ensemble.members[0], Graph("networks")
        output = ensemble.emit(graph, graph.input("x", "float", first.inputs))
        graph.output(output, "y", "float", first.units)
        content = graph.model({}, "test").SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x.astype(np.float32)})[0]

    return run


@pytest.fixture
def onnxruntime_agrees(trained, by_onnxruntime, edge_cases):
    """Asserts that graph and network agree, alone and as ensemble, for many, one and no rows."""

    def check(
        make: Callable[[], list[Layer]],
        levels: tuple[int, ...] = (),
        largest: float = 1e4,
        tolerance: float = 1e-5,
    ) -> None:
        rng = np.random.default_rng(7)
        networks = [trained(make(), rng, levels) for _ in range(3)]
        x = with_indices(edge_cases(networks[0].inputs, largest), levels, rng)
        for members in (networks[:1], networks):
            for rows in (x, x[:1], x[:0]):
                expected = Ensemble(members).predict(rows)
                got = by_onnxruntime(members, rows)
                assert got.shape == (len(rows), networks[0].units)
                np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)

    return check
