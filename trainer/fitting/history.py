"""What a fit came to, epoch by epoch, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Epoch

PATIENCE = "patience"
ALL_EPOCHS = "all epochs"
INTERRUPTION = "interruption"
CALLBACK = "a callback"
"""What may end a fit: "stopped by ..."."""


@dataclass(frozen=True)
class History:
    """Figures of each finished epoch, all float64 (epochs,).

    Attributes:
        loss: mean over the epoch's rows.
        validation_loss: after each epoch; NaN without validation rows.
        validation_accuracy: the same, from 0 to 1.
        learning_rate: at each epoch's last step.
        seconds: each epoch's.
        best_epoch: the one whose weights were restored, from 1.
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
        """The epochs' figures as arrays."""
        named = {
            # float64 makes NaN of None.
            name: np.array([getattr(epoch, name) for epoch in epochs], dtype=np.float64)
            for name in (
                *("loss", "validation_loss", "validation_accuracy"),
                *("learning_rate", "seconds"),
            )
        }
        return cls(**named, best_epoch=best_epoch, stopped_by=stopped_by)
