"""A whole fit: mini-batches, early stopping, progress, and a clean end by Ctrl-C."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Callback, Epoch, Sequential
from .early_stopping import CRITERIA, EarlyStopping, patient_for_half
from .history import ALL_EPOCHS, CALLBACK, INTERRUPTION, PATIENCE, History
from .progress import Progress

__all__ = ["ALL_EPOCHS", "CALLBACK", "INTERRUPTION", "PATIENCE", "FitConfig", "Rows", "fit_network"]

Rows = tuple[NDArray[Any], NDArray[np.int64]]
"""Network inputs (rows, inputs) and class indices (rows,)."""


@dataclass(frozen=True)
class FitConfig:
    """How a network is fitted.

    Attributes:
        epochs: at most.
        batch_size: rows in a step.
        patience: epochs without a better figure of the validation rows before it stops; 0 for
            as long as `patient_for_half` has it.
        select: that figure, one of `CRITERIA`.
    """

    epochs: int
    batch_size: int
    patience: int
    select: str = "loss"


def fit_network(
    network: Sequential,
    training: Rows,
    validation: Rows,
    plan: FitConfig,
    rng: np.random.Generator,
    stream: TextIO | None = None,
    *,
    rows: NDArray[np.int64] | None = None,
    stopping: EarlyStopping | None = None,
    callbacks: tuple[Callback, ...] = (),
    halt: Event | None = None,
) -> History:
    """Fit a compiled network; it ends with its best weights, whatever ended the fit.

    Args:
        network: is changed.
        training: fitted to.
        validation: measured by.
        plan: how.
        rng: shuffles.
        stream: where progress is drawn, if it is a terminal.
        rows: places of the training rows to be fitted to; all where None.
        stopping: of this network; made by the plan where None.
        callbacks: told of each epoch after the others.
        halt: set by another thread, ends the fit like Ctrl-C.

    Raises:
        TrainingError: when the loss is no longer a finite number.
        KeyboardInterrupt: by Ctrl-C before the first epoch has ended.
        ValueError: for arrays or numbers that can't be used.
    """
    stopping = stopping or early_stopping(network, plan, validation[1])
    seen: list[Epoch] = []

    def record(epoch: Epoch) -> bool:
        seen.append(epoch)
        return False

    with Progress(plan.epochs, len(training[0] if rows is None else rows), stream) as progress:

        def advance(count: int) -> None:
            if halt and halt.is_set():
                raise KeyboardInterrupt
            progress.advance(count)

        try:
            network.fit(
                *training,
                epochs=plan.epochs,
                batch_size=plan.batch_size,
                rng=rng,
                rows=rows,
                validation_data=validation,
                # Recorded first: whatever is the best epoch is then in the history.
                callbacks=(record, stopping, progress, *callbacks),
                on_batch=advance,
            )
            ended_early = PATIENCE if stopping.exhausted else CALLBACK
            stopped_by = ALL_EPOCHS if len(seen) == plan.epochs else ended_early
        except KeyboardInterrupt:
            if stopping.best is None:
                raise
            stopped_by = INTERRUPTION
        finally:
            stopping.restore()
    best = stopping.best
    return History.of(seen, best.number if best else 0, stopped_by)


def early_stopping(
    network: Sequential, plan: FitConfig, labels: NDArray[np.int64]
) -> EarlyStopping:
    """The plan's early stopping of a network, measured by validation rows with these labels."""
    patience = plan.patience or patient_for_half(plan.epochs)
    return EarlyStopping(network, patience, criterion=CRITERIA[plan.select](network, labels))
