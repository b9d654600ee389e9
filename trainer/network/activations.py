"""Activations: each a formula, its derivative and its ONNX twin, one below the other.

Every derivative is written in terms of the activation's own output ``a``, so that a layer's ``z``
is free again after the forward pass. Nothing here makes a large array.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from .arguments import chosen

Array = NDArray[Any]

FEW_UNITS = 32
"""In rows of at most so many units the largest is found sooner in a transposed copy."""


class ActivationFunction:
    """a = f(z), elementwise or by row; without state, so that layers may share one."""

    name: ClassVar[str]

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``.

        Args:
            z: (rows, units); may be overwritten.
            out: (rows, units); another array than ``z``.
        """
        raise NotImplementedError

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Write dL/dz to ``out``.

        Args:
            a: f(z), (rows, units); may be overwritten.
            gradient: dL/da, (rows, units).
            out: (rows, units); another array than both.
        """
        raise NotImplementedError

    def emit(self, graph: Graph, z: str) -> str:
        """f(z) as nodes; float32 (..., units) in and out."""
        raise NotImplementedError


class Linear(ActivationFunction):
    """f(z) = z."""

    name = "linear"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.copyto(out, z)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """dL/dz = dL/da."""
        del a
        np.copyto(out, gradient)

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

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """f'(z) = 1 where a > 0, else 0; at z = 0, where there is none, 0."""
        np.greater(a, 0, out=out)
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Relu", z)


class Sigmoid(ActivationFunction):
    """f(z) = 1 / (1 + exp(-z)), computed as (1 + tanh(z / 2)) / 2, which can't overflow."""

    name = "sigmoid"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.multiply(z, 0.5, out=out)
        np.tanh(out, out=out)
        out += 1
        out *= 0.5

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """f'(z) = a (1 - a)."""
        np.subtract(1, a, out=out)
        out *= a
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Sigmoid", z)


class Tanh(ActivationFunction):
    """f(z) = tanh(z)."""

    name = "tanh"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.tanh(z, out=out)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """f'(z) = 1 - a^2."""
        np.multiply(a, a, out=out)
        np.subtract(1, out, out=out)
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Tanh", z)


class Softmax(ActivationFunction):
    """f(z)_k = exp(z_k) / sum_j exp(z_j) in each row.

    The row's largest z is subtracted first, which changes nothing but that exp can't overflow.
    """

    name = "softmax"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.subtract(z, _largest_of_rows(z)[:, None], out=out)
        np.exp(out, out=out)
        # A product with ones is a sum of each row, several times faster than `np.sum`.
        out /= (out @ np.ones(out.shape[1], out.dtype))[:, None]

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """dL/dz_k = a_k (dL/da_k - sum_j a_j dL/da_j)."""
        np.multiply(gradient, a, out=out)
        np.subtract(gradient, out.sum(axis=1, keepdims=True), out=out)
        out *= a

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Softmax", z, axis=-1)


class Selu(ActivationFunction):
    """f(z) = gamma z where z > 0, else gamma alpha (exp(z) - 1).

    With weights from ``lecun_normal`` it draws a layer's outputs to mean 0 and variance 1
    (Klambauer et al. 2017, arXiv:1706.02515, which also gives the two constants).
    """

    name = "selu"
    alpha = 1.6732632423543772848170429916717
    gamma = 1.0507009873554804934193349852946

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.minimum(z, 0, out=out)  # exp of a large positive z would overflow
        np.expm1(out, out=out)
        out *= self.gamma * self.alpha
        np.maximum(z, 0, out=z)
        z *= self.gamma
        out += z

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """f'(z) = gamma where a > 0, else a + gamma alpha.

        As min(a, 0) + gamma alpha + [a > 0] (gamma - gamma alpha), for a choice by a mask takes
        four times as long.
        """
        np.greater(a, 0, out=out)
        out *= self.gamma - self.gamma * self.alpha
        out += self.gamma * self.alpha
        out += np.minimum(a, 0, out=a)
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """One node."""
        return graph.add("Selu", z, alpha=self.alpha, gamma=self.gamma)


class Threshold(ActivationFunction):
    """f(z) = 1 where z > 0, else 0: Rosenblatt's perceptron.

    Its derivative is zero wherever there is one, so nothing at or below it learns: of a network
    with hidden thresholds only the layers above them do. `StraightThroughThreshold` is the same
    function with a gradient to learn by.
    """

    name = "threshold"

    def forward(self, z: Array, out: Array) -> None:
        """See the base class."""
        np.greater(z, 0, out=out)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """f'(z) = 0."""
        del a, gradient
        out.fill(0)

    def emit(self, graph: Graph, z: str) -> str:
        """A comparison, and its truth as a number."""
        zero, one = (graph.constant(np.array(v, np.float32), "step") for v in (0, 1))
        return graph.add("Where", graph.add("Greater", z, zero), one, zero)


class StraightThroughThreshold(Threshold):
    """The same step, with its gradient passed on as if it were linear.

    The straight-through estimate (Bengio, Leonard, Courville 2013, arXiv:1308.3432): wrong as a
    derivative, of the right sign often enough to learn by.
    """

    name = "straight_through_threshold"

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """f'(z) is taken as 1."""
        del a
        np.copyto(out, gradient)


ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    kind.name: kind
    for kind in (Linear, Relu, Sigmoid, Tanh, Softmax, Selu, Threshold, StraightThroughThreshold)
}
"""Each activation under its name."""


def _largest_of_rows(z: Array) -> Array:
    """The largest of each row, (rows,)."""
    largest: Array = z.T.copy().max(axis=0) if z.shape[1] <= FEW_UNITS else z.max(axis=1)
    return largest


def named(given: str | ActivationFunction | None) -> ActivationFunction:
    """The activation of a name; linear for None; one of your own as it is.

    Raises:
        ValueError: for a name that is none.
    """
    if isinstance(given, ActivationFunction):
        return given
    return chosen("activation", given or Linear.name, ACTIVATIONS)()
