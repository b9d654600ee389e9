"""Activations: each a formula, its derivative and its ONNX twin, one below the other.

Every derivative is written in terms of the activation's own output ``a``, so that a layer keeps one
array and not two.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainer.graph import Graph

Array = NDArray[Any]


class ActivationFunction:
    """a = f(z), elementwise or by row; subclasses are without state."""

    name: ClassVar[str]

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``, both (rows, units); ``out`` may be ``z`` itself."""
        raise NotImplementedError

    def backward(self, a: Array, gradient: Array) -> None:
        """Turn dL/da into dL/dz in place, both (rows, units), given a = f(z)."""
        raise NotImplementedError

    def emit(self, graph: Graph, z: str) -> str:
        """f(z) as nodes."""
        raise NotImplementedError


class Linear(ActivationFunction):
    """f(z) = z."""

    name = "linear"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        if out is not z:
            out[...] = z

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is 1."""

    def emit(self, graph: Graph, z: str) -> str:
        """Nothing is added."""
        del graph
        return z


class Relu(ActivationFunction):
    """f(z) = max(z, 0)."""

    name = "relu"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.maximum(z, 0, out=out)

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is 1 where a > 0, else 0; at z = 0 it is taken as 0."""
        np.multiply(gradient, a > 0, out=gradient)

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Relu", z)


class Sigmoid(ActivationFunction):
    """f(z) = 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, which can't overflow."""

    name = "sigmoid"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.multiply(z, 0.5, out=out)
        np.tanh(out, out=out)
        out += 1
        out *= 0.5

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is a (1 - a)."""
        gradient *= a * (1 - a)

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Sigmoid", z)


class Tanh(ActivationFunction):
    """f(z) = tanh(z)."""

    name = "tanh"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.tanh(z, out=out)

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is 1 - a^2."""
        gradient *= 1 - a * a

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Tanh", z)


class Softmax(ActivationFunction):
    """f(z)_k = exp(z_k) / sum_j exp(z_j) in each row; the row's largest z is taken off first."""

    name = "softmax"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.subtract(z, z.max(axis=1, keepdims=True), out=out)
        np.exp(out, out=out)
        out /= out.sum(axis=1, keepdims=True)

    def backward(self, a: Array, gradient: Array) -> None:
        """dL/dz_k = a_k (dL/da_k - sum_j a_j dL/da_j)."""
        gradient -= (gradient * a).sum(axis=1, keepdims=True)
        gradient *= a

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Softmax", z, axis=1)


class Selu(ActivationFunction):
    """f(z) = g z where z > 0, else g alpha (exp(z) - 1) (Klambauer et al. 2017, arXiv:1706.02515)."""

    name = "selu"
    alpha = 1.6732632423543772
    gamma = 1.0507009873554805

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        below = np.minimum(z, 0)  # exp of a large positive z would overflow
        np.expm1(below, out=below)
        below *= self.alpha * self.gamma
        np.maximum(z, 0, out=out)
        out *= self.gamma
        out += below

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is g where a > 0, else a + g alpha."""
        gradient *= np.where(a > 0, self.gamma, a + self.alpha * self.gamma).astype(a.dtype)

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Selu", z, alpha=self.alpha, gamma=self.gamma)


class Threshold(ActivationFunction):
    """f(z) = 1 where z > 0, else 0: Rosenblatt's perceptron.

    Its derivative is zero wherever there is one, so nothing below it learns: a network of
    thresholds trains only its last layer. `StraightThroughThreshold` trains them all.
    """

    name = "threshold"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.greater(z, 0, out=out, casting="unsafe")

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is 0."""
        del a
        gradient[...] = 0

    def emit(self, graph: Graph, z: str) -> str:
        """A comparison, as numbers."""
        zero, one = (graph.constant(np.float32(v), "step") for v in (0, 1))
        return graph.add("Where", graph.add("Greater", z, zero), one, zero)


class StraightThroughThreshold(Threshold):
    """The same step, whose gradient is passed on as if it were linear.

    The straight-through estimate (Bengio, Leonard, Courville 2013, arXiv:1308.3432): wrong as a
    derivative, of the right sign often enough to learn by.
    """

    name = "straight_through_threshold"

    def backward(self, a: Array, gradient: Array) -> None:
        """The derivative is taken as 1."""


ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    kind.name: kind
    for kind in (Linear, Relu, Sigmoid, Tanh, Softmax, Selu, Threshold, StraightThroughThreshold)
}
"""Each activation under its name."""


def named(name: str) -> ActivationFunction:
    """The activation of that name.

    Raises:
        ValueError: for a name that is none.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
