"""Early stopping: the best weights are kept, and training ends when nothing gets better."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from trainer.network.sequential import Epoch, Sequential


class EarlyStopping:
    """A callback that watches the validation loss.

    Args:
        network: whose weights are kept.
        patience: epochs in a row without a better loss before it asks to stop.
        min_delta: by how much a loss must be lower to count as better.

    Attributes:
        best: the epoch whose weights are kept; None before the first.
    """

    def __init__(self, network: Sequential, patience: int, min_delta: float = 0.0) -> None:
        self._network, self._patience, self._min_delta = network, patience, min_delta
        self._weights: tuple[NDArray[Any], NDArray[Any]] | None = None
        self.best: Epoch | None = None

    def __call__(self, epoch: Epoch) -> bool:
        """Keep the weights if they are the best so far; whether patience is at its end."""
        if self.best is None or _loss(epoch) < _loss(self.best) - self._min_delta:
            self.best, self._weights = epoch, self._network.get_weights()
        return epoch.number - self.best.number >= self._patience

    def restore(self) -> None:
        """Put the best weights back."""
        if self._weights is not None:
            self._network.set_weights(self._weights)


def _loss(epoch: Epoch) -> float:
    if epoch.validation_loss is None:
        raise ValueError("early stopping needs validation rows")
    return epoch.validation_loss
