"""Memory that all workers share: one anonymous map, made before the workers are forked.

Each worker owns one slot and is the only process that writes there. So writing takes no lock
between processes, and any process may read every slot at any moment. Small classes give each use of
the map its own view:

    metric_store        counters and gauges
    model_commands      operators' commands to load or unload a model
    expected_models     the models that a successor needs before it is ready
    connection_share    open connections of each worker
    process_list        process ids

A slot is a header and three tables of named values:

    header      16 x int64    ALIVE, PID, CONNECTIONS, NEWEST_COMMAND, FOLLOWED_COMMAND; then for each
                              table KEY_LENGTH (bytes), VALUE_COUNT and REJECTED (entries without room)
    table       keys          one JSON line per entry: [number of values, is transient, *key]
                values        float64, in the order of the keys

A writer stores the key first and the lengths in the header last. An aligned 8-byte store is either
complete or not done, so a reader never sees half an entry or half a number, even when the writer is
killed. The worker that takes over the slot of a dead one continues from its totals: counters never
go back, and nothing is left on disk. (prometheus_client's multi-process mode keeps a file per
worker. A worker killed at the wrong moment leaves an empty file, after which every scrape fails:
prometheus/client_python#1199.)
"""

from __future__ import annotations

import json
import mmap
import os
import threading
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

SLOTS = 64
"""Most workers at one time, including workers that are being replaced."""

ALIVE, PID, CONNECTIONS, NEWEST_COMMAND, FOLLOWED_COMMAND = range(5)
"""Header fields: 1 for a living worker; its process id (0 before it is known); its open connections
(``NOT_ACCEPTING`` for none accepted); stamps of the newest command given and followed here."""

NOT_ACCEPTING = -1

_FIRST_LENGTH, _LENGTHS = 5, 3
_KEY_LENGTH, _VALUE_COUNT, _REJECTED = range(_LENGTHS)
_HEADER_BYTES = 16 * 8
_VALUE_BYTES = 8


class Table(NamedTuple):
    """One table of a slot.

    Attributes:
        number: place among the tables.
        key_bytes: room for keys, in bytes.
        value_count: room for values. Untouched pages of an anonymous map take no memory.
    """

    number: int
    key_bytes: int
    value_count: int

    def field(self, length: int) -> int:
        """Return the header field of one of the table's lengths."""
        return _FIRST_LENGTH + _LENGTHS * self.number + length


METRICS = Table(0, 2 * 2**20, 256 * 1024)
"""Some 25,000 series."""

COMMANDS = Table(1, 2**18, 8 * 1024)
EXPECTED_MODELS = Table(2, 2**18, 8 * 1024)
"""At least 2,000 names of 100 characters each."""

TABLES = (METRICS, COMMANDS, EXPECTED_MODELS)

*_KEY_OFFSETS, _SLOT_BYTES = accumulate(
    (table.key_bytes + _VALUE_BYTES * table.value_count for table in TABLES), initial=_HEADER_BYTES
)

Key = tuple[str, ...]


class Entry(NamedTuple):
    """One entry of a table as a reader sees it."""

    key: Key
    values: tuple[float, ...]


class _Place(NamedTuple):
    """Where an entry's values are in its table."""

    key: Key
    start: int
    width: int
    is_transient: bool


class SharedState:
    """The shared map. The parent process makes it once, before the first fork.

    Args:
        slots: most workers at one time.

    Attributes:
        slots: the same.
        parent_pid: process id of the parent.
        created_s: creation time in seconds since 1970.
        headers: each slot's header.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots, self.parent_pid, self.created_s = slots, os.getpid(), time.time()
        self.memory = mmap.mmap(-1, slots * _SLOT_BYTES)  # anonymous and shared with forks
        self.headers = [self._header(slot) for slot in range(slots)]

    def free_slot(self) -> int | None:
        """Return a slot without a living worker, or None. For the parent process only."""
        return next((s for s, header in enumerate(self.headers) if not header[ALIVE]), None)

    def claim(self, slot: int) -> None:
        """Mark a slot as used and reset its transient values; for the parent, before the fork."""
        for table in TABLES:
            values = self.values(table, slot)
            for place in self.places(table, slot):
                if place.is_transient:
                    for index in range(place.start, place.start + place.width):
                        values[index] = 0.0
        header = self.headers[slot]
        header[CONNECTIONS] = NOT_ACCEPTING  # until the worker reports otherwise
        header[FOLLOWED_COMMAND] = 0
        header[PID] = 0
        header[ALIVE] = 1

    def release(self, slot: int) -> None:
        """Mark a slot as free. Its transient values are no longer read; all others stay."""
        self.headers[slot][ALIVE] = 0

    def worker(self, slot: int) -> WorkerSlot:
        """Return the writing end of a slot; for the worker that owns it, after the fork."""
        return WorkerSlot(self, slot)

    def living(self) -> list[memoryview[int]]:
        """Return the headers of all living workers."""
        return [header for header in self.headers if header[ALIVE]]

    def workers_alive(self) -> int:
        """Return the number of living workers."""
        return len(self.living())

    def entries(self, table: Table) -> Iterator[Entry]:
        """Yield a table's entries of every slot, except transient ones of workers that ended."""
        for slot, header in enumerate(self.headers):
            is_alive, values = header[ALIVE], self.values(table, slot)
            for place in self.places(table, slot):
                if is_alive or not place.is_transient:
                    yield Entry(place.key, tuple(values[place.start : place.start + place.width]))

    def rejected(self, table: Table) -> int:
        """Return the number of entries of a table that found no room, over all slots."""
        return sum(header[table.field(_REJECTED)] for header in self.headers)

    def key_offset(self, table: Table, slot: int) -> int:
        """Return where a table's keys begin, in bytes from the start of the map."""
        return slot * _SLOT_BYTES + _KEY_OFFSETS[table.number]

    def values(self, table: Table, slot: int) -> memoryview[float]:
        """Return a table's values in one slot, including unused ones."""
        start = self.key_offset(table, slot) + table.key_bytes
        return memoryview(self.memory)[start : start + _VALUE_BYTES * table.value_count].cast("d")

    def places(self, table: Table, slot: int) -> Iterator[_Place]:
        """Yield where each entry of a table is in one slot."""
        offset, start = self.key_offset(table, slot), 0
        length = self.headers[slot][table.field(_KEY_LENGTH)]
        for line in self.memory[offset : offset + length].splitlines():
            width, is_transient, *key = json.loads(line)
            yield _Place(tuple(key), start, width, bool(is_transient))
            start += width

    def _header(self, slot: int) -> memoryview[int]:
        start = slot * _SLOT_BYTES
        return memoryview(self.memory)[start : start + _HEADER_BYTES].cast("q")


class WorkerSlot:
    """The writing end of one worker's slot; the worker makes it itself, after the fork.

    Args:
        shared: the map.
        number: the slot's number. Values of an earlier owner are continued.

    Attributes:
        shared: the map.
        number: the slot's number.
        header: the slot's header.
        tables: the writer of each table.
    """

    def __init__(self, shared: SharedState, number: int) -> None:
        self.shared, self.number, self.header = shared, number, shared.headers[number]
        self.header[PID] = os.getpid()
        self.tables = {table: TableWriter(self, table) for table in TABLES}


class TableWriter:
    """Adds entries to one table of a worker's slot. Safe between threads of that worker.

    Args:
        slot: the worker's slot.
        table: the table.

    Attributes:
        values: the table's values, including unused ones.
        lock: to be held for a change of values that reads them first.
    """

    def __init__(self, slot: WorkerSlot, table: Table) -> None:
        shared = slot.shared
        self._memory, self._header, self._table = shared.memory, slot.header, table
        self._offset = shared.key_offset(table, slot.number)
        self.values, self.lock = shared.values(table, slot.number), threading.Lock()
        places = list(shared.places(table, slot.number))
        self._starts: dict[Key, int | None] = {place.key: place.start for place in places}
        # An owner that was killed while it added an entry may have claimed values without a key.
        self._header[table.field(_VALUE_COUNT)] = sum(place.width for place in places)

    def find_or_add(
        self, key: Key, width: int = 1, *, is_transient: bool = False, share: float = 1.0
    ) -> int | None:
        """Return where an entry's first value is; add the entry if it is new.

        Args:
            key: the entry's key.
            width: number of values.
            is_transient: whether the values end with the worker.
            share: part of the table's room that entries like this one may fill.

        Returns:
            An index into ``values``; None where the table has no room.
        """
        try:
            return self._starts[key]
        except KeyError:
            with self.lock:
                if key not in self._starts:
                    self._starts[key] = self._add(key, width, is_transient, share)
                return self._starts[key]

    def _add(self, key: Key, width: int, is_transient: bool, share: float) -> int | None:
        """Add an entry; under the lock. Where there is no room, count that once per key."""
        header, table = self._header, self._table
        line = json.dumps([width, int(is_transient), *key]).encode() + b"\n"
        length, start = header[table.field(_KEY_LENGTH)], header[table.field(_VALUE_COUNT)]
        is_full = length + len(line) > share * table.key_bytes
        if is_full or start + width > share * table.value_count:
            header[table.field(_REJECTED)] += 1
            return None
        offset = self._offset + length
        self._memory[offset : offset + len(line)] = line
        header[table.field(_VALUE_COUNT)] = start + width
        header[table.field(_KEY_LENGTH)] = length + len(line)  # from here on readers see it
        return start
