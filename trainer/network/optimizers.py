"""Optimizers: each a step in place on the flat vector of all parameters.

Moments are flat vectors of the same length, made once; a step makes no array. The learning rate is
an argument of each step, for a schedule changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .arguments import chosen, fraction, positive

Vector = NDArray[Any]


class Optimizer:
    """Moves parameters against their gradients.

    Args:
        learning_rate: what a schedule's factor is multiplied with.

    Attributes:
        moments: what is remembered of past gradients, each (parameters,), under its name.
        steps: how many steps were taken.

    Raises:
        ValueError: for a setting out of its range.
    """

    name: ClassVar[str]
    slots: ClassVar[tuple[str, ...]]

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = positive("learning_rate", learning_rate)
        self.steps = 0
        self.moments: dict[str, Vector] = {}
        self._room: Vector = np.empty(0)
        self._rates: Vector | None = None

    def bind(
        self, parameters: Vector, decay_mask: NDArray[np.bool_], rates: Vector | None = None
    ) -> None:
        """Make room for a network's parameters and forget all past steps.

        Args:
            parameters: (parameters,), for their number and type.
            decay_mask: (parameters,), true where weight decay is meant.
            rates: (parameters,), what each one's learning rate is multiplied with; 1 where None.
        """
        del decay_mask
        self.steps = 0
        # All ones would cost a pass over the parameters for nothing.
        given = rates is not None and bool((rates != 1).any())
        self._rates = np.asarray(rates, parameters.dtype) if given else None
        self.moments = {name: np.zeros_like(parameters) for name in self.slots}
        self._room = np.empty_like(parameters)

    def step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        """One step, in place on ``parameters``; both vectors are (parameters,)."""
        self.steps += 1
        self._step(parameters, gradients, learning_rate)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        raise NotImplementedError

    def _descend(self, parameters: Vector, distance: Vector) -> None:
        """Take ``distance``, which may be overwritten, from the parameters, each at its rate."""
        if self._rates is not None:
            distance *= self._rates
        parameters -= distance

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, copied: ``steps``, and each moment by its name."""
        return {"steps": self.steps, **{name: m.copy() for name, m in self.moments.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, after `bind`.

        Raises:
            ValueError: if it is of another optimizer, or of another number of parameters.
        """
        expected = {"steps": (), **{name: m.shape for name, m in self.moments.items()}}
        if {name: np.shape(value) for name, value in state.items()} != expected:
            raise ValueError(f"state holds {', '.join(state)}, expected the shapes {expected}")
        self.steps = int(state["steps"])
        for name, moment in self.moments.items():
            np.copyto(moment, state[name])


class SGD(Optimizer):
    """v <- momentum v - rate g; p <- p + v, or with Nesterov's look ahead p + momentum v - rate g.

    (Sutskever et al. 2013.) Without momentum it is plain gradient descent.
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
        velocity, room = self.moments["velocity"], self._room
        np.multiply(gradients, learning_rate, out=room)
        if self._rates is not None:
            room *= self._rates
        velocity *= self.momentum
        velocity -= room
        if self.nesterov:
            parameters -= room
            np.multiply(velocity, self.momentum, out=room)
            parameters += room
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
        squares, room = self.moments["squares"], self._room
        np.multiply(gradients, gradients, out=room)
        squares += room
        np.sqrt(squares, out=room)
        room += self.epsilon
        np.divide(gradients, room, out=room)
        room *= learning_rate
        self._descend(parameters, room)


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; s <- b2 s + (1 - b2) g^2; p <- p - rate m' / (sqrt(s') + epsilon).

    m' = m / (1 - b1^t) and s' = s / (1 - b2^t) at step t = 1, 2, ... (Kingma, Ba 2015,
    arXiv:1412.6980, algorithm 1). Both corrections are drawn into the rate and epsilon, which are
    single numbers: the same step in fewer passes over the vectors.
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
        mean, squares, room = self.moments["mean"], self.moments["squares"], self._room
        mean *= self.beta_1
        np.multiply(gradients, 1 - self.beta_1, out=room)
        mean += room
        squares *= self.beta_2
        np.multiply(gradients, gradients, out=room)
        room *= 1 - self.beta_2
        squares += room
        correction = math.sqrt(1 - self.beta_2**self.steps)
        np.sqrt(squares, out=room)
        room += self.epsilon * correction
        np.divide(mean, room, out=room)
        room *= learning_rate * correction / (1 - self.beta_1**self.steps)
        self._descend(parameters, room)


class AdamW(Adam):
    """Adam after p <- p - rate decay p, a decay that no moment sees (Loshchilov, Hutter 2019).

    Only kernels are decayed: a bias or a normalization's scale drawn to 0 would lose what it
    stands for (arXiv:1711.05101 for the rule). The rates of single parameters leave it as it is.

    Attributes:
        strength: what a schedule multiplies the decay with, from 0 to 1.
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
        self._decayed: Vector = np.empty(0)

    def bind(
        self, parameters: Vector, decay_mask: NDArray[np.bool_], rates: Vector | None = None
    ) -> None:
        """See the base class."""
        super().bind(parameters, decay_mask, rates)
        # As numbers of the parameters' type: a product with booleans would convert at each step.
        self._decayed = decay_mask.astype(parameters.dtype)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        np.multiply(parameters, self._decayed, out=self._room)
        self._room *= learning_rate * self.weight_decay * self.strength
        parameters -= self._room
        super()._step(parameters, gradients, learning_rate)


OPTIMIZERS: dict[str, type[Any]] = {kind.name: kind for kind in (SGD, AdaGrad, Adam, AdamW)}
"""Each optimizer under its name.

``type[Any]``, for their constructors differ and a settings file names what it passes.
"""


def named(given: str | Optimizer) -> Optimizer:
    """The optimizer of a name, with its usual settings; one of your own as it is.

    Raises:
        ValueError: for a name that is none.
    """
    if isinstance(given, Optimizer):
        return given
    made: Optimizer = chosen("optimizer", given, OPTIMIZERS)()
    return made
