"""Losses: the mean over the rows of a batch, and its gradient.

Labels are class indices, int64 (rows,). Outputs of a network are (rows, classes).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .activations import Softmax
from .arguments import fraction, look_up

Array = NDArray[Any]
Labels = NDArray[np.int64]

SMALLEST = 1e-30
"""Lower bound of probabilities before a logarithm or a division, within the range of float32."""


class Loss:
    """A function of outputs and labels that training minimizes; it has no state.

    Attributes:
        fused_with: name of the last activation that `fused_gradient` includes; "" if none.
    """

    name: ClassVar[str]
    fused_with: ClassVar[str] = ""

    def check(self, classes: int) -> None:
        """Raise ValueError if the loss is for another number of classes."""

    def value(self, outputs: Array, labels: Labels) -> float:
        """Return the mean loss of these rows."""
        raise NotImplementedError

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/da for the outputs a to ``out``, both (rows, classes)."""
        raise NotImplementedError

    def fused_gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/dz to ``out``, (rows, classes), for the activation ``fused_with``."""
        raise NotImplementedError


class CategoricalCrossentropy(Loss):
    """L = sum over rows of -w_y sum_k t_k log p_k, divided by rows; p are probabilities.

    y is the row's class. t is the smoothed target: 1 - s + s / classes for y and s / classes for
    the other classes (Szegedy et al. 2016, arXiv:1512.00567). w_y is the weight of y. The sum is
    divided by the number of rows, not by the sum of weights, as in Keras: a row then counts the same
    in every batch.

    Args:
        label_smoothing: s, from 0 to less than 1.
        class_weight: w, (classes,), at least 0; all 1 where None.

    Raises:
        ValueError: smoothing or weights are outside of these ranges.
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
        """Raise ValueError if there are class weights for another number of classes."""
        if self.class_weight is not None and self.class_weight.shape != (classes,):
            raise ValueError(
                f"class_weight has shape {self.class_weight.shape}, expected ({classes},)"
            )

    def value(self, outputs: Array, labels: Labels) -> float:
        """Return the mean loss of these rows."""
        s, k = self.label_smoothing, outputs.shape[1]
        of_label = outputs[np.arange(len(labels)), labels]
        losses = (s - 1) * np.log(np.maximum(of_label, SMALLEST))
        if s:
            losses -= s / k * np.log(np.maximum(outputs, SMALLEST)).sum(axis=1)
        if self.class_weight is not None:
            losses = losses * self.class_weight[labels]
        return float(losses.sum(dtype=np.float64)) / len(labels)

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/dp_k = -w_y t_k / (p_k rows)."""
        out.fill(self.label_smoothing / outputs.shape[1])
        out[np.arange(len(labels)), labels] += 1 - self.label_smoothing
        out /= -np.maximum(outputs, SMALLEST)
        self._apply_weights(labels, out)

    def fused_gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/dz_k = w_y (p_k - t_k) / rows for p = softmax(z) (Bishop 2006, section 4.3.4).

        It is faster than the two derivatives one after the other, and exact where p is so close to
        0 that a division by it would lose precision.
        """
        np.subtract(outputs, self.label_smoothing / outputs.shape[1], out=out)
        out[np.arange(len(labels)), labels] -= 1 - self.label_smoothing
        self._apply_weights(labels, out)

    def _apply_weights(self, labels: Labels, out: Array) -> None:
        if self.class_weight is not None:
            out *= self.class_weight[labels][:, None]
        out *= 1 / len(labels)


class MeanSquaredError(Loss):
    """L = mean over rows and classes of (a - t)^2; t is 1 for the row's class, otherwise 0."""

    name = "mean_squared_error"

    def value(self, outputs: Array, labels: Labels) -> float:
        """Return the mean loss of these rows."""
        difference = outputs.copy()
        difference[np.arange(len(labels)), labels] -= 1
        return float(np.square(difference).mean(dtype=np.float64))

    def gradient(self, outputs: Array, labels: Labels, out: Array) -> None:
        """Write dL/da = 2 (a - t) / (rows classes)."""
        np.copyto(out, outputs)
        out[np.arange(len(labels)), labels] -= 1
        out *= 2 / out.size


LOSSES: dict[str, type[Loss]] = {
    kind.name: kind for kind in (CategoricalCrossentropy, MeanSquaredError)
}
"""The losses by name."""


def get(loss: str | Loss) -> Loss:
    """Return the loss of a name, with default settings; a loss is returned as it is.

    Raises:
        ValueError: the name is unknown.
    """
    return loss if isinstance(loss, Loss) else look_up("loss", loss, LOSSES)()
