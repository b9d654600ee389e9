"""Dense: a fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Graph
from .. import initializers
from ..activations import ActivationFunction
from ..arguments import whole
from ..initializers import DEFAULT_KERNELS, Initializer
from .layer import ActivatedLayer, Array


class Dense(ActivatedLayer):
    """a = f(x W + b), with kernel W (inputs, units) and bias b (units,).

    Args:
        units: number of outputs.
        activation: f, a name or an object; linear where None.
        kernel_initializer: a name or a function; the default for f where None.
        bias_initializer: a name or a function.
        use_bias: whether the layer has a bias.
        neural_tangent: the neural tangent parametrization, W = V / sqrt(inputs) with parameter V
            (Jacot et al. 2018, arXiv:1806.07572). The first values of W have variance 1 / inputs,
            and its learning rate is divided by sqrt(inputs), which is equivalent under Adam.
        input_shape: (inputs,), for the first layer.
        rates: see `Layer`.

    Raises:
        TypeError: units is not an integer.
        ValueError: units is below 1, or a name is unknown.
    """

    decay_mask = ("kernel",)

    def __init__(
        self,
        units: int,
        activation: str | ActivationFunction | None = None,
        *,
        kernel_initializer: str | Initializer | None = None,
        bias_initializer: str | Initializer = "zeros",
        use_bias: bool = True,
        neural_tangent: bool = False,
        input_shape: tuple[int] | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(activation, input_shape, rates)
        self.units = whole("units", units, 1)
        self.neural_tangent = neural_tangent
        default = DEFAULT_KERNELS.get(self.activation.name, "glorot_uniform")
        if neural_tangent:
            default = "lecun_normal"
        self.kernel_initializer = initializers.get(
            "kernel_initializer", default if kernel_initializer is None else kernel_initializer
        )
        self.bias_initializer = initializers.get("bias_initializer", bias_initializer)
        self.use_bias = use_bias

    def build(self, inputs: int, name: str) -> None:
        """Set the number of inputs, and the kernel's rate for the neural tangent."""
        super().build(inputs, name)
        if self.neural_tangent:
            self.rates["kernel"] = self.rates.get("kernel", 1) / math.sqrt(inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of kernel and bias."""
        kernel: dict[str, tuple[int, ...]] = {"kernel": (self.inputs, self.units)}
        return kernel | ({"bias": (self.units,)} if self.use_bias else {})

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw kernel and bias by their initializers."""
        kernel = self.parameters["kernel"]
        kernel[...] = self.kernel_initializer(kernel.shape, rng)
        if self.use_bias:
            bias = self.parameters["bias"]
            bias[...] = self.bias_initializer(bias.shape, rng)

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate the buffers of z, a and dx."""
        super().allocate(rows, dtype)
        self._dx = np.empty((rows, self.inputs), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return f(x W + b)."""
        z, a = self._z[: len(x)], self._a[: len(x)]
        np.matmul(x, self.parameters["kernel"], out=z)
        if self.use_bias:
            z += self.parameters["bias"]
        self.activation.forward(z, a)
        if training:
            self._x = x
        return a

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """Compute dW = x^T dz, db = sum over rows of dz, dx = dz W^T."""
        np.matmul(self._x.T, gradient, out=self.gradients["kernel"])
        if self.use_bias:
            # A product with ones sums the rows several times faster than `np.sum`.
            np.matmul(self._ones[: len(gradient)], gradient, out=self.gradients["bias"])
        if not needs_input:
            return gradient
        return np.matmul(gradient, self.parameters["kernel"].T, out=self._dx[: len(gradient)])

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Add a Gemm with kernel and bias, then f."""
        kernel = graph.constant(values["kernel"], "kernel")
        bias = [graph.constant(values["bias"], "bias")] if self.use_bias else []
        return self.activation.emit(graph, graph.add("Gemm", x, kernel, *bias))
