"""Activations: for each, the formula, its derivative and the same formula as ONNX nodes.

Every derivative is a function of the activation's output ``a``, so that a layer can reuse the memory
of ``z`` after the forward pass. No function allocates a large array.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from .arguments import look_up

Array = NDArray[Any]

FEW_UNITS = 32
"""Up to so many units, the maximum of each row is faster to find in a transposed copy."""


class ActivationFunction:
    """A function a = f(z), elementwise or by row. It has no state, so layers may share it."""

    name: ClassVar[str]

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``.

        Args:
            z: (rows, units); may be overwritten.
            out: (rows, units); must not be ``z``.
        """
        raise NotImplementedError

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Write dL/dz to ``out``.

        Args:
            a: f(z), (rows, units); may be overwritten.
            gradient: dL/da, (rows, units).
            out: (rows, units); must not be ``a`` or ``gradient``.
        """
        raise NotImplementedError

    def emit(self, graph: Graph, z: str) -> str:
        """Add f(z) as nodes and return the result's name; float32 (..., units) in and out."""
        raise NotImplementedError


class Linear(ActivationFunction):
    """f(z) = z."""

    name = "linear"

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.copyto(out, z)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Write dL/dz = dL/da."""
        del a
        np.copyto(out, gradient)

    def emit(self, graph: Graph, z: str) -> str:
        """Return z, because no node is needed."""
        del graph
        return z


class Relu(ActivationFunction):
    """f(z) = max(z, 0)."""

    name = "relu"

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.maximum(z, 0, out=out)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Use f'(z) = 1 where a > 0, else 0, also at z = 0."""
        np.greater(a, 0, out=out)
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """Add one node."""
        return graph.add("Relu", z)


class Sigmoid(ActivationFunction):
    """f(z) = 1 / (1 + exp(-z)), computed as (1 + tanh(z / 2)) / 2, which does not overflow."""

    name = "sigmoid"

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.multiply(z, 0.5, out=out)
        np.tanh(out, out=out)
        out += 1
        out *= 0.5

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Use f'(z) = a (1 - a)."""
        np.subtract(1, a, out=out)
        out *= a
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """Add one node."""
        return graph.add("Sigmoid", z)


class Tanh(ActivationFunction):
    """f(z) = tanh(z)."""

    name = "tanh"

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.tanh(z, out=out)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Use f'(z) = 1 - a^2."""
        np.multiply(a, a, out=out)
        np.subtract(1, out, out=out)
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """Add one node."""
        return graph.add("Tanh", z)


class Softmax(ActivationFunction):
    """f(z)_k = exp(z_k) / sum_j exp(z_j) in each row.

    The row's largest z is subtracted first. That leaves the result as it is and keeps exp finite.
    """

    name = "softmax"

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.subtract(z, _row_maxima(z)[:, None], out=out)
        np.exp(out, out=out)
        # A product with ones sums the rows several times faster than `np.sum`.
        out /= (out @ np.ones(out.shape[1], out.dtype))[:, None]

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Write dL/dz_k = a_k (dL/da_k - sum_j a_j dL/da_j)."""
        np.multiply(gradient, a, out=out)
        np.subtract(gradient, out.sum(axis=1, keepdims=True), out=out)
        out *= a

    def emit(self, graph: Graph, z: str) -> str:
        """Add one node."""
        return graph.add("Softmax", z, axis=-1)


class Selu(ActivationFunction):
    """f(z) = gamma z where z > 0, else gamma alpha (exp(z) - 1).

    With weights from ``lecun_normal``, a layer's outputs tend to mean 0 and variance 1 (Klambauer et
    al. 2017, arXiv:1706.02515, which also gives the two constants).
    """

    name = "selu"
    alpha = 1.6732632423543772848170429916717
    gamma = 1.0507009873554804934193349852946

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.minimum(z, 0, out=out)  # exp of a large z would overflow
        np.expm1(out, out=out)
        out *= self.gamma * self.alpha
        np.maximum(z, 0, out=z)
        z *= self.gamma
        out += z

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Use f'(z) = gamma where a > 0, else a + gamma alpha.

        Computed as min(a, 0) + gamma alpha + [a > 0] (gamma - gamma alpha), because `np.where`
        takes four times as long.
        """
        np.greater(a, 0, out=out)
        out *= self.gamma - self.gamma * self.alpha
        out += self.gamma * self.alpha
        out += np.minimum(a, 0, out=a)
        out *= gradient

    def emit(self, graph: Graph, z: str) -> str:
        """Add one node."""
        return graph.add("Selu", z, alpha=self.alpha, gamma=self.gamma)


class Threshold(ActivationFunction):
    """f(z) = 1 where z > 0, else 0: Rosenblatt's perceptron.

    Its derivative is zero, so a layer with this activation does not learn, and neither do the layers
    before it. `StraightThroughThreshold` is the same function with a useful gradient.
    """

    name = "threshold"

    def forward(self, z: Array, out: Array) -> None:
        """Write f(z) to ``out``."""
        np.greater(z, 0, out=out)

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Use f'(z) = 0."""
        del a, gradient
        out.fill(0)

    def emit(self, graph: Graph, z: str) -> str:
        """Add a comparison, and a choice of 1 or 0."""
        zero, one = (graph.constant(np.array(v, np.float32), "step") for v in (0, 1))
        return graph.add("Where", graph.add("Greater", z, zero), one, zero)


class StraightThroughThreshold(Threshold):
    """The same function, with the gradient of a linear activation.

    The straight-through estimator (Bengio, Leonard, Courville 2013, arXiv:1308.3432). It is not the
    derivative, but its sign is right often enough to learn.
    """

    name = "straight_through_threshold"

    def backward(self, a: Array, gradient: Array, out: Array) -> None:
        """Use f'(z) = 1."""
        del a
        np.copyto(out, gradient)


ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    kind.name: kind
    for kind in (Linear, Relu, Sigmoid, Tanh, Softmax, Selu, Threshold, StraightThroughThreshold)
}
"""The activations by name."""


def _row_maxima(z: Array) -> Array:
    """Return the maximum of each row, (rows,)."""
    maxima: Array = z.T.copy().max(axis=0) if z.shape[1] <= FEW_UNITS else z.max(axis=1)
    return maxima


def get(activation: str | ActivationFunction | None) -> ActivationFunction:
    """Return the activation of a name, linear for None; an activation is returned as it is.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(activation, ActivationFunction):
        return activation
    return look_up("activation", activation or Linear.name, ACTIVATIONS)()
