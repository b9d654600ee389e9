"""What an operator asks of every worker: to load a model, or to unload it.

A command is given in the slot of the worker that was asked, in the map that all share. The newest
one of each model counts, whoever gave it: so it holds for workers that start later too, and when the
one that gave it is gone. Each worker looks for commands several times a second, follows them, and
says how far it has come.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from .shared_state import COUNTER, WorkerCounters

COMMAND = "command"
"""Where commands stand in the shared map: the stamp of the newest about a model, negative where it
is to be unloaded; no metric."""

NOT_GIVEN = (0.0,)
"""The value of a command's place before the command stands in it."""

LOOK_S = 0.01
"""How often is looked whether the others have followed."""


class Command(NamedTuple):
    """To load a model, or to unload it: when, on the scale that all workers share."""

    stamp: int
    load: bool


class Commands:
    """One worker's view of the commands.

    Args:
        counters: the worker's slot.
    """

    def __init__(self, counters: WorkerCounters) -> None:
        self._counters, self._giving = counters, threading.Lock()

    def newest(self) -> int:
        """The stamp of the newest command; 0 where none was given. Quick."""
        return self._counters.shared.newest_command()

    def all(self) -> dict[str, Command]:
        """The newest command about each model."""
        newest: dict[str, Command] = {}
        for series in self._counters.shared.read():
            if series.metric == COMMAND and series.values != NOT_GIVEN:
                (name,), (signed,) = series.labels, series.values
                command = Command(abs(int(signed)), load=signed > 0)
                if name not in newest or newest[name].stamp < command.stamp:
                    newest[name] = command
        return newest

    def give(self, name: str, *, load: bool) -> int | None:
        """Ask every worker to load or unload a model.

        Args:
            name: the model's; one that there is, for each takes room for ever.
            load: False to unload it.

        Returns:
            The command's stamp; None where there was no room for it.
        """
        at = self._counters.series(COUNTER, COMMAND, [name])
        if at is None:
            return None
        with self._giving:  # the newest stamp of a slot never goes back
            stamp = 0
            # Whoever has followed a newer command than this would never look at this one.
            while not stamp or self.newest() > stamp:
                stamp = self._next_stamp()
                self._counters.set(at, float(stamp if load else -stamp))
                self._counters.tell_given(stamp)
        return stamp

    def _next_stamp(self) -> int:
        """A stamp that is newer than all others, and that no other slot gives.

        The clock is the same for all processes and never goes back; doubles hold its microseconds
        with a slot's number behind them for a century.
        """
        slots = self._counters.shared.slots
        last = self.newest() // slots
        return max(time.monotonic_ns() // 1000, last + 1) * slots + self._counters.slot

    def follow(self, stamp: int) -> None:
        """Tell that this worker has followed every command up to a stamp."""
        self._counters.tell_followed(stamp)

    def wait(self, stamp: int, seconds: float) -> bool:
        """Wait until all living workers have followed a command; False when that took too long."""
        end = time.monotonic() + seconds
        while self._counters.shared.followed() < stamp:
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK_S)
        return True
