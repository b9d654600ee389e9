"""The base classes of layers."""

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
    """One step of a network, from (rows, inputs) to (rows, units).

    Args:
        input_shape: (inputs,); required for the first layer of a network.
        rates: factors of the learning rate by parameter; 1 for all others.

    Attributes:
        name: kind and number in the network, as in ``dense_1``; empty before `build`.
        inputs: number of inputs; 0 before `build`.
        units: number of outputs; may be 0 before `build`.
        parameters: views of the network's parameters, by name.
        gradients: views of the network's gradients, by the same names.
        statistics: views of the network's statistics, by name.

    Raises:
        ValueError: ``input_shape`` is not one integer of at least 1, or a rate is not above 0.
    """

    decay_mask: ClassVar[tuple[str, ...]] = ()
    """The names of the parameters with weight decay."""

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
        """The class name with the most important setting, for summaries."""
        return type(self).__name__

    def build(self, inputs: int, name: str) -> None:
        """Set the number of inputs, the name and the units.

        Raises:
            ValueError: the layer is already part of a network, or a rate names an unknown
                parameter.
        """
        if self.name:
            raise ValueError(
                f"layer {self.name} is already part of a network, expected a new layer"
            )
        self.name, self.inputs = name, inputs
        self.units = self.units or inputs
        own = self.parameter_shapes()
        for parameter in self.rates:
            if parameter not in own:
                raise ValueError(f"rates names {parameter!r}, expected {', '.join(own)}")

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter, by name."""
        return {}

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each statistic, by name."""
        return {}

    def initialize(self, rng: np.random.Generator) -> None:
        """Set the first values of parameters and statistics."""

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate buffers for batches of up to ``rows``."""

    def forward(self, x: Array, training: bool) -> Array:
        """Return the outputs (rows, units) for inputs (rows, inputs), which stay unchanged.

        The outputs are a view of a buffer, valid until the next `forward`, or ``x`` itself.
        """
        raise NotImplementedError

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Write the parameters' gradients and return dL/dx, given dL/da, (rows, units).

        Follows a `forward` in training. ``gradient`` may be overwritten. If ``needs_input`` is false,
        the caller ignores the result, and the layer may skip its computation.
        """
        raise NotImplementedError

    def emit(self, graph: Graph, x: str, values: Mapping[str, Array]) -> str:
        """Add `forward` outside training as nodes and return the name of the outputs.

        Args:
            graph: the graph to extend.
            x: name of the inputs, float32 (N, inputs).
            values: parameters and statistics by name, float32.
        """
        raise NotImplementedError


class ActivatedLayer(Layer):
    """A layer that ends in an activation: a = f(z).

    Its gradient has two steps, so that a loss with a fused gradient dL/dz can skip the first.

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
        self.activation = activations.get(activation)

    @property
    def kind(self) -> str:
        """The class name with the activation, for summaries."""
        return f"{super().kind}, {self.activation.name}"

    def allocate(self, rows: int, dtype: Any) -> None:
        """Allocate the buffers of a and z."""
        self._a = np.empty((rows, self.units), dtype)
        # Holds z, then dL/dz, because derivatives are functions of a.
        self._z = np.empty((rows, self.units), dtype)

    def backward(self, gradient: Array, needs_input: bool) -> Array:
        """Apply the activation's derivative, then `backward_from_logits`."""
        rows = len(gradient)
        self.activation.backward(self._a[:rows], gradient, self._z[:rows])
        return self.backward_from_logits(self._z[:rows], needs_input)

    def backward_from_logits(self, gradient: Array, needs_input: bool) -> Array:
        """Write the parameters' gradients and return dL/dx, given dL/dz, (rows, units)."""
        raise NotImplementedError
