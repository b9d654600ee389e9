"""Layers: each with its formula, its gradient and its ONNX twin, one below the other.

A layer owns no parameter: it says what shapes it needs, and the network hands it views of its flat
vectors. Buffers are made once per batch size, so a training step makes no large array.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainer.graph import Graph
from trainer.network import activations, initializers
from trainer.network.activations import ActivationFunction
from trainer.network.initializers import FOR_ACTIVATION

Array = NDArray[Any]


class Layer:
    """One step of a network: (rows, inputs) to (rows, units).

    Attributes:
        units: how many outputs there are; known once it is built.
        parameters: views of the network's parameters, by name.
        gradients: views of the network's gradients, by the same names.
        statistics: views of what is learnt without gradients, by name.
    """

    decayed: ClassVar[tuple[str, ...]] = ()
    """The parameters that weight decay is for."""

    def __init__(self, input_shape: tuple[int] | None = None) -> None:
        self.input_shape = input_shape
        self.units = 0
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.statistics: dict[str, Array] = {}

    @property
    def kind(self) -> str:
        """What it is called in a summary."""
        return type(self).__name__

    def build(self, inputs: int) -> None:
        """Learn how many inputs there are; ``units`` is known from here on."""
        self.units = inputs

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter."""
        return {}

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each statistic."""
        return {}

    def initialize(self, rng: np.random.Generator) -> None:
        """Give parameters and statistics their first values."""

    def allocate(self, rows: int, dtype: Any) -> None:
        """Make buffers for batches of up to ``rows``."""

    def forward(self, x: Array, training: bool) -> Array:
        """Outputs (rows, units) for inputs (rows, inputs); a view of the layer's buffer."""
        raise NotImplementedError

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Write the parameters' gradients and return dL/dx, given dL/da, (rows, units).

        It belongs to the latest `forward` in training; ``gradient`` may be overwritten. Where
        ``needs_input`` is false nobody looks at what is returned, and the work is saved.
        """
        raise NotImplementedError

    def emit(self, graph: Graph, x: str) -> str:
        """`forward` outside training as nodes."""
        raise NotImplementedError


class Dense(Layer):
    """a = f(x W + b), with kernel W (inputs, units) and bias b (units,).

    Args:
        units: how many outputs.
        activation: the name of f.
        kernel_initializer: by name; one that suits the activation where None.
        bias_initializer: by name.
        use_bias: whether there is a b.
        input_shape: (inputs,), for the first layer.
    """

    decayed = ("kernel",)

    def __init__(
        self,
        units: int,
        activation: str = "linear",
        *,
        kernel_initializer: str | None = None,
        bias_initializer: str = "zeros",
        use_bias: bool = True,
        input_shape: tuple[int] | None = None,
    ) -> None:
        super().__init__(input_shape)
        if units < 1:
            raise ValueError(f"units is {units}, expected at least 1")
        self._activation_layer = Activation(activation)
        suits = FOR_ACTIVATION.get(activation, "glorot_uniform")
        self._kernel_initializer = initializers.named(kernel_initializer or suits)
        self._bias_initializer = initializers.named(bias_initializer)
        self.use_bias = use_bias
        self.units = units
        self._inputs = 0

    @property
    def activation(self) -> ActivationFunction:
        """The function f."""
        return self._activation_layer.activation

    @property
    def kind(self) -> str:
        """See the base class."""
        name = self.activation.name
        return "Dense" if name == "linear" else f"Dense, {name}"

    def build(self, inputs: int) -> None:
        """See the base class."""
        self._inputs = inputs

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        kernel: dict[str, tuple[int, ...]] = {"kernel": (self._inputs, self.units)}
        return kernel | ({"bias": (self.units,)} if self.use_bias else {})

    def initialize(self, rng: np.random.Generator) -> None:
        """See the base class."""
        kernel = self.parameters["kernel"]
        kernel[...] = self._kernel_initializer(kernel.shape, rng)
        if self.use_bias:
            bias = self.parameters["bias"]
            bias[...] = self._bias_initializer(bias.shape, rng)

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._a = np.empty((rows, self.units), dtype)
        self._dx = np.empty((rows, self._inputs), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        a = self._a[: len(x)]
        np.matmul(x, self.parameters["kernel"], out=a)
        if self.use_bias:
            a += self.parameters["bias"]
        self.activation.forward(a, a)
        if training:
            self._x, self._output = x, a
        return a

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dW = x^T dz, db = sum over rows of dz, dx = dz W^T."""
        self.activation.backward(self._output, gradient)
        return self.backward_from_logits(gradient, needs_input)

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """`backward` given dL/dz, for a loss that knows the activation's derivative itself."""
        np.matmul(self._x.T, gradient, out=self.gradients["kernel"])
        if self.use_bias:
            np.sum(gradient, axis=0, out=self.gradients["bias"])
        if not needs_input:
            return gradient
        return np.matmul(gradient, self.parameters["kernel"].T, out=self._dx[: len(gradient)])

    def emit(self, graph: Graph, x: str) -> str:
        """See the base class."""
        inputs = [x, graph.constant(self.parameters["kernel"].astype(np.float32), "kernel")]
        if self.use_bias:
            inputs.append(graph.constant(self.parameters["bias"].astype(np.float32), "bias"))
        return self.activation.emit(graph, graph.add("Gemm", *inputs))


class Activation(Layer):
    """a = f(x).

    Args:
        activation: the name of f.
        input_shape: (inputs,), for the first layer.
    """

    def __init__(self, activation: str, *, input_shape: tuple[int] | None = None) -> None:
        super().__init__(input_shape)
        self.activation = activations.named(activation)

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"Activation, {self.activation.name}"

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._a = np.empty((rows, self.units), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        a = self._a[: len(x)]
        self.activation.forward(x, a)
        if training:
            self._output = a
        return a

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """The activation's derivative."""
        self.activation.backward(self._output, gradient)
        return self.backward_from_logits(gradient, needs_input)

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """As in `Dense`: there is nothing left to do."""
        del needs_input
        return gradient

    def emit(self, graph: Graph, x: str) -> str:
        """See the base class."""
        return self.activation.emit(graph, x)


class Dropout(Layer):
    """In training each input is zero with probability ``rate``, else x / (1 - rate).

    So its expectation stays the same, and outside training it is left out
    (Srivastava et al. 2014).

    Args:
        rate: from 0 to less than 1.
        input_shape: (inputs,), for the first layer.
    """

    def __init__(self, rate: float, *, input_shape: tuple[int] | None = None) -> None:
        super().__init__(input_shape)
        if not 0 <= rate < 1:
            raise ValueError(f"rate is {rate}, expected 0 to less than 1")
        self.rate = rate
        self._rng = np.random.default_rng(0)

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"Dropout, {self.rate:g}"

    def initialize(self, rng: np.random.Generator) -> None:
        """Take a generator of its own from the network's."""
        self._rng = rng.spawn(1)[0]

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._a = np.empty((rows, self.units), dtype)
        self._chance = np.empty((rows, self.units), np.float32)
        self._kept = np.empty((rows, self.units), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        if not training:
            return x
        rows = len(x)
        chance, kept = self._chance[:rows], self._kept[:rows]
        self._rng.random(out=chance, dtype=np.float32)
        np.greater_equal(chance, self.rate, out=kept, casting="unsafe")
        kept *= 1 / (1 - self.rate)
        return np.multiply(x, kept, out=self._a[:rows])

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dx = da where kept, scaled alike."""
        del needs_input
        gradient *= self._kept[: len(gradient)]
        return gradient

    def emit(self, graph: Graph, x: str) -> str:
        """Nothing is added."""
        del graph
        return x


class BatchNormalization(Layer):
    """y = scale (x - mean) / sqrt(variance + epsilon) + shift (Ioffe, Szegedy 2015).

    In training mean and variance are the batch's; outside they are moving averages, which make it
    one multiplication and one addition.

    Args:
        momentum: what a step keeps of the moving averages.
        epsilon: keeps a constant column from dividing by zero.
        input_shape: (inputs,), for the first layer.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        input_shape: tuple[int] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.momentum, self.epsilon = momentum, epsilon

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"scale": (self.units,), "shift": (self.units,)}

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"mean": (self.units,), "variance": (self.units,)}

    def initialize(self, rng: np.random.Generator) -> None:
        """See the base class."""
        del rng
        for values, first in (
            (self.parameters["scale"], 1),
            (self.parameters["shift"], 0),
            (self.statistics["mean"], 0),
            (self.statistics["variance"], 1),
        ):
            values[...] = first

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._y = np.empty((rows, self.units), dtype)
        self._normal = np.empty((rows, self.units), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        rows = len(x)
        y, normal = self._y[:rows], self._normal[:rows]
        if not training:
            factor, offset = self._folded()
            np.multiply(x, factor, out=y)
            y += offset
            return y
        mean, variance = x.mean(axis=0), x.var(axis=0)
        for moving, batch in (("mean", mean), ("variance", variance)):
            self.statistics[moving] *= self.momentum
            self.statistics[moving] += (1 - self.momentum) * batch
        self._spread = np.sqrt(variance + self.epsilon)
        np.subtract(x, mean, out=normal)
        normal /= self._spread
        np.multiply(normal, self.parameters["scale"], out=y)
        y += self.parameters["shift"]
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dx = scale / spread (dy - mean dy - n mean(dy n)), n being the normalized inputs."""
        del needs_input
        normal = self._normal[: len(gradient)]
        np.sum(gradient, axis=0, out=self.gradients["shift"])
        np.sum(gradient * normal, axis=0, out=self.gradients["scale"])
        gradient -= self.gradients["shift"] / len(gradient)
        gradient -= normal * (self.gradients["scale"] / len(gradient))
        gradient *= self.parameters["scale"] / self._spread
        return gradient

    def emit(self, graph: Graph, x: str) -> str:
        """Two nodes: the moving averages are folded into a factor and an offset."""
        factor, offset = (values.astype(np.float32) for values in self._folded())
        scaled = graph.add("Mul", x, graph.constant(factor, "scale"))
        return graph.add("Add", scaled, graph.constant(offset, "shift"))

    def _folded(self) -> tuple[Array, Array]:
        factor = self.parameters["scale"] / np.sqrt(self.statistics["variance"] + self.epsilon)
        return factor, self.parameters["shift"] - self.statistics["mean"] * factor
