"""A whole fit: mini-batches, early stopping, progress, and a clean end by Ctrl-C."""

from __future__ import annotations

from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from trainer.fitting.early_stopping import EarlyStopping
from trainer.fitting.history import History
from trainer.fitting.progress import Progress
from trainer.network.sequential import Callback, Epoch, Sequential

Rows = tuple[NDArray[Any], NDArray[np.int64]]
"""Network inputs (rows, inputs) and class indices (rows,)."""

PATIENCE, ALL_EPOCHS, INTERRUPTION = "patience", "all epochs", "interruption"
"""What may end a fit."""


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
    """Fit a compiled, built network; it ends with its best weights, whatever ended the fit.

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
    """
    stopping = EarlyStopping(network, patience)
    seen: list[Epoch] = []

    def record(epoch: Epoch) -> bool:
        seen.append(epoch)
        return False

    with Progress(epochs, stream) as progress:
        try:
            network.fit(
                *training,
                epochs=epochs,
                batch_size=batch_size,
                rng=rng,
                validation_data=validation,
                callbacks=(record, stopping, progress, *callbacks),
            )
            stopped_by = ALL_EPOCHS if len(seen) == epochs else PATIENCE
        except KeyboardInterrupt:
            if stopping.best is None:
                raise
            stopped_by = INTERRUPTION
    stopping.restore()
    best_epoch = stopping.best.number if stopping.best else 0
    return History.of(seen, best_epoch, stopped_by)
