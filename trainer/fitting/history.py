"""The figures of a fit, epoch by epoch, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Epoch

PATIENCE = "patience"
EPOCH_LIMIT = "the epoch limit"
INTERRUPTION = "interruption"
CALLBACK = "a callback"
"""What stops a fit; each completes the words "stopped by"."""


@dataclass(frozen=True)
class History:
    """Figures of each finished epoch, float64 (epochs,).

    Attributes:
        loss: mean training loss.
        validation_loss: validation loss after the epoch; NaN without validation rows.
        validation_accuracy: validation accuracy after the epoch, from 0 to 1; NaN without rows.
        learning_rate: learning rate of the epoch's last step.
        seconds: duration of the epoch.
        best_epoch: number of the epoch whose weights were restored, from 1.
        stopped_by: one of the four constants above.
    """

    loss: NDArray[np.float64]
    validation_loss: NDArray[np.float64]
    validation_accuracy: NDArray[np.float64]
    learning_rate: NDArray[np.float64]
    seconds: NDArray[np.float64]
    best_epoch: int
    stopped_by: str

    @classmethod
    def of(cls, epochs: Sequence[Epoch], best_epoch: int, stopped_by: str) -> Self:
        """Return the history of these epochs."""
        figures = {
            # float64 turns None into NaN.
            name: np.array([getattr(epoch, name) for epoch in epochs], dtype=np.float64)
            for name in (
                *("loss", "validation_loss", "validation_accuracy"),
                *("learning_rate", "seconds"),
            )
        }
        return cls(**figures, best_epoch=best_epoch, stopped_by=stopped_by)
