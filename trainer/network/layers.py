"""Layers: each with its formula, its gradient and its ONNX twin, one below the other.

A layer owns no parameter: it says what shapes it needs, and the network hands it views of its flat
vectors. Buffers are made once for the largest batch, so a training step makes no array of a
batch's size.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainer.graph import Graph
from trainer.network import activations, initializers
from trainer.network.activations import ActivationFunction
from trainer.network.arguments import fraction, positive, whole
from trainer.network.initializers import SUITED, Initializer

Array = NDArray[Any]

CHANCES = 2**16
"""Dropout draws a whole number below this for each unit: 64 random bits serve four units, which
takes a third of the time that fractions take.
"""


class Layer:
    """One step of a network: (rows, inputs) to (rows, units).

    Args:
        input_shape: (inputs,), which the first layer of a network has to say.

    Attributes:
        name: its kind and number in the network, as ``dense_1``; empty before `build`.
        inputs: how many inputs there are; known once it is built.
        units: how many outputs there are; known once it is built.
        parameters: views of the network's parameters, by name.
        gradients: views of the network's gradients, by the same names.
        statistics: views of what is learnt without gradients, by name.

    Raises:
        ValueError: for an ``input_shape`` that is not one whole number of at least 1.
    """

    decayed: ClassVar[tuple[str, ...]] = ()
    """The parameters that weight decay is for."""

    def __init__(self, input_shape: tuple[int] | None = None) -> None:
        if input_shape is not None:
            if np.shape(input_shape) != (1,):
                raise ValueError(f"input_shape is {input_shape!r}, expected (inputs,)")
            whole("input_shape", input_shape[0], 1)
        self.input_shape = input_shape
        self.name = ""
        self.inputs = self.units = 0
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.statistics: dict[str, Array] = {}

    @property
    def kind(self) -> str:
        """What it is, with the setting that tells it from its like."""
        return type(self).__name__

    def build(self, inputs: int, name: str) -> None:
        """Learn the number of inputs and the own name; ``units`` is known from here on.

        Raises:
            ValueError: if it is part of a network already, whose views it would lose.
        """
        if self.name:
            raise ValueError(f"layer {self.name} is part of a network already, expected a new one")
        self.name, self.inputs = name, inputs
        self.units = self.units or inputs

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
        """Outputs (rows, units) for inputs (rows, inputs), which stay as they are.

        What is returned is a buffer's view, good until the next `forward`, or ``x`` itself.
        """
        raise NotImplementedError

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Write the parameters' gradients and return dL/dx, given dL/da, (rows, units).

        It belongs to the latest `forward` in training; ``gradient`` may be overwritten. Where
        ``needs_input`` is false nobody looks at what is returned, and the work is saved.
        """
        raise NotImplementedError

    def emit(self, graph: Graph, x: str) -> str:
        """`forward` outside training as nodes, from float32 (N, inputs) to (N, units)."""
        raise NotImplementedError


class ActivatedLayer(Layer):
    """A layer that ends in an activation: a = f(z).

    Its gradient comes in two steps, so that a loss which knows dL/dz by itself can leave out the
    first.

    Args:
        activation: f, by name or as an object; linear where None.
        input_shape: (inputs,), for the first layer.
    """

    def __init__(
        self, activation: str | ActivationFunction | None, input_shape: tuple[int] | None
    ) -> None:
        super().__init__(input_shape)
        self.activation = activations.named(activation)

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"{super().kind}, {self.activation.name}"

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._a = np.empty((rows, self.units), dtype)
        # First z, then, as derivatives are written in terms of a, dL/dz.
        self._z = np.empty((rows, self.units), dtype)

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """The activation's derivative, then `backward_from_logits`."""
        rows = len(gradient)
        self.activation.backward(self._a[:rows], gradient, self._z[:rows])
        return self.backward_from_logits(self._z[:rows], needs_input)

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """`backward` given dL/dz, (rows, units)."""
        raise NotImplementedError


class Dense(ActivatedLayer):
    """a = f(x W + b), with kernel W (inputs, units) and bias b (units,).

    Args:
        units: how many outputs.
        activation: f, by name or as an object; linear where None.
        kernel_initializer: by name or as a function; one that suits f where None.
        bias_initializer: by name or as a function.
        use_bias: whether there is a b.
        input_shape: (inputs,), for the first layer.

    Raises:
        TypeError: for units that are no whole number.
        ValueError: for fewer units than 1, or a name that is none.
    """

    decayed = ("kernel",)

    def __init__(
        self,
        units: int,
        activation: str | ActivationFunction | None = None,
        *,
        kernel_initializer: str | Initializer | None = None,
        bias_initializer: str | Initializer = "zeros",
        use_bias: bool = True,
        input_shape: tuple[int] | None = None,
    ) -> None:
        super().__init__(activation, input_shape)
        self.units = whole("units", units, 1)
        suited = SUITED.get(self.activation.name, "glorot_uniform")
        self.kernel_initializer = initializers.named(
            "kernel_initializer", suited if kernel_initializer is None else kernel_initializer
        )
        self.bias_initializer = initializers.named("bias_initializer", bias_initializer)
        self.use_bias = use_bias

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        kernel: dict[str, tuple[int, ...]] = {"kernel": (self.inputs, self.units)}
        return kernel | ({"bias": (self.units,)} if self.use_bias else {})

    def initialize(self, rng: np.random.Generator) -> None:
        """See the base class."""
        kernel = self.parameters["kernel"]
        kernel[...] = self.kernel_initializer(kernel.shape, rng)
        if self.use_bias:
            bias = self.parameters["bias"]
            bias[...] = self.bias_initializer(bias.shape, rng)

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        super().allocate(rows, dtype)
        self._dx = np.empty((rows, self.inputs), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        z, a = self._z[: len(x)], self._a[: len(x)]
        np.matmul(x, self.parameters["kernel"], out=z)
        if self.use_bias:
            z += self.parameters["bias"]
        self.activation.forward(z, a)
        if training:
            self._x = x
        return a

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dW = x^T dz, db = sum over rows of dz, dx = dz W^T."""
        np.matmul(self._x.T, gradient, out=self.gradients["kernel"])
        if self.use_bias:
            # A product with ones is a sum over the rows, several times faster than `np.sum`.
            np.matmul(self._ones[: len(gradient)], gradient, out=self.gradients["bias"])
        if not needs_input:
            return gradient
        return np.matmul(gradient, self.parameters["kernel"].T, out=self._dx[: len(gradient)])

    def emit(self, graph: Graph, x: str) -> str:
        """One Gemm (which takes no bias as well), then f."""
        constants = [
            graph.constant(values.astype(np.float32), name)
            for name, values in self.parameters.items()
        ]
        return self.activation.emit(graph, graph.add("Gemm", x, *constants))


class Activation(ActivatedLayer):
    """a = f(x).

    Args:
        activation: f, by name or as an object.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: for a name that is none.
    """

    def __init__(
        self, activation: str | ActivationFunction, *, input_shape: tuple[int] | None = None
    ) -> None:
        super().__init__(activation, input_shape)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        del training
        z, a = self._z[: len(x)], self._a[: len(x)]
        np.copyto(z, x)  # f may overwrite its z, and x is another layer's
        self.activation.forward(z, a)
        return a

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """Nothing is left to do: x is z."""
        del needs_input
        return gradient

    def emit(self, graph: Graph, x: str) -> str:
        """The nodes of f."""
        return self.activation.emit(graph, x)


class Dropout(Layer):
    """In training each input is 0 with probability ``rate``, else x / (1 - rate).

    So its expectation stays the same, and outside training x is passed on as it is
    (Srivastava et al. 2014).

    Args:
        rate: from 0 to less than 1.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: for another rate.
    """

    def __init__(self, rate: float, *, input_shape: tuple[int] | None = None) -> None:
        super().__init__(input_shape)
        self.rate = fraction("rate", rate)
        self._dropped = min(round(rate * CHANCES), CHANCES - 1)
        self._rng = np.random.default_rng(0)

    @property
    def kind(self) -> str:
        """See the base class."""
        return f"{super().kind}, {self.rate:g}"

    def initialize(self, rng: np.random.Generator) -> None:
        """Take a generator of its own from the network's; before, it is that of seed 0."""
        self._rng = rng.spawn(1)[0]

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._a = np.empty((rows, self.units), dtype)
        self._kept = np.empty((rows, self.units), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        if not training:
            return x
        kept = self._kept[: len(x)]
        words = self._rng.integers(
            2**64 - 1, size=-(-kept.size // 4), dtype=np.uint64, endpoint=True
        )
        chances = words.view(np.uint16)[: kept.size].reshape(kept.shape)
        np.greater_equal(chances, self._dropped, out=kept)
        kept *= CHANCES / (CHANCES - self._dropped)
        return np.multiply(x, kept, out=self._a[: len(x)])

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dx = da / (1 - rate) where x was kept, else 0."""
        del needs_input
        gradient *= self._kept[: len(gradient)]
        return gradient

    def emit(self, graph: Graph, x: str) -> str:
        """Nothing is added."""
        del graph
        return x


class BatchNormalization(Layer):
    """y = scale n + shift, n = (x - mean) / sqrt(variance + epsilon) (Ioffe, Szegedy 2015).

    In training mean and variance (of the rows, divided by their number) are the batch's; outside
    they are moving averages of these, which makes it one multiplication and one addition.

    Args:
        momentum: what a step keeps of the moving averages. At 0.9, unlike Keras's 0.99, they are
            free of their first values within one epoch of some fifty steps.
        epsilon: keeps a constant column from dividing by zero.
        input_shape: (inputs,), for the first layer.

    Raises:
        ValueError: for a momentum outside of 0 to 1, or an epsilon not above 0.
    """

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        *,
        input_shape: tuple[int] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.momentum = fraction("momentum", momentum)
        self.epsilon = positive("epsilon", epsilon)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"scale": (self.units,), "shift": (self.units,)}

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """See the base class."""
        return {"mean": (self.units,), "variance": (self.units,)}

    def initialize(self, rng: np.random.Generator) -> None:
        """The identity: nothing is left to chance."""
        del rng
        self.parameters["scale"].fill(1)
        self.parameters["shift"].fill(0)
        self.statistics["mean"].fill(0)
        self.statistics["variance"].fill(1)

    def allocate(self, rows: int, dtype: Any) -> None:
        """See the base class."""
        self._y = np.empty((rows, self.units), dtype)
        self._normal = np.empty((rows, self.units), dtype)
        self._ones = np.ones(rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """See the base class."""
        y, normal = self._y[: len(x)], self._normal[: len(x)]
        if not training:
            factor, offset = self._folded()
            np.multiply(x, factor, out=y)
            y += offset
            return y
        ones = self._ones[: len(x)]  # its products are sums over the rows, as in `Dense`
        mean = ones @ x / len(x)
        np.subtract(x, mean, out=normal)
        variance = ones @ np.square(normal, out=y) / len(x)
        self._move("mean", mean)
        self._move("variance", variance)
        self._spread = np.sqrt(variance + self.epsilon)
        normal /= self._spread
        np.multiply(normal, self.parameters["scale"], out=y)
        y += self.parameters["shift"]
        return y

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """In formulas: dshift = sum dy and dscale = sum dy n, both over rows.

        And dx = scale / sqrt(variance + epsilon) (dy - dshift / rows - n dscale / rows).
        """
        rows = len(gradient)
        ones, product, normal = self._ones[:rows], self._y[:rows], self._normal[:rows]
        np.multiply(gradient, normal, out=product)
        np.matmul(ones, product, out=self.gradients["scale"])
        np.matmul(ones, gradient, out=self.gradients["shift"])
        if not needs_input:
            return gradient
        gradient -= self.gradients["shift"] / rows
        normal *= self.gradients["scale"] / rows
        gradient -= normal
        gradient *= self.parameters["scale"] / self._spread
        return gradient

    def emit(self, graph: Graph, x: str) -> str:
        """Two nodes: the moving averages are folded into a factor and an offset."""
        factor, offset = (values.astype(np.float32) for values in self._folded())
        scaled = graph.add("Mul", x, graph.constant(factor, "factor"))
        return graph.add("Add", scaled, graph.constant(offset, "offset"))

    def _folded(self) -> tuple[Array, Array]:
        factor = self.parameters["scale"] / np.sqrt(self.statistics["variance"] + self.epsilon)
        return factor, self.parameters["shift"] - self.statistics["mean"] * factor

    def _move(self, name: str, batch: Array) -> None:
        moving = self.statistics[name]
        moving *= self.momentum
        moving += (1 - self.momentum) * batch
