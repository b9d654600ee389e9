"""Operators' commands to every worker: load a model, or unload it.

The worker that receives the request writes the command into its slot of the shared map. The newest
command of each model counts, whichever worker gave it. So a command also holds for workers that
start later, and after the worker that gave it has ended. Each worker looks for commands several
times a second, follows them, and reports the newest one it has followed.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from .shared_state import COMMANDS, FOLLOWED_COMMAND, NEWEST_COMMAND, WorkerSlot

NOT_GIVEN = 0
"""The value of an entry before its first command is written."""

POLL_S = 0.01
"""Seconds between two checks whether the other workers have followed."""


class Command(NamedTuple):
    """One command about a model.

    Attributes:
        stamp: its time, on the scale of `CommandBus`; unique.
        load: True to load the model, False to unload it.
    """

    stamp: int
    load: bool


class CommandBus:
    """One worker's view of the commands.

    A model's entry holds the stamp of its newest command, negative for an unload.

    Args:
        slot: the worker's slot.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot, self._shared = slot, slot.shared
        self._table, self._giving = slot.tables[COMMANDS], threading.Lock()

    def newest(self) -> int:
        """Return the stamp of the newest command; 0 without a command. Quick."""
        return max(header[NEWEST_COMMAND] for header in self._shared.headers)

    def all(self) -> dict[str, Command]:
        """Return the newest command about each model, by the model's name."""
        newest: dict[str, Command] = {}
        for (name,), (signed,) in self._shared.entries(COMMANDS):
            if signed == NOT_GIVEN:
                continue
            command = Command(abs(int(signed)), load=signed > 0)
            if name not in newest or newest[name].stamp < command.stamp:
                newest[name] = command
        return newest

    def give(self, name: str, *, load: bool) -> int | None:
        """Command every worker to load or unload a model.

        Args:
            name: an existing model's name: each name takes room until the service ends.
            load: False to unload it.

        Returns:
            The command's stamp; None where the table has no room.
        """
        index = self._table.find_or_add((name,))
        if index is None:
            return None
        with self._giving:  # the newest stamp of a slot never goes back
            stamp = 0
            # A worker that has followed a newer command would never look at this one.
            while not stamp or self.newest() > stamp:
                stamp = self._next_stamp()
                self._table.values[index] = float(stamp if load else -stamp)
                self._slot.header[NEWEST_COMMAND] = stamp  # last: now the others look
        return stamp

    def _next_stamp(self) -> int:
        """Return a stamp that is newer than all others and that no other slot gives.

        The clock is the same for all processes and never goes back. A double holds its microseconds
        and the slot's number exactly for a century.
        """
        slots = self._shared.slots
        last = self.newest() // slots
        return max(time.monotonic_ns() // 1000, last + 1) * slots + self._slot.number

    def report_followed(self, stamp: int) -> None:
        """Report that this worker has followed every command up to a stamp."""
        self._slot.header[FOLLOWED_COMMAND] = stamp

    def followed(self) -> int:
        """Return the stamp up to which every living worker has followed the commands."""
        return min((header[FOLLOWED_COMMAND] for header in self._shared.living()), default=0)

    def wait(self, stamp: int, seconds: float) -> bool:
        """Wait until all living workers have followed a command; return False on a timeout."""
        end = time.monotonic() + seconds
        while self.followed() < stamp:
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_S)
        return True
