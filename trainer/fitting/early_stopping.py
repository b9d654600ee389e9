"""Early stopping: the best weights are kept, and training ends when nothing gets better."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Epoch, Sequential
from .temperature import calibrated_loss

Criterion = Callable[[Epoch], float]
"""A figure of an epoch; smaller is better."""

Patience = Callable[[int], float]
"""At the end of an epoch: how many without a better figure are too many."""

SHARE = 0.6
"""Of the epochs done: without a better figure in so many, the others bring none either."""


def patient_for_half(epochs: int) -> Patience:
    """Through half of the epochs whatever happens; then as long as `SHARE` of those done.

    For a learning rate that rises and falls: while it is high every figure is worse, which says
    nothing yet.
    """
    return lambda number: SHARE * number if number >= epochs / 2 else math.inf


class EarlyStopping:
    """A callback that watches a figure of the validation rows: the loss, if none is given.

    Args:
        network: whose weights are kept.
        patience: epochs in a row without a better figure before it asks to stop, at least 1; or what
            gives their number at an epoch.
        min_delta: by how much a figure must be lower to count as better, at least 0.
        criterion: the figure, smaller is better.

    Attributes:
        best: the epoch whose weights are kept; None before the first.
        passed: number of the latest epoch that it has judged; 0 before the first.
        exhausted: whether patience has come to its end.

    Raises:
        ValueError: for a patience below 1 or a min_delta below 0.
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
        self._criterion = criterion or _loss
        self._kept: tuple[Epoch, NDArray[Any], NDArray[Any]] | None = None
        self._best = math.inf
        self.passed = 0
        self.exhausted = False

    @property
    def best(self) -> Epoch | None:
        """See the class."""
        return self._kept[0] if self._kept else None

    def __call__(self, epoch: Epoch) -> bool:
        """Keep the weights if they are the best so far; whether patience is at its end.

        Raises:
            ValueError: for an epoch without a validation loss.
        """
        figure = self._criterion(epoch)
        if self.best is None or figure < self._best - self._min_delta:
            self._best = figure
            # One assignment, so that Ctrl-C can't leave an epoch beside another one's weights.
            self._kept = epoch, self._network.parameters.copy(), self._network.statistics.copy()
        else:
            self.exhausted = epoch.number - self.best.number >= self._patience(epoch.number)
        self.passed = epoch.number
        return self.exhausted

    def restore(self) -> None:
        """Put the best weights and statistics back, if an epoch has ended yet."""
        if self._kept:
            _, self._network.parameters[...], self._network.statistics[...] = self._kept


def _loss(epoch: Epoch) -> float:
    if epoch.validation_loss is None:
        raise ValueError("early stopping needs a validation loss: fit with validation_data")
    return epoch.validation_loss


def _error(epoch: Epoch) -> float:
    return 1 - epoch.validation_accuracy if epoch.validation_accuracy is not None else _loss(epoch)


CRITERIA: dict[str, Callable[[Sequential, NDArray[np.int64]], Criterion]] = {
    "loss": lambda _network, _labels: _loss,
    "error": lambda _network, _labels: _error,
    "calibrated_loss": lambda network, labels: (
        lambda _epoch: calibrated_loss(network.validation_outputs, labels)
    ),
}
"""Figures to choose an epoch by, from the network and the validation rows' labels.

The loss is the one that is fitted, with its label smoothing; the calibrated loss is the log loss
that a temperature would leave.
"""
