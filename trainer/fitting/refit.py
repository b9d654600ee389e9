"""The refit: a second network, fitted to all rows in parallel to the first, the leader.

The leader's validation rows choose the epoch. The refit has no rows to measure itself by, so it keeps
a snapshot of each epoch that may still turn out to be the leader's best.
"""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from ..network.sequential import Epoch, Sequential
from .early_stopping import EarlyStopping
from .fit import FitConfig, NetworkFit, Rows
from .history import History


class Refit:
    """A fit to all rows that ends with the weights of the leader's best epoch.

    Args:
        network: the second network; the refit changes it.
        rows: all rows.
        config: epochs and batch size.
        rng: shuffles the rows.
        leader: the fit whose validation rows choose the epoch.

    Attributes:
        network: as given.
        succeeded: whether the network has the weights of the leader's best epoch.
    """

    def __init__(
        self,
        network: Sequential,
        rows: Rows,
        config: FitConfig,
        rng: np.random.Generator,
        leader: NetworkFit,
    ) -> None:
        self.network, self.succeeded = network, False
        self._rows, self._config, self._rng, self._leader = rows, config, rng, leader
        self._leader_ended = Event()
        self._snapshots: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}

    def run_leader(self, halt: Event) -> History:
        """Run the leader's fit and return its history."""
        try:
            return self._leader.run(halt)
        finally:
            self._leader_ended.set()

    def run(self, halt: Event) -> None:
        """Fit to all rows, and restore the weights of the leader's best epoch.

        Args:
            halt: another thread sets it to end the fit, which then has not succeeded.

        Raises:
            TrainingError: a loss was not finite before the leader's best epoch.
        """
        try:
            self._train(halt)
        except KeyboardInterrupt:
            return
        except TrainingError:
            # If the best epoch came before the failure, only timing decided that this fit went on.
            self._leader_ended.wait()
            if self._best_epoch() not in self._snapshots:
                raise
        self._leader_ended.wait()
        self._restore_best()

    def _train(self, halt: Event) -> None:
        def check_halt(_count: int) -> None:
            if halt.is_set():
                raise KeyboardInterrupt

        self.network.fit(
            *self._rows,
            epochs=self._config.epochs,
            batch_size=self._config.batch_size,
            rng=self._rng,
            callbacks=(self._take_snapshot,),
            on_batch=check_halt,
        )

    def _take_snapshot(self, epoch: Epoch) -> bool:
        """Keep the epoch's weights; return whether the leader's best epoch is known and done."""
        self._snapshots[epoch.number] = (
            self.network.parameters.copy(),
            self.network.statistics.copy(),
        )
        # Read in this order: every epoch up to `latest` is then decided when `best` is read.
        ended, latest = self._leader_ended.is_set(), self._stopping.latest
        best = self._best_epoch()
        for number in [n for n in self._snapshots if n < best or best < n <= latest]:
            del self._snapshots[number]
        return ended and epoch.number >= best

    def _restore_best(self) -> None:
        snapshot = self._snapshots.get(self._best_epoch())
        if snapshot:
            self.network.parameters[...], self.network.statistics[...] = snapshot
            self.succeeded = True

    @property
    def _stopping(self) -> EarlyStopping:
        return self._leader.stopping

    def _best_epoch(self) -> int:
        """Number of the leader's best epoch so far; 0 before its first."""
        return self._stopping.best.number if self._stopping.best else 0
