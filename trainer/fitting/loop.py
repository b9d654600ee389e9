"""A whole fit: mini-batches, early stopping, progress, and a clean end by Ctrl-C."""

from __future__ import annotations

from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from trainer.fitting.early_stopping import EarlyStopping
from trainer.fitting.history import ALL_EPOCHS, CALLBACK, INTERRUPTION, PATIENCE, History
from trainer.fitting.progress import Progress
from trainer.network.sequential import Callback, Epoch, Sequential

__all__ = ["ALL_EPOCHS", "CALLBACK", "INTERRUPTION", "PATIENCE", "Rows", "fit_network"]

Rows = tuple[NDArray[Any], NDArray[np.int64]]
"""Network inputs (rows, inputs) and class indices (rows,)."""


def fit_network(
    network: Sequential,
    training: Rows,
    validation: Rows,
    *,
    epochs: int,
    batch_size: int,
    patience: int,
    rng: np.random.Generator,
    stream: TextIO,
    callbacks: tuple[Callback, ...] = (),
) -> History:
    """Fit a compiled network; it ends with its best weights, whatever ended the fit.

    Args:
        network: is changed.
        training: fitted to.
        validation: measured by.
        epochs: at most.
        batch_size: rows in a step.
        patience: epochs without a better validation loss before it stops.
        rng: shuffles.
        stream: where progress is drawn, if it is a terminal.
        callbacks: told of each epoch after the others.

    Raises:
        TrainingError: when the loss is no longer a finite number.
        KeyboardInterrupt: by Ctrl-C before the first epoch has ended.
        ValueError: for arrays or numbers that can't be used.
    """
    stopping = EarlyStopping(network, patience)
    seen: list[Epoch] = []

    def record(epoch: Epoch) -> bool:
        seen.append(epoch)
        return False

    with Progress(epochs, len(training[0]), stream) as progress:
        try:
            network.fit(
                *training,
                epochs=epochs,
                batch_size=batch_size,
                rng=rng,
                validation_data=validation,
                # Recorded first: whatever is the best epoch is then in the history.
                callbacks=(record, stopping, progress, *callbacks),
                on_batch=progress.advance,
            )
            ended_early = PATIENCE if stopping.exhausted else CALLBACK
            stopped_by = ALL_EPOCHS if len(seen) == epochs else ended_early
        except KeyboardInterrupt:
            if stopping.best is None:
                raise
            stopped_by = INTERRUPTION
        finally:
            stopping.restore()
    best = stopping.best
    return History.of(seen, best.number if best else 0, stopped_by)
