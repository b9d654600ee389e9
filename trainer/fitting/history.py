"""What a fit came to, epoch by epoch, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainer.network.sequential import Epoch


@dataclass(frozen=True)
class History:
    """Figures of each epoch, all (epochs,).

    Attributes:
        loss: mean over the epoch's batches.
        validation_loss: after each epoch.
        validation_accuracy: after each epoch.
        learning_rate: at each epoch's last step.
        seconds: each epoch's.
        best_epoch: the one whose weights were restored, from 1.
        stopped_by: "patience", "all epochs" or "interruption".
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
        """The epochs' figures as arrays."""
        named = {
            name: np.array([getattr(epoch, name) for epoch in epochs], dtype=np.float64)
            for name in (
                *("loss", "validation_loss", "validation_accuracy"),
                *("learning_rate", "seconds"),
            )
        }
        return cls(**named, best_epoch=best_epoch, stopped_by=stopped_by)
