"""Optimizers: each step updates the flat vector of all parameters in place.

Moments are flat vectors of the same length, allocated once; a step allocates no array. The learning
rate is an argument of each step, because a schedule changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .arguments import fraction, look_up, positive

Vector = NDArray[Any]


class Optimizer:
    """The base class of optimizers.

    Args:
        learning_rate: the learning rate before a schedule's factor.

    Attributes:
        slots: the names of the moments.
        moments: running averages or sums of past gradients, each (parameters,), by name.
        steps: number of steps taken.

    Raises:
        ValueError: a setting is out of its range.
    """

    name: ClassVar[str]
    slots: ClassVar[tuple[str, ...]]

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = positive("learning_rate", learning_rate)
        self.steps = 0
        self.moments: dict[str, Vector] = {}
        self._buffer: Vector = np.empty(0)
        self._rates: Vector | None = None

    def build(
        self, parameters: Vector, decay_mask: NDArray[np.bool_], rates: Vector | None = None
    ) -> None:
        """Allocate the moments for a network's parameters and reset the number of steps.

        Args:
            parameters: (parameters,); only their number and type matter.
            decay_mask: (parameters,), true for parameters with weight decay.
            rates: (parameters,), factor of each parameter's learning rate; all 1 where None.
        """
        del decay_mask
        self.steps = 0
        # Factors that are all 1 would only cost time.
        has_rates = rates is not None and bool((rates != 1).any())
        self._rates = np.asarray(rates, parameters.dtype) if has_rates else None
        self.moments = {name: np.zeros_like(parameters) for name in self.slots}
        self._buffer = np.empty_like(parameters)

    def step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        """Take one step, in place on ``parameters``; both vectors are (parameters,)."""
        self.steps += 1
        self._step(parameters, gradients, learning_rate)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        raise NotImplementedError

    def _descend(self, parameters: Vector, distance: Vector) -> None:
        """Subtract ``distance``, scaled by the rates, from the parameters; it is overwritten."""
        if self._rates is not None:
            distance *= self._rates
        parameters -= distance

    def state(self) -> dict[str, Any]:
        """Return a copy of all state of the optimizer: ``steps``, and each moment by name."""
        return {"steps": self.steps, **{name: m.copy() for name, m in self.moments.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`, after `build`.

        Raises:
            ValueError: the state is of another optimizer or another number of parameters.
        """
        expected = {"steps": (), **{name: m.shape for name, m in self.moments.items()}}
        if {name: np.shape(value) for name, value in state.items()} != expected:
            raise ValueError(f"state holds {', '.join(state)}, expected the shapes {expected}")
        self.steps = int(state["steps"])
        for name, moment in self.moments.items():
            np.copyto(moment, state[name])


class SGD(Optimizer):
    """v <- momentum v - rate g; p <- p + v, or with Nesterov's look ahead p + momentum v - rate g.

    Sutskever et al. 2013. Without momentum it is plain gradient descent.
    """

    name = "sgd"
    slots = ("velocity",)

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = fraction("momentum", momentum)
        self.nesterov = nesterov

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        velocity, buffer = self.moments["velocity"], self._buffer
        np.multiply(gradients, learning_rate, out=buffer)
        if self._rates is not None:
            buffer *= self._rates
        velocity *= self.momentum
        velocity -= buffer
        if self.nesterov:
            parameters -= buffer
            np.multiply(velocity, self.momentum, out=buffer)
            parameters += buffer
        else:
            parameters += velocity


class AdaGrad(Optimizer):
    """s <- s + g^2; p <- p - rate g / (sqrt(s) + epsilon) (Duchi, Hazan, Singer 2011)."""

    name = "adagrad"
    slots = ("squares",)

    def __init__(
        self,
        learning_rate: float = 0.01,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate)
        self.epsilon = positive("epsilon", epsilon)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        squares, buffer = self.moments["squares"], self._buffer
        np.multiply(gradients, gradients, out=buffer)
        squares += buffer
        np.sqrt(squares, out=buffer)
        buffer += self.epsilon
        np.divide(gradients, buffer, out=buffer)
        buffer *= learning_rate
        self._descend(parameters, buffer)


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; s <- b2 s + (1 - b2) g^2; p <- p - rate m' / (sqrt(s') + epsilon).

    m' = m / (1 - b1^t) and s' = s / (1 - b2^t) at step t = 1, 2, ... (Kingma, Ba 2015,
    arXiv:1412.6980, algorithm 1). The corrections are applied to the rate and epsilon, which are
    single numbers, so that a step passes over the vectors less often.
    """

    name = "adam"
    slots = ("mean", "squares")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate)
        self.beta_1 = fraction("beta_1", beta_1)
        self.beta_2 = fraction("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        mean, squares, buffer = self.moments["mean"], self.moments["squares"], self._buffer
        mean *= self.beta_1
        np.multiply(gradients, 1 - self.beta_1, out=buffer)
        mean += buffer
        squares *= self.beta_2
        np.multiply(gradients, gradients, out=buffer)
        buffer *= 1 - self.beta_2
        squares += buffer
        correction = math.sqrt(1 - self.beta_2**self.steps)
        np.sqrt(squares, out=buffer)
        buffer += self.epsilon * correction
        np.divide(mean, buffer, out=buffer)
        buffer *= learning_rate * correction / (1 - self.beta_1**self.steps)
        self._descend(parameters, buffer)


class AdamW(Adam):
    """Adam after p <- p - rate decay p, a decay outside of the moments.

    Loshchilov, Hutter 2019 (arXiv:1711.05101). Only the parameters of the decay mask decay, because
    a bias or a normalization's scale should not tend to 0. The parameters' own rates do not change
    the decay.

    Attributes:
        strength: factor of the decay from a schedule, from 0 to 1.
    """

    name = "adamw"

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon)
        if not 0 <= weight_decay < math.inf:
            raise ValueError(f"weight_decay is {weight_decay}, expected at least 0")
        self.weight_decay = weight_decay
        self.strength = 1.0
        self._decay_mask: Vector = np.empty(0)

    def build(
        self, parameters: Vector, decay_mask: NDArray[np.bool_], rates: Vector | None = None
    ) -> None:
        """Allocate the moments and store the mask of the weight decay."""
        super().build(parameters, decay_mask, rates)
        # In the parameters' type, because a product with booleans converts them at each step.
        self._decay_mask = decay_mask.astype(parameters.dtype)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        np.multiply(parameters, self._decay_mask, out=self._buffer)
        self._buffer *= learning_rate * self.weight_decay * self.strength
        parameters -= self._buffer
        super()._step(parameters, gradients, learning_rate)


OPTIMIZERS: dict[str, type[Any]] = {kind.name: kind for kind in (SGD, AdaGrad, Adam, AdamW)}
"""The optimizers by name.

``type[Any]``, because their constructors have different arguments.
"""


def get(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer of a name, with default settings; an optimizer is returned as it is.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    built: Optimizer = look_up("optimizer", optimizer, OPTIMIZERS)()
    return built
