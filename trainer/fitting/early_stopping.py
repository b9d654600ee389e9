"""Early stopping: the best weights are kept, and training ends when nothing gets better."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from trainer.network.sequential import Epoch, Sequential


class EarlyStopping:
    """A callback that watches the validation loss.

    Args:
        network: whose weights are kept.
        patience: epochs in a row without a better loss before it asks to stop, at least 1.
        min_delta: by how much a loss must be lower to count as better, at least 0.

    Attributes:
        best: the epoch whose weights are kept; None before the first.
        exhausted: whether patience has come to its end.

    Raises:
        ValueError: for a patience below 1 or a min_delta below 0.
    """

    def __init__(self, network: Sequential, patience: int, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience is {patience}, expected at least 1")
        if not min_delta >= 0:
            raise ValueError(f"min_delta is {min_delta}, expected at least 0")
        self._network, self._patience, self._min_delta = network, patience, min_delta
        self._kept: tuple[Epoch, NDArray[Any], NDArray[Any]] | None = None
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
        if self.best is None or _loss(epoch) < _loss(self.best) - self._min_delta:
            # One assignment, so that Ctrl-C can't leave an epoch beside another one's weights.
            self._kept = epoch, self._network.parameters.copy(), self._network.statistics.copy()
            return False
        self.exhausted = epoch.number - self.best.number >= self._patience
        return self.exhausted

    def restore(self) -> None:
        """Put the best weights and statistics back, if an epoch has ended yet."""
        if self._kept:
            _, self._network.parameters[...], self._network.statistics[...] = self._kept


def _loss(epoch: Epoch) -> float:
    if epoch.validation_loss is None:
        raise ValueError("early stopping needs a validation loss: fit with validation_data")
    return epoch.validation_loss
