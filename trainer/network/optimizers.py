"""Optimizers: each a step in place on the flat vector of all parameters.

Moments are flat vectors of the same length, made once; a step makes no array. The learning rate is
an argument of each step, for schedules change it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[Any]


class Optimizer:
    """Changes parameters against their gradients.

    Args:
        learning_rate: what a schedule multiplies.

    Attributes:
        moments: how many vectors it remembers.
        steps: steps taken.
    """

    name: ClassVar[str]
    moments: ClassVar[int]

    def __init__(self, learning_rate: float) -> None:
        if not learning_rate > 0:
            raise ValueError(f"learning_rate is {learning_rate}, expected more than 0")
        self.learning_rate = learning_rate
        self.steps = 0
        self._state: tuple[Vector, ...] = ()
        self._room: Vector = np.empty(0)

    def bind(self, parameters: Vector, decayed: Vector) -> None:
        """Make room for a network's parameters, once, before the first step.

        Args:
            parameters: (parameters,), for their number and type.
            decayed: bool (parameters,), which of them weight decay is for.
        """
        del decayed
        self.steps = 0
        self._state = tuple(np.zeros_like(parameters) for _ in range(self.moments))
        self._room = np.empty_like(parameters)

    def step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        """One step in place, both (parameters,)."""
        self.steps += 1
        self._step(parameters, gradients, learning_rate)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, copied: a run can be taken up again from it."""
        return {"steps": self.steps, "moments": [moment.copy() for moment in self._state]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.steps = state["steps"]
        for moment, saved in zip(self._state, state["moments"], strict=True):
            moment[...] = saved


class SGD(Optimizer):
    """v <- momentum v - rate g; p <- p + v, or with Nesterov's look ahead p + momentum v - rate g.

    (Sutskever et al. 2013.) Without momentum it is plain gradient descent.
    """

    name = "sgd"
    moments = 1

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, *, nesterov: bool = False
    ) -> None:
        super().__init__(learning_rate)
        self.momentum, self.nesterov = momentum, nesterov

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        (velocity,) = self._state
        step = np.multiply(gradients, learning_rate, out=self._room)
        velocity *= self.momentum
        velocity -= step
        if self.nesterov:
            parameters -= step
            step = np.multiply(velocity, self.momentum, out=self._room)
            parameters += step
        else:
            parameters += velocity


class AdaGrad(Optimizer):
    """s <- s + g^2; p <- p - rate g / (sqrt(s) + epsilon) (Duchi, Hazan, Singer 2011)."""

    name = "adagrad"
    moments = 1

    def __init__(self, learning_rate: float = 0.01, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate)
        self.epsilon = epsilon

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        (squares,) = self._state
        room = np.multiply(gradients, gradients, out=self._room)
        squares += room
        np.sqrt(squares, out=room)
        room += self.epsilon
        np.divide(gradients, room, out=room)
        room *= learning_rate
        parameters -= room


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; s <- b2 s + (1 - b2) g^2; p <- p - rate m' / (sqrt(s') + epsilon).

    m' and s' are m / (1 - b1^t) and s / (1 - b2^t) (Kingma, Ba 2015, arXiv:1412.6980). Here the
    corrections are drawn into the rate and epsilon, as the paper's section 2 suggests, which gives
    the same step with fewer passes over the vectors.
    """

    name = "adam"
    moments = 2

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        mean, squares = self._state
        room = self._room
        mean *= self.beta_1
        np.multiply(gradients, 1 - self.beta_1, out=room)
        mean += room
        squares *= self.beta_2
        np.multiply(gradients, gradients, out=room)
        room *= 1 - self.beta_2
        squares += room
        correction = float(np.sqrt(1 - self.beta_2**self.steps))
        np.sqrt(squares, out=room)
        room += self.epsilon * correction
        np.divide(mean, room, out=room)
        room *= learning_rate * correction / (1 - self.beta_1**self.steps)
        parameters -= room


class AdamW(Adam):
    """Adam with decoupled decay: p <- p (1 - rate decay) first (Loshchilov, Hutter 2019).

    Kernels alone are decayed: a bias or a normalization's scale drawn to zero loses what it
    stands for (arXiv:1711.05101).
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
        self.weight_decay = weight_decay
        self._decayed: Vector = np.empty(0)

    def bind(self, parameters: Vector, decayed: Vector) -> None:
        """See the base class."""
        super().bind(parameters, decayed)
        self._decayed = decayed.astype(parameters.dtype)

    def _step(self, parameters: Vector, gradients: Vector, learning_rate: float) -> None:
        room = np.multiply(parameters, self._decayed, out=self._room)
        room *= learning_rate * self.weight_decay
        parameters -= room
        super()._step(parameters, gradients, learning_rate)


OPTIMIZERS: dict[str, type[Any]] = {kind.name: kind for kind in (SGD, AdaGrad, Adam, AdamW)}
"""Each optimizer under its name."""


def named(name: str) -> Optimizer:
    """The optimizer of that name, with its usual settings.

    Raises:
        ValueError: for a name that is none.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer is {name!r}, expected one of {', '.join(OPTIMIZERS)}")
    made: Optimizer = OPTIMIZERS[name]()
    return made
