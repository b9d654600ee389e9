from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pigeonhole.service.serving.shared_state import (
    COUNTER,
    GAUGE,
    KEY_BYTES,
    VALUES,
    SharedState,
    WorkerCounters,
)

# A fork is what these counters are for; the child touches nothing but them.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Children:
    """Processes forked from this one; none outlives the test."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def fork(self, work: Callable[[], None]) -> int:
        """Do ``work`` in a child process and end it there; the child's process id."""
        pid = os.fork()
        if pid == 0:
            try:
                work()
            except BaseException:  # noqa: BLE001 - whatever it was, the exit code tells
                os._exit(1)
            os._exit(0)
        self._running.add(pid)
        return pid

    def ended(self, pid: int) -> bool:
        """Whether a child has done its work; it must not have failed."""
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            self._running.remove(pid)
            assert os.waitstatus_to_exitcode(status) == 0
        return bool(found)

    def join(self, *pids: int) -> None:
        """Wait until these have done their work."""
        for pid in pids:
            until(lambda pid=pid: self.ended(pid))

    def kill(self, pid: int) -> None:
        """End a child in the middle of what it does."""
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._running.remove(pid)

    def end(self) -> None:
        """End all."""
        for pid in tuple(self._running):
            self.kill(pid)


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.end()


def values(counters: SharedState) -> dict[tuple[str, ...], tuple[float, ...]]:
    """Every series of a map of one slot; each at most once."""
    found = {}
    for series in counters.read():
        key = (series.metric, *series.labels)
        assert key not in found
        found[key] = series.values
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def counters() -> SharedState:
    """A map of one slot, which is taken."""
    counters = SharedState(slots=1)
    counters.take(0)
    return counters


def count(worker: WorkerCounters, metric: str, amount: float = 1.0) -> None:
    worker.add(worker.series(COUNTER, metric, ()), amount)


def test_what_was_added_and_set_is_read(counters) -> None:
    worker = counters.worker(0)
    worker.add(worker.series(COUNTER, "calls", ("a",)))
    worker.add(worker.series(COUNTER, "calls", ("a",)), 2.5)
    worker.add(worker.series(COUNTER, "calls", ("b",)))
    worker.set(worker.series(GAUGE, "ready", ()), 1)
    wide = worker.series(COUNTER, "times", (), width=3)
    assert wide is not None
    worker.add_all([(wide, 1), (wide + 2, 4), (None, 9)])
    assert values(counters) == {
        ("calls", "a"): (3.5,),
        ("calls", "b"): (1.0,),
        ("ready",): (1.0,),
        ("times",): (1.0, 0.0, 4.0),
    }


@pytest.mark.parametrize("label", ["", "a\nb\r\n", '"[\\', "é日\u2028", "\x00", "\ud800"])
def test_labels_may_hold_any_text(counters, label) -> None:
    worker = counters.worker(0)
    for _ in range(2):
        worker.add(worker.series(COUNTER, "calls", (label, "x")))
    count(counters.worker(0), "after")
    assert values(counters) == {("calls", label, "x"): (2.0,), ("after",): (1.0,)}


def test_a_counter_and_a_gauge_of_one_name_are_two_series(counters) -> None:
    worker = counters.worker(0)
    assert worker.series(COUNTER, "n", ()) != worker.series(GAUGE, "n", ())


def test_slots_are_given_to_one_worker_at_a_time() -> None:
    counters = SharedState(slots=2)
    given = []
    for _ in range(2):
        slot = counters.free_slot()
        assert slot is not None
        counters.take(slot)
        given.append(slot)
    assert sorted(given) == [0, 1]
    assert counters.free_slot() is None
    assert counters.workers_alive() == 2
    counters.release(1)
    assert counters.free_slot() == 1
    assert counters.workers_alive() == 1


def test_counts_survive_a_killed_worker_and_go_on_under_the_next(counters, children) -> None:
    def work() -> None:
        worker = counters.worker(0)
        while True:
            count(worker, "calls")
            count(worker, "rows", 10)

    pid = children.fork(work)
    until(lambda: values(counters).get(("rows",), (0,))[0] > 10_000)
    children.kill(pid)
    counters.release(0)
    (calls,), (rows,) = values(counters)["calls",], values(counters)["rows",]
    assert calls * 10 - rows in {0, 10}

    assert counters.free_slot() == 0
    counters.take(0)
    children.join(children.fork(lambda: count(counters.worker(0), "calls", 7)))
    children.join(children.fork(lambda: count(counters.worker(0), "news")))
    assert values(counters) == {("calls",): (calls + 7,), ("rows",): (rows,), ("news",): (1.0,)}


def test_gauges_of_a_dead_worker_are_gone_and_stay_gone_under_the_next(counters, children) -> None:
    def work() -> None:
        worker = counters.worker(0)
        worker.set(worker.series(GAUGE, "ready", ()), 1)
        count(worker, "calls")
        time.sleep(60)

    pid = children.fork(work)
    until(lambda: values(counters).get(("calls",)) == (1.0,))
    assert values(counters)["ready",] == (1.0,)
    children.kill(pid)
    counters.release(0)
    assert values(counters) == {("calls",): (1.0,)}
    counters.take(0)  # the next worker was forked and has counted nothing yet
    assert values(counters) == {("calls",): (1.0,), ("ready",): (0.0,)}
    worker = counters.worker(0)
    worker.set(worker.series(GAUGE, "ready", ()), 1)
    assert values(counters) == {("calls",): (1.0,), ("ready",): (1.0,)}


def test_a_worker_killed_while_it_added_a_series_leaves_the_next_ones_in_place(counters) -> None:
    count(counters.worker(0), "first", 3)
    # Between its two last stores: the values are claimed, the key is not there yet.
    counters._header(0)[2] += 5
    worker = counters.worker(0)
    count(worker, "second", 4)
    count(worker, "third", 5)
    assert values(counters) == {("first",): (3.0,), ("second",): (4.0,), ("third",): (5.0,)}


def test_workers_killed_at_any_moment_leave_whole_series(counters, children) -> None:
    def work() -> None:
        worker = counters.worker(0)
        for number in range(1, 300):
            start = worker.series(COUNTER, "n", (str(number), str(os.getpid())), width=2)
            assert start is not None
            worker.add_all([(start, number), (start + 1, number)])
        time.sleep(60)

    kills = 15
    for attempt in range(kills):
        before = len(values(counters))
        pid = children.fork(work)
        until(lambda before=before: len(values(counters)) > before)
        time.sleep(attempt / 10_000)
        children.kill(pid)
    found = values(counters)
    assert len(found) >= kills
    # Each may have died between its last series and that series' values.
    unfinished = [key for key, pair in found.items() if pair != (float(key[1]),) * 2]
    assert len(unfinished) <= kills


def test_threads_and_processes_counting_at_once_lose_nothing(children) -> None:
    counters = SharedState(slots=3)

    def work(slot: int) -> None:
        worker = counters.worker(slot)

        def thread() -> None:
            for number in range(1000):
                count(worker, "calls")
                start = worker.series(COUNTER, "some", (str(number % 50),))
                worker.add_all([(start, 1), (start, 2)])

        threads = [threading.Thread(target=thread) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    pids = [children.fork(lambda slot=slot: work(slot)) for slot in range(3)]
    children.join(*pids)
    totals: dict[str, float] = {}
    for series in counters.read():
        totals[series.metric] = totals.get(series.metric, 0) + sum(series.values)
    assert totals == {"calls": 12_000, "some": 36_000}


def test_a_reader_beside_the_writer_never_fails_and_no_total_goes_back(counters, children) -> None:
    def work() -> None:
        worker = counters.worker(0)
        number = 0
        while True:
            worker.add(worker.series(COUNTER, "n", (str(number % 2000),)))
            number += 1

    children.fork(work)
    last: dict[tuple[str, ...], tuple[float, ...]] = {}
    deadline = time.monotonic() + 10
    grown = 0
    while grown < 20:
        assert time.monotonic() < deadline
        now = values(counters)
        assert all(now[key] >= value for key, value in last.items())
        grown += now != last
        last = now


def test_a_map_full_of_keys_refuses_more_and_says_how_many(counters) -> None:
    worker = counters.worker(0)
    label = "x" * (KEY_BYTES // 10)
    starts = [worker.series(COUNTER, "n", (f"{i}{label}",)) for i in range(12)]
    assert None not in starts[:9]
    assert starts[9:] == [None] * 3
    assert counters.refused() == 3
    worker.add(starts[0])
    worker.add(None)
    worker.set(None, 1)
    assert sum(value for (value,) in values(counters).values()) == 1
    small = worker.series(COUNTER, "small", ())
    assert small is not None


def test_a_map_full_of_values_refuses_more_and_says_how_many(counters) -> None:
    worker = counters.worker(0)
    assert worker.series(COUNTER, "all", (), width=VALUES - 1) == 0
    assert worker.series(COUNTER, "wide", (), width=2) is None
    assert worker.series(COUNTER, "last", ()) == VALUES - 1
    assert worker.series(COUNTER, "more", ()) is None
    assert counters.refused() == 2


def test_what_is_refused_is_counted_once_however_often_it_is_asked_for(counters) -> None:
    worker = counters.worker(0)
    assert worker.series(COUNTER, "all", (), width=VALUES) == 0
    assert [worker.series(COUNTER, "more", ()) for _ in range(3)] == [None] * 3
    assert counters.refused() == 1


def test_details_leave_room_for_the_others(counters) -> None:
    worker = counters.worker(0)
    label, made = "x" * (KEY_BYTES // 100), 0
    while worker.series(COUNTER, "rows", (f"{made}{label}",), detail=True) is not None:
        made += 1
    assert made > 70
    others = [worker.series(COUNTER, "requests", (f"{i}{label}",)) for i in range(20)]
    assert None not in others


def test_a_full_slot_does_not_touch_its_neighbor() -> None:
    counters = SharedState(slots=2)
    count(counters.worker(1), "neighbor")
    worker = counters.worker(0)
    start = worker.series(COUNTER, "all", (), width=VALUES)
    assert start is not None
    worker.add_all([(start + i, 1) for i in range(VALUES)])
    assert [s.values for s in counters.read() if s.metric == "neighbor"] == [(1.0,)]


def test_commands_are_followed_when_every_living_worker_has_told_so() -> None:
    counters = SharedState(slots=3)
    assert (counters.newest_command(), counters.followed()) == (0, 0)
    for slot in range(2):
        counters.take(slot)
    counters.worker(1).tell_given(7)
    assert counters.newest_command() == 7
    counters.worker(0).tell_followed(7)
    assert counters.followed() == 0
    counters.worker(1).tell_followed(9)
    assert counters.followed() == 7
    counters.release(0)
    assert counters.followed() == 9
    counters.take(0)  # whoever has the slot now has followed nothing yet
    assert (counters.newest_command(), counters.followed()) == (7, 0)
