"""Losses: a mean over the rows of a batch, and its gradient.

Labels are class indices, int64 (rows,); a network's outputs are (rows, classes).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .activations import Softmax
from .arguments import chosen, fraction

Array = NDArray[Any]
Labels = NDArray[np.int64]

SMALLEST = 1e-30
"""Probabilities are held above this before a logarithm or a division; float32 can still hold it."""


class Loss:
    """What training makes smaller; without state.

    Attributes:
        fused_with: the name of the last activation, if any, for which `fused_gradient` is there.
    """

    name: ClassVar[str]
    fused_with: ClassVar[str] = ""

    def check(self, classes: int) -> None:
        """Raise ValueError if this loss can't be taken of that many classes."""

    def value(self, outputs: Array, labels: Labels) -> float:
        """The mean loss of these rows."""
        raise NotImplementedError

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/da for the outputs a to ``out``, both (rows, classes)."""
        raise NotImplementedError

    def fused_gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/dz to ``out``, (rows, classes), where ``fused_with`` makes a of z."""
        raise NotImplementedError


class CategoricalCrossentropy(Loss):
    """L = sum over rows of -w_y sum_k t_k log p_k, divided by rows; p are probabilities.

    y is the row's class. t is the smoothed target: 1 - s + s / classes for y and s / classes for
    the others (Szegedy et al. 2016, arXiv:1512.00567). w_y is the weight of y. The sum is divided
    by the number of rows, not by the sum of their weights, as in Keras: a row then counts the same
    in every batch, whatever other rows are in it.

    Args:
        label_smoothing: s, from 0 to less than 1.
        class_weight: (classes,), none below 0; all 1 where None.

    Raises:
        ValueError: for smoothing or weights outside of these.
    """

    name = "categorical_crossentropy"
    fused_with = Softmax.name

    def __init__(self, label_smoothing: float = 0.0, class_weight: ArrayLike | None = None) -> None:
        self.label_smoothing = fraction("label_smoothing", label_smoothing)
        self.class_weight = None if class_weight is None else np.array(class_weight, np.float64)
        weights = self.class_weight
        if weights is not None and not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError(f"class_weight is {class_weight!r}, expected numbers of at least 0")

    def check(self, classes: int) -> None:
        """See the base class."""
        if self.class_weight is not None and self.class_weight.shape != (classes,):
            raise ValueError(
                f"class_weight has shape {self.class_weight.shape}, expected ({classes},)"
            )

    def value(self, outputs: Array, labels: Labels) -> float:
        """See the base class."""
        s, k = self.label_smoothing, outputs.shape[1]
        right = outputs[np.arange(len(labels)), labels]
        losses = (s - 1) * np.log(np.maximum(right, SMALLEST))
        if s:
            losses -= s / k * np.log(np.maximum(outputs, SMALLEST)).sum(axis=1)
        if self.class_weight is not None:
            losses = losses * self.class_weight[labels]
        return float(losses.sum(dtype=np.float64)) / len(labels)

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """dL/dp_k = -w_y t_k / (p_k rows)."""
        out.fill(self.label_smoothing / outputs.shape[1])
        out[np.arange(len(labels)), labels] += 1 - self.label_smoothing
        out /= -np.maximum(outputs, SMALLEST)
        self._weigh(labels, out)

    def fused_gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """dL/dz_k = w_y (p_k - t_k) / rows for p = softmax(z) (Bishop 2006, section 4.3.4).

        Softmax's derivative multiplied with the loss's: not only shorter than one after the other,
        but also exact where p is so close to 0 that dividing by it would lose everything.
        """
        np.subtract(outputs, self.label_smoothing / outputs.shape[1], out=out)
        out[np.arange(len(labels)), labels] -= 1 - self.label_smoothing
        self._weigh(labels, out)

    def _weigh(self, labels: Labels, out: Array) -> None:
        if self.class_weight is not None:
            out *= self.class_weight[labels][:, None]
        out *= 1 / len(labels)


class MeanSquaredError(Loss):
    """L = mean over rows and classes of (a - t)^2; t is 1 for the row's class, 0 for the others."""

    name = "mean_squared_error"

    def value(self, outputs: Array, labels: Labels) -> float:
        """See the base class."""
        difference = outputs.copy()
        difference[np.arange(len(labels)), labels] -= 1
        return float(np.square(difference).mean(dtype=np.float64))

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """dL/da = 2 (a - t) / (rows classes)."""
        np.copyto(out, outputs)
        out[np.arange(len(labels)), labels] -= 1
        out *= 2 / out.size


LOSSES: dict[str, type[Loss]] = {
    kind.name: kind for kind in (CategoricalCrossentropy, MeanSquaredError)
}
"""Each loss under its name."""


def named(given: str | Loss) -> Loss:
    """The loss of a name, with its usual settings; one of your own as it is.

    Raises:
        ValueError: for a name that is none.
    """
    return given if isinstance(given, Loss) else chosen("loss", given, LOSSES)()
