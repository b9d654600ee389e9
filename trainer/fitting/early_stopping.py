"""Early stopping: keep the best weights, and end the fit when the criterion stops improving."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Epoch, Sequential
from .temperature import calibrated_loss

Criterion = Callable[[Epoch], float]
"""The figure of an epoch by which epochs are compared; smaller is better."""

Patience = Callable[[int], float]
"""The allowed epochs without improvement, given the number of the finished epoch."""

PATIENT_SHARE = 0.6
"""Share of the finished epochs without improvement after which further epochs brought none."""


def patience_from_half(epochs: int) -> Patience:
    """Return a patience that is infinite in the first half and then grows with the epochs done.

    A schedule with cycles needs it: while the learning rate is high, the criterion gets worse for
    a time in every fit.

    Args:
        epochs: the largest number of epochs of the fit.
    """
    return lambda number: PATIENT_SHARE * number if number >= epochs / 2 else math.inf


class EarlyStopping:
    """A callback that keeps the best weights and stops the fit when patience is exhausted.

    Args:
        network: the network to watch.
        patience: epochs in a row without improvement before the fit stops, at least 1; or a
            function of the epoch's number.
        min_delta: the smallest decrease that counts as an improvement, at least 0.
        criterion: the figure to compare; the validation loss where None.

    Attributes:
        best: the epoch whose weights are kept; None before the first.
        latest: number of the latest compared epoch; 0 before the first.
        exhausted: whether patience is exhausted.

    Raises:
        ValueError: patience is below 1 or min_delta below 0.
    """

    def __init__(
        self,
        network: Sequential,
        patience: int | Patience,
        min_delta: float = 0.0,
        criterion: Criterion | None = None,
    ) -> None:
        if isinstance(patience, int) and patience < 1:
            raise ValueError(f"patience is {patience}, expected at least 1")
        if not min_delta >= 0:
            raise ValueError(f"min_delta is {min_delta}, expected at least 0")
        self._network, self._min_delta = network, min_delta
        self._patience = patience if callable(patience) else lambda _number: patience
        self._criterion = criterion or _validation_loss
        self._snapshot: tuple[Epoch, NDArray[Any], NDArray[Any]] | None = None
        self._best_figure = math.inf
        self.latest = 0
        self.exhausted = False

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights are kept; None before the first."""
        return self._snapshot[0] if self._snapshot else None

    def __call__(self, epoch: Epoch) -> bool:
        """Keep the weights if the epoch is the best; return whether patience is exhausted.

        Raises:
            ValueError: the epoch has no validation loss.
        """
        figure = self._criterion(epoch)
        if self.best is None or figure < self._best_figure - self._min_delta:
            self._best_figure = figure
            # One assignment, so that Ctrl-C can't leave an epoch with the weights of another.
            self._snapshot = epoch, self._network.parameters.copy(), self._network.statistics.copy()
        else:
            self.exhausted = epoch.number - self.best.number >= self._patience(epoch.number)
        self.latest = epoch.number
        return self.exhausted

    def restore(self) -> None:
        """Put the best weights and statistics back, if an epoch has ended."""
        if self._snapshot:
            _, self._network.parameters[...], self._network.statistics[...] = self._snapshot


def _validation_loss(epoch: Epoch) -> float:
    if epoch.validation_loss is None:
        raise ValueError("early stopping needs a validation loss: fit with validation_data")
    return epoch.validation_loss


def _error(epoch: Epoch) -> float:
    if epoch.validation_accuracy is None:
        return _validation_loss(epoch)
    return 1 - epoch.validation_accuracy


CRITERIA: dict[str, Callable[[Sequential, NDArray[np.int64]], Criterion]] = {
    "loss": lambda _network, _labels: _validation_loss,
    "error": lambda _network, _labels: _error,
    "calibrated_loss": lambda network, labels: (
        lambda _epoch: calibrated_loss(network.validation_outputs, labels)
    ),
}
"""Makers of criteria by name, from the network and the validation labels.

``loss`` is the training loss on validation rows, with label smoothing. ``calibrated_loss`` is the log
loss after calibration by a temperature.
"""
