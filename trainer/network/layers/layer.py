"""What every layer is: a formula, its gradient and its ONNX twin, one below the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...graph import Graph
from .. import activations
from ..activations import ActivationFunction
from ..arguments import positive, whole

Array = NDArray[Any]


class Layer:
    """One step of a network: (rows, inputs) to (rows, units).

    Args:
        input_shape: (inputs,), which the first layer of a network has to say.
        rates: what the learning rate is multiplied with, by parameter; 1 for those not named.

    Attributes:
        name: its kind and number in the network, as ``dense_1``; empty before `build`.
        inputs: how many inputs there are; known once it is built.
        units: how many outputs there are; known once it is built.
        parameters: views of the network's parameters, by name.
        gradients: views of the network's gradients, by the same names.
        statistics: views of what is learnt without gradients, by name.

    Raises:
        ValueError: for an ``input_shape`` that is not one whole number of at least 1, or a rate
            that is not above 0.
    """

    decay_mask: ClassVar[tuple[str, ...]] = ()
    """The parameters that weight decay is for."""

    def __init__(
        self, input_shape: tuple[int] | None = None, rates: Mapping[str, float] | None = None
    ) -> None:
        if input_shape is not None:
            if np.shape(input_shape) != (1,):
                raise ValueError(f"input_shape is {input_shape!r}, expected (inputs,)")
            whole("input_shape", input_shape[0], 1)
        self.input_shape = input_shape
        self.rates = {name: positive("rates", rate) for name, rate in (rates or {}).items()}
        self.name = ""
        self.inputs = self.units = 0
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.statistics: dict[str, Array] = {}

    @property
    def values(self) -> dict[str, Array]:
        """Parameters and statistics by name."""
        return self.parameters | self.statistics

    @property
    def kind(self) -> str:
        """What it is, with the setting that tells it from its like."""
        return type(self).__name__

    def build(self, inputs: int, name: str) -> None:
        """Learn the number of inputs and the own name; ``units`` is known from here on.

        Raises:
            ValueError: if it is part of a network already, whose views it would lose, or a rate is
                for none of its parameters.
        """
        if self.name:
            raise ValueError(f"layer {self.name} is part of a network already, expected a new one")
        self.name, self.inputs = name, inputs
        self.units = self.units or inputs
        own = self.parameter_shapes()
        for parameter in self.rates:
            if parameter not in own:
                raise ValueError(f"rates names {parameter!r}, expected {', '.join(own)}")

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

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """`forward` outside training as nodes, from float32 (N, inputs) to (N, units).

        Args:
            graph: written to.
            x: the inputs' name.
            values: parameters and statistics by name, float32.
        """
        raise NotImplementedError


class ActivatedLayer(Layer):
    """A layer that ends in an activation: a = f(z).

    Its gradient comes in two steps, so that a loss which knows dL/dz by itself can leave out the
    first.

    Args:
        activation: f, by name or as an object; linear where None.
        input_shape: (inputs,), for the first layer.
        rates: see the base class.
    """

    def __init__(
        self,
        activation: str | ActivationFunction | None,
        input_shape: tuple[int] | None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(input_shape, rates)
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
