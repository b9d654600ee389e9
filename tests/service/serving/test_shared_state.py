"""Slots and tables of the shared map, written and read by several processes."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pigeonhole.service.serving.shared_state import (
    COMMANDS,
    EXPECTED_MODELS,
    METRICS,
    TABLES,
    SharedState,
    WorkerSlot,
)
from tests.service.serving.child_processes import until

# The map exists to be shared by forks. The children do nothing else.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

VALUE_COUNT_OF_METRICS = METRICS.field(1)


def read(shared: SharedState, table=METRICS) -> dict[tuple[str, ...], tuple[float, ...]]:
    """Return a table's entries of all slots; fails if two have one key."""
    found: dict[tuple[str, ...], tuple[float, ...]] = {}
    for key, values in shared.entries(table):
        assert key not in found
        found[key] = values
    return found


def add(worker: WorkerSlot, key: str, amount: float = 1.0, table=METRICS) -> None:
    writer = worker.tables[table]
    index = writer.find_or_add((key,))
    assert index is not None
    with writer.lock:
        writer.values[index] += amount


@pytest.fixture
def shared() -> SharedState:
    """A map of one slot, which is claimed."""
    shared = SharedState(slots=1)
    shared.claim(0)
    return shared


def test_slot_belongs_to_one_worker_at_a_time() -> None:
    shared = SharedState(slots=2)
    claimed = []
    for _ in range(2):
        slot = shared.free_slot()
        assert slot is not None
        shared.claim(slot)
        claimed.append(slot)
    assert sorted(claimed) == [0, 1]
    assert shared.free_slot() is None
    assert shared.workers_alive() == 2
    shared.release(1)
    assert shared.free_slot() == 1
    assert shared.workers_alive() == 1


@pytest.mark.parametrize("text", ["", "a\nb\r\n", '"[\\', "é日\u2028", "\x00", "\ud800"])
def test_keys_may_hold_any_text(shared, text) -> None:
    worker = shared.worker(0)
    for _ in range(2):
        add(worker, text)
    add(shared.worker(0), "after")
    assert read(shared) == {(text,): (2.0,), ("after",): (1.0,)}


def test_tables_do_not_share_entries(shared) -> None:
    worker = shared.worker(0)
    for amount, table in enumerate(TABLES, start=1):
        add(worker, "name", amount, table)
    for amount, table in enumerate(TABLES, start=1):
        assert read(shared, table) == {("name",): (amount,)}


def test_full_table_leaves_the_others_room(shared) -> None:
    worker = shared.worker(0)
    long = "x" * (COMMANDS.key_bytes // 2)
    assert worker.tables[COMMANDS].find_or_add((long,)) == 0
    assert worker.tables[COMMANDS].find_or_add((f"{long}y",)) is None
    assert (shared.rejected(COMMANDS), shared.rejected(EXPECTED_MODELS)) == (1, 0)
    add(worker, "name", table=EXPECTED_MODELS)
    assert read(shared, EXPECTED_MODELS) == {("name",): (1.0,)}


def test_full_slot_does_not_touch_its_neighbor() -> None:
    shared = SharedState(slots=2)
    add(shared.worker(1), "neighbor")
    writer = shared.worker(0).tables[METRICS]
    assert writer.find_or_add(("all",), METRICS.value_count) == 0
    for index in range(METRICS.value_count):
        writer.values[index] = 1.0
    assert [values for key, values in shared.entries(METRICS) if key == ("neighbor",)] == [(1.0,)]


def test_successor_of_a_killed_worker_continues_its_totals(shared, children) -> None:
    def work() -> None:
        worker = shared.worker(0)
        while True:
            add(worker, "calls")
            add(worker, "rows", 10)

    pid = children.fork(work)
    until(lambda: read(shared).get(("rows",), (0,))[0] > 10_000)
    children.kill(pid)
    shared.release(0)
    (calls,), (rows,) = read(shared)["calls",], read(shared)["rows",]
    assert calls * 10 - rows in {0, 10}

    assert shared.free_slot() == 0
    shared.claim(0)
    children.join(children.fork(lambda: add(shared.worker(0), "calls", 7)))
    children.join(children.fork(lambda: add(shared.worker(0), "news")))
    assert read(shared) == {("calls",): (calls + 7,), ("rows",): (rows,), ("news",): (1.0,)}


def test_worker_killed_while_it_adds_an_entry_leaves_the_next_ones_in_place(shared) -> None:
    add(shared.worker(0), "first", 3)
    # Killed between the last two stores: values are claimed, but no key is complete.
    shared.headers[0][VALUE_COUNT_OF_METRICS] += 5
    worker = shared.worker(0)
    add(worker, "second", 4)
    add(worker, "third", 5)
    assert read(shared) == {("first",): (3.0,), ("second",): (4.0,), ("third",): (5.0,)}


def test_workers_killed_at_any_moment_leave_complete_entries(shared, children) -> None:
    def work() -> None:
        writer = shared.worker(0).tables[METRICS]
        for number in range(1, 300):
            index = writer.find_or_add((str(number), str(os.getpid())), width=2)
            assert index is not None
            writer.values[index] = writer.values[index + 1] = number
        time.sleep(60)

    kills = 15
    for attempt in range(kills):
        before = len(read(shared))
        pid = children.fork(work)
        until(lambda before=before: len(read(shared)) > before)
        time.sleep(attempt / 10_000)
        children.kill(pid)
    found = read(shared)
    assert len(found) >= kills
    # Each worker may have been killed between its last entry and that entry's values.
    unfinished = [key for key, pair in found.items() if pair != (float(key[0]),) * 2]
    assert len(unfinished) <= kills


def test_threads_and_processes_that_count_at_once_lose_nothing(children) -> None:
    shared = SharedState(slots=3)

    def work(slot: int) -> None:
        worker = shared.worker(slot)

        def count() -> None:
            for number in range(1000):
                add(worker, "calls")
                add(worker, f"some {number % 50}", 3)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    pids = [children.fork(lambda slot=slot: work(slot)) for slot in range(3)]
    children.join(*pids)
    totals: dict[str, float] = {}
    for (key,), (value,) in shared.entries(METRICS):
        name = key.split()[0]
        totals[name] = totals.get(name, 0) + value
    assert totals == {"calls": 12_000, "some": 36_000}


def test_reader_beside_a_writer_never_sees_a_total_go_back(shared, children) -> None:
    def work() -> None:
        worker = shared.worker(0)
        number = 0
        while True:
            add(worker, str(number % 2000))
            number += 1

    children.fork(work)
    last: dict[tuple[str, ...], tuple[float, ...]] = {}
    deadline = time.monotonic() + 10
    changes = 0
    while changes < 20:
        assert time.monotonic() < deadline
        now = read(shared)
        assert all(now[key] >= value for key, value in last.items())
        changes += now != last
        last = now
