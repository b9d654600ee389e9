"""The fit of one network: mini-batches, early stopping, progress bar and a clean end by Ctrl-C."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Any, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Callback, Epoch, Sequential
from .early_stopping import CRITERIA, EarlyStopping, patience_from_half
from .history import CALLBACK, EPOCH_LIMIT, INTERRUPTION, PATIENCE, History
from .progress import Progress

Rows = tuple[NDArray[Any], NDArray[np.int64]]
"""Network inputs (rows, inputs) and class indices (rows,)."""


@dataclass(frozen=True)
class FitConfig:
    """How networks are fitted.

    Attributes:
        epochs: the largest number of passes over the training rows.
        batch_size: rows in a step.
        patience: epochs without improvement before the fit stops; 0 for `patience_from_half`.
        select: the validation criterion that chooses the epoch, one of `CRITERIA`.
        calibrate: whether each network gets a temperature.
        refit: whether a second network, fitted to all rows, replaces a single member.
    """

    epochs: int
    batch_size: int
    patience: int
    select: str = "loss"
    calibrate: bool = True
    refit: bool = False


@dataclass(frozen=True)
class SplitRows:
    """Rows of one fit, with the indices of its training and validation rows.

    Attributes:
        x: network inputs, (rows, inputs).
        y: class indices, (rows,).
        training: indices of the training rows, (training rows,).
        validation: indices of the validation rows, (validation rows,).
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    training: NDArray[np.int64]
    validation: NDArray[np.int64]

    @classmethod
    def holding_out(cls, rows: Rows, validation: NDArray[np.int64]) -> Self:
        """Return the rows with ``validation`` held out and all others for training."""
        x, y = rows
        return cls(x, y, np.setdiff1d(np.arange(len(y)), validation), validation)

    @property
    def validation_rows(self) -> Rows:
        """A copy of the validation rows."""
        return self.x[self.validation], self.y[self.validation]


class NetworkFit:
    """A fit of one compiled network.

    Args:
        network: the network; the fit changes it.
        rows: training and validation rows.
        config: epochs, batch size, patience and criterion.
        rng: shuffles the training rows.
        stream: the terminal of the progress bar; None for no bar.
        callbacks: called after early stopping with each epoch.

    Attributes:
        network: as given.
        rows: as given.
        stopping: the early stopping of this fit.
    """

    def __init__(
        self,
        network: Sequential,
        rows: SplitRows,
        config: FitConfig,
        rng: np.random.Generator,
        stream: TextIO | None = None,
        callbacks: tuple[Callback, ...] = (),
    ) -> None:
        self.network, self.rows = network, rows
        self.stopping = early_stopping(network, config, rows.y[rows.validation])
        self._config, self._rng, self._stream = config, rng, stream
        self._callbacks = callbacks

    def run(self, halt: Event | None = None) -> History:
        """Fit the network, restore its best weights and return the history.

        Args:
            halt: another thread sets it to end the fit as Ctrl-C does.

        Raises:
            TrainingError: a loss is not finite.
            KeyboardInterrupt: Ctrl-C or ``halt`` before the end of the first epoch.
            ValueError: arrays or numbers are invalid.
        """
        epochs: list[Epoch] = []
        try:
            self._train(epochs, halt)
            stopped_by = self._stopped_by(len(epochs))
        except KeyboardInterrupt:
            if self.stopping.best is None:
                raise
            stopped_by = INTERRUPTION
        finally:
            self.stopping.restore()
        best = self.stopping.best
        return History.of(epochs, best.number if best else 0, stopped_by)

    def _train(self, epochs: list[Epoch], halt: Event | None) -> None:
        """Run the epochs and append each to ``epochs``."""

        def record(epoch: Epoch) -> bool:
            epochs.append(epoch)
            return False

        def advance(count: int) -> None:
            if halt and halt.is_set():
                raise KeyboardInterrupt
            progress.advance(count)

        config, rows = self._config, self.rows
        with Progress(config.epochs, len(rows.training), self._stream) as progress:
            self.network.fit(
                *(rows.x, rows.y),
                epochs=config.epochs,
                batch_size=config.batch_size,
                rng=self._rng,
                rows=rows.training,
                validation_data=rows.validation_rows,
                # Recorded first, so that the history always holds the best epoch.
                callbacks=(record, self.stopping, progress, *self._callbacks),
                on_batch=advance,
            )

    def _stopped_by(self, epochs: int) -> str:
        if epochs == self._config.epochs:
            return EPOCH_LIMIT
        return PATIENCE if self.stopping.exhausted else CALLBACK


def early_stopping(
    network: Sequential, config: FitConfig, labels: NDArray[np.int64]
) -> EarlyStopping:
    """Return the early stopping that ``config`` asks for.

    Args:
        network: the network to watch.
        config: patience and criterion.
        labels: class indices of the validation rows, (rows,).
    """
    patience = config.patience or patience_from_half(config.epochs)
    return EarlyStopping(network, patience, criterion=CRITERIA[config.select](network, labels))
