"""Counters, and commands, that all workers share: one anonymous memory map made before the fork.

Each worker has a slot and is the only one to write there, so counting takes no lock between
processes, and a scrape reads every slot at any moment. A worker that takes over the slot of a dead
one goes on from its totals: they never go back, and nothing is left on disk. (prometheus_client's
own multi-process mode keeps a file per worker; a worker killed at the wrong moment leaves an empty
one, after which every scrape fails: prometheus/client_python#1199.)

A slot holds the keys of its series as text and their values as doubles:

    header      8 x int64    alive, bytes of keys, number of values, series refused for want of room,
                             connections open (-1 where none is taken), stamp of the newest command
                             given here, stamp of the newest one followed, process id (0 before it
                             is known)
    keys        one JSON line per series: [kind, metric, [label values], number of values]
    values      float64, in the order of the keys

A series is added by writing its key and values first and the header's lengths last, and an aligned
8-byte store is whole or not done at all, so a reader never sees half a series or half a number.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SLOTS = 64
"""Workers at one time at most, those being replaced included."""

KEY_BYTES = 2 * 2**20
VALUES = 256 * 1024
"""Room per slot, of some 25,000 series. Untouched pages of an anonymous map take no memory."""

KEPT_BACK = 0.25
"""The part of it that is for others than ``details``, of which there may be any number."""

_HEADER_BYTES = 64
_SLOT_BYTES = _HEADER_BYTES + KEY_BYTES + 8 * VALUES
_ALIVE, _KEY_LENGTH, _VALUE_COUNT, _REFUSED, _CONNECTIONS, _GIVEN, _FOLLOWED, _PID = range(8)

_TAKES_NONE = -1

COUNTER, GAUGE = "counter", "gauge"
"""A counter outlives its worker; a gauge is the worker's own, and ends with it."""


@dataclass(frozen=True)
class Series:
    """One series as a scrape sees it: what it is called and its values."""

    kind: str
    metric: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


class SharedState:
    """The shared map; made once, before the fork.

    Args:
        slots: how many workers there can be at one time.

    Attributes:
        slots: the same.
        maker: the id of the process that made it, which starts the workers.
        made: when, in seconds since 1970.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots, self.maker, self.made = slots, os.getpid(), time.time()
        self._map = mmap.mmap(-1, slots * _SLOT_BYTES)  # anonymous and shared: forks see it
        self._headers = [self._header(slot) for slot in range(slots)]

    def free_slot(self) -> int | None:
        """A slot that no living worker has, or None. Only the parent of the workers asks."""
        return next((s for s in range(self.slots) if not self._header(s)[_ALIVE]), None)

    def take(self, slot: int) -> None:
        """Mark a slot as some worker's, by the parent, before the fork; its gauges begin at 0."""
        values = self._values(slot)
        for start, width, kind, _, _ in self._placed(slot):
            if kind == GAUGE:
                values[start : start + width] = memoryview(bytes(8 * width)).cast("d")
        self._header(slot)[_CONNECTIONS] = _TAKES_NONE  # not before it says so
        self._header(slot)[_FOLLOWED] = 0
        self._header(slot)[_PID] = 0  # the one before has ended
        self._header(slot)[_ALIVE] = 1

    def release(self, slot: int) -> None:
        """Mark a slot as nobody's: its counters stay, its gauges are no longer read."""
        self._header(slot)[_ALIVE] = 0

    def worker(self, slot: int) -> WorkerCounters:
        """The writing end of a slot, for the worker that owns it."""
        return WorkerCounters(self, slot)

    def read(self) -> Iterator[Series]:
        """Every series of every slot; gauges of living workers alone."""
        for slot in range(self.slots):
            alive, values = self._header(slot)[_ALIVE], self._values(slot)
            for start, width, kind, metric, labels in self._placed(slot):
                if alive or kind == COUNTER:
                    yield Series(kind, metric, labels, tuple(values[start : start + width]))

    def labels_of(self, metric: str) -> set[tuple[str, ...]]:
        """The label values that any worker, dead or alive, ever counted a metric under."""
        return {series.labels for series in self.read() if series.metric == metric}

    def workers_alive(self) -> int:
        """How many slots belong to living workers."""
        return sum(self._header(slot)[_ALIVE] for slot in range(self.slots))

    def processes(self) -> set[int]:
        """The ids of the process that made the map and of the living workers."""
        headers = self._headers
        return {self.maker} | {h[_PID] for h in headers if h[_ALIVE] and h[_PID]}

    def connections(self) -> int:
        """How many connections living workers have open that take some."""
        return sum(self._taking())

    def least_connections(self) -> int:
        """The fewest that any worker has open that takes some; 0 where none does."""
        return min(self._taking(), default=0)

    def _taking(self) -> list[int]:
        return [
            header[_CONNECTIONS]
            for header in self._headers
            if header[_ALIVE] and header[_CONNECTIONS] != _TAKES_NONE
        ]

    def newest_command(self) -> int:
        """The stamp of the newest command given in any slot, also by a worker that has ended."""
        return max(header[_GIVEN] for header in self._headers)

    def followed(self) -> int:
        """The stamp up to which every living worker has followed the commands."""
        return min((header[_FOLLOWED] for header in self._headers if header[_ALIVE]), default=0)

    def refused(self) -> int:
        """Series that found no room, over all slots."""
        return sum(self._header(slot)[_REFUSED] for slot in range(self.slots))

    def _header(self, slot: int) -> memoryview[int]:
        start = slot * _SLOT_BYTES
        return memoryview(self._map)[start : start + _HEADER_BYTES].cast("q")

    def _placed(self, slot: int) -> Iterator[tuple[int, int, str, str, tuple[str, ...]]]:
        """The series of a slot: first value, number of values, kind, metric, label values."""
        at = slot * _SLOT_BYTES + _HEADER_BYTES
        start = 0
        for line in self._map[at : at + self._header(slot)[_KEY_LENGTH]].splitlines():
            kind, metric, labels, width = json.loads(line)
            yield start, width, kind, metric, tuple(labels)
            start += width

    def _values(self, slot: int) -> memoryview[float]:
        start = slot * _SLOT_BYTES + _HEADER_BYTES + KEY_BYTES
        return memoryview(self._map)[start : start + 8 * VALUES].cast("d")


class WorkerCounters:
    """One worker's slot, to write to. Safe between threads of the worker, which makes it itself.

    Args:
        shared: the map.
        slot: the worker's slot; what an earlier owner counted there is gone on from.
    """

    def __init__(self, shared: SharedState, slot: int) -> None:
        self._shared, self._slot = shared, slot
        self._header = shared._header(slot)  # noqa: SLF001 - the map's other half
        self._values = shared._values(slot)  # noqa: SLF001 - the same
        self._starts: dict[tuple[str, str, tuple[str, ...]], int | None] = {}
        self._lock = threading.Lock()
        self._header[_PID] = os.getpid()
        end = 0
        for start, width, kind, metric, labels in shared._placed(slot):  # noqa: SLF001
            self._starts[kind, metric, labels] = start
            end = start + width
        # An owner killed while it added a series may have claimed values that no key names.
        self._header[_VALUE_COUNT] = end

    @property
    def slot(self) -> int:
        """The slot's number."""
        return self._slot

    @property
    def shared(self) -> SharedState:
        """The map of all workers."""
        return self._shared

    def tell(self, connections: int | None) -> None:
        """Tell how many connections are open; None where no more are taken."""
        self._header[_CONNECTIONS] = _TAKES_NONE if connections is None else connections

    def least(self) -> int:
        """As `SharedState.least_connections`."""
        return self._shared.least_connections()

    def tell_given(self, stamp: int) -> None:
        """Tell that a command was given, after what it says was written."""
        self._header[_GIVEN] = stamp

    def tell_followed(self, stamp: int) -> None:
        """Tell that every command up to this stamp was followed."""
        self._header[_FOLLOWED] = stamp

    def labels_of(self, metric: str) -> set[tuple[str, ...]]:
        """As `SharedState.labels_of`: of all workers."""
        return self._shared.labels_of(metric)

    def series(
        self,
        kind: str,
        metric: str,
        labels: Sequence[str],
        width: int = 1,
        *,
        detail: bool = False,
    ) -> int | None:
        """Where a series' first value stands, made if need be; None when there is no room.

        Args:
            kind: ``COUNTER`` or ``GAUGE``.
            metric: its name.
            labels: their values.
            width: how many values it has.
            detail: whether it is one of many, which may not take the room of the others.
        """
        key = (kind, metric, tuple(labels))
        try:
            return self._starts[key]
        except KeyError:
            return self._made(key, width, 1 - KEPT_BACK if detail else 1.0)

    def add(self, start: int | None, amount: float = 1.0) -> None:
        """Add to the value at ``start``."""
        if start is not None:
            with self._lock:
                self._values[start] += amount

    def add_all(self, changes: Sequence[tuple[int | None, float]]) -> None:
        """Add to several values at once: one turn of the lock."""
        values = self._values
        with self._lock:
            for start, amount in changes:
                if start is not None:
                    values[start] += amount

    def set(self, start: int | None, value: float) -> None:
        """Set the value at ``start``."""
        if start is not None:
            self._values[start] = value

    def raise_to(self, start: int | None, value: float) -> None:
        """Set the value at ``start`` unless it is more already."""
        if start is not None:
            with self._lock:
                self._values[start] = max(self._values[start], value)

    def _made(self, key: tuple[str, str, tuple[str, ...]], width: int, part: float) -> int | None:
        with self._lock:
            if key in self._starts:
                return self._starts[key]
            kind, metric, labels = key
            line = json.dumps([kind, metric, labels, width]).encode() + b"\n"
            length, start = self._header[_KEY_LENGTH], self._header[_VALUE_COUNT]
            if length + len(line) > part * KEY_BYTES or start + width > part * VALUES:
                self._header[_REFUSED] += 1
                self._starts[key] = None  # counted once, and not tried again
                return None
            at = self._slot * _SLOT_BYTES + _HEADER_BYTES + length
            self._shared._map[at : at + len(line)] = line  # noqa: SLF001 - the map's other half
            self._header[_VALUE_COUNT] = start + width
            self._header[_KEY_LENGTH] = length + len(line)
            self._starts[key] = start
            return start
