"""Losses: a mean over the rows of a batch, and its gradient.

Labels are class indices, int64 (rows,); a network's outputs are (rows, classes).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Labels = NDArray[np.int64]

SMALLEST = 1e-30
"""Outputs are held above this before a logarithm; float32 still holds it."""


class Loss:
    """What training makes smaller."""

    name: ClassVar[str]

    def value(self, outputs: Array, labels: Labels) -> float:
        """The mean loss of these rows."""
        raise NotImplementedError

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/doutputs, (rows, classes), to ``out``."""
        raise NotImplementedError


class CategoricalCrossentropy(Loss):
    """L = mean over rows of -w_y sum_k t_k log p_k, for outputs p that are probabilities.

    t is the smoothed target: 1 - s + s / K for the row's class, s / K for the others (Szegedy et
    al. 2016, arXiv:1512.00567). w_y is the weight of the row's class. The mean divides by the number
    of rows, not by the sum of their weights, as Keras does.

    Args:
        label_smoothing: s, from 0 to less than 1.
        class_weight: (classes,); all 1 where None.
    """

    name = "categorical_crossentropy"

    def __init__(
        self, label_smoothing: float = 0.0, class_weight: NDArray[np.floating] | None = None
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}, expected 0 to less than 1")
        self.label_smoothing, self.class_weight = label_smoothing, class_weight

    def value(self, outputs: Array, labels: Labels) -> float:
        """See the base class."""
        s, k = self.label_smoothing, outputs.shape[1]
        right = np.log(np.maximum(outputs[np.arange(len(labels)), labels], SMALLEST))
        losses = -(1 - s) * right
        if s:
            losses -= s / k * np.log(np.maximum(outputs, SMALLEST)).sum(axis=1)
        if self.class_weight is not None:
            losses = losses * self.class_weight[labels]
        return float(losses.mean(dtype=np.float64))

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """dL/dp_k = -w_y t_k / (p_k rows)."""
        self._targets(labels, out)
        out /= -np.maximum(outputs, SMALLEST)
        self._weigh(labels, out)

    def logit_gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/dz for p = softmax(z): w_y (p - t) / rows.

        The product of softmax's derivative and the loss's comes out so simple that it is neither
        slow nor rounded away where p is close to 0.
        """
        s, k = self.label_smoothing, outputs.shape[1]
        np.subtract(outputs, s / k, out=out)
        out[np.arange(len(labels)), labels] -= 1 - s
        self._weigh(labels, out)

    def _targets(self, labels: Labels, out: Array) -> None:
        out[...] = self.label_smoothing / out.shape[1]
        out[np.arange(len(labels)), labels] += 1 - self.label_smoothing

    def _weigh(self, labels: Labels, out: Array) -> None:
        if self.class_weight is not None:
            out *= self.class_weight[labels].astype(out.dtype)[:, None]
        out *= 1 / len(labels)


class MeanSquaredError(Loss):
    """L = mean over rows and classes of (a - t)^2, t being 1 for the row's class and 0 elsewhere."""

    name = "mean_squared_error"

    def value(self, outputs: Array, labels: Labels) -> float:
        """See the base class."""
        difference = np.empty_like(outputs)
        self._difference(outputs, labels, difference)
        return float(np.square(difference).mean(dtype=np.float64))

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """dL/da = 2 (a - t) / (rows classes)."""
        self._difference(outputs, labels, out)
        out *= 2 / out.size

    @staticmethod
    def _difference(outputs: Array, labels: Labels, out: Array) -> None:
        out[...] = outputs
        out[np.arange(len(labels)), labels] -= 1


LOSSES: dict[str, type[Loss]] = {
    kind.name: kind for kind in (CategoricalCrossentropy, MeanSquaredError)
}
"""Each loss under its name."""


def named(name: str) -> Loss:
    """The loss of that name, with its usual settings.

    Raises:
        ValueError: for a name that is none.
    """
    if name not in LOSSES:
        raise ValueError(f"loss is {name!r}, expected one of {', '.join(LOSSES)}")
    return LOSSES[name]()
