"""What the service takes of its machine: of real processes, and of some that are written down."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pigeonhole.service.serving.metrics import (
    CORES,
    CPU,
    MAX_FDS,
    MEMORY,
    MODELS_DISK_AVAILABLE,
    MODELS_DISK_SIZE,
    OPEN_FDS,
    READ,
    START_TIME,
    Metrics,
)
from pigeonhole.service.serving.process_metrics import PAGE_BYTES, TICKS, ProcessMetrics
from pigeonhole.service.serving.shared_state import SharedState

FORKED = multiprocessing.get_context("fork")


def machine(counters: SharedState, models: Path = Path(), **where: Path) -> ProcessMetrics:
    return ProcessMetrics(counters.worker(0), models, lambda: 1.5, **where)


def cpu_seconds(counters: SharedState) -> float:
    """What a scrape would tell."""
    return max(s.values[0] for s in counters.read() if s.metric == CPU.metric)


def test_a_process_alone_is_told_with_everything(counters: SharedState, tmp_path: Path) -> None:
    before = time.process_time()
    figures = machine(counters, tmp_path).read()
    assert set(figures) == set(READ)
    assert before - 0.1 <= cpu_seconds(counters) <= time.process_time() + 60
    assert figures[MEMORY] > 2**20
    assert 3 <= figures[OPEN_FDS] <= figures[MAX_FDS]
    assert figures[START_TIME] == counters.made <= time.time()
    assert figures[CORES] == 1.5
    assert 0 < figures[MODELS_DISK_AVAILABLE] <= figures[MODELS_DISK_SIZE]


def test_a_folder_that_is_not_there_has_no_room_to_tell_of(counters, tmp_path) -> None:
    figures = machine(counters, tmp_path / "none").read()
    assert set(figures) == set(READ) - {MODELS_DISK_AVAILABLE, MODELS_DISK_SIZE}


def test_a_system_that_tells_nothing_of_processes_fails_no_scrape(counters, tmp_path) -> None:
    figures = machine(counters, tmp_path, proc=tmp_path / "none").read()
    assert not {MEMORY, OPEN_FDS, MAX_FDS} & set(figures)
    assert cpu_seconds(counters) == 0


Worker = Callable[[SharedState, float], None]


def work(counters: SharedState, slot: int, stay: float) -> None:
    """Take a slot, spend some processor time, and stay."""
    counters.worker(slot)
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    time.sleep(stay)


@contextmanager
def worker(counters: SharedState, slot: int, stay: float = 60) -> Iterator[int]:
    """A worker process of the map; it is ended but not taken note of at the end."""
    process = FORKED.Process(target=work, args=(counters, slot, stay))
    process.start()
    assert process.pid
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()
        counters.release(slot)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork among threads
def test_workers_are_added_and_their_time_outlives_them() -> None:
    counters = SharedState(slots=2)
    counters.take(0)
    here = machine(counters)
    alone = here.read()
    before = cpu_seconds(counters)
    counters.take(1)
    with worker(counters, 1) as pid:
        until(lambda: counters.processes() == {os.getpid(), pid})
        until(lambda: (here.read(), cpu_seconds(counters))[1] >= before + 0.2)
        both = here.read()
        assert both[MEMORY] > alone[MEMORY]
        assert both[OPEN_FDS] > alone[OPEN_FDS]
        assert both[MAX_FDS] == 2 * alone[MAX_FDS]
        living = cpu_seconds(counters)
    after = here.read()
    assert after[MAX_FDS] == alone[MAX_FDS]
    assert cpu_seconds(counters) >= living
    assert counters.processes() == {os.getpid()}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processor_time_never_goes_back_nor_doubles_while_workers_come_and_go() -> None:
    counters = SharedState(slots=2)
    counters.take(0)
    here = machine(counters)
    told, spent = [0.0], 0.0
    for _ in range(3):
        counters.take(1)
        process = FORKED.Process(target=work, args=(counters, 1, 0))
        process.start()
        while process.exitcode is None:  # asking takes note of its end
            here.read()
            told.append(cpu_seconds(counters))
        counters.release(1)
    here.read()
    told.append(cpu_seconds(counters))
    assert told == sorted(told)
    times = os.times()
    spent = times.user + times.system + times.children_user + times.children_system
    assert told[-1] == pytest.approx(spent, abs=0.1)


def test_what_another_worker_told_is_not_gone_back_behind(counters: SharedState) -> None:
    machine(counters).read()
    own = cpu_seconds(counters)
    other = counters.worker(1)
    other.raise_to(other.series(CPU.kind, CPU.metric, ()), own + 1000)
    machine(counters).read()
    assert cpu_seconds(counters) == own + 1000
    counters.release(1)
    assert cpu_seconds(counters) == own + 1000


class Written:
    """Processes as the kernel would tell of them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def process(self, pid: int, name: str = "python", **files: str) -> None:
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        # user, system, ended user and ended system; the 22nd of them is pages in memory.
        numbers = ["0"] * 10 + ["100", "10", "1000", "200"] + ["0"] * 6 + ["7", "0"]
        (folder / "stat").write_text(f"{pid} ({name}) S {' '.join(numbers)}\n")
        for file, text in files.items():
            (folder / file).write_text(text)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_times_and_pages_are_read_where_the_kernel_writes_them(counters, written) -> None:
    written.process(counters.maker, name="a) b (c")
    figures = machine(counters, proc=written.root).read()
    assert cpu_seconds(counters) == 1310 / TICKS
    assert figures[MEMORY] == 7 * PAGE_BYTES
    assert figures[OPEN_FDS] == 0


def test_memory_that_is_shared_counts_by_its_share_where_that_is_told(counters, written) -> None:
    rollup = "0-7 ---p 0 00:00 0 [rollup]\nRss:  90 kB\nPss:  60 kB\nPss_Dirty:  5 kB\n"
    written.process(counters.maker, smaps_rollup=rollup)
    assert machine(counters, proc=written.root).read()[MEMORY] == 60 * 1024


def test_limits_are_told_of_all_living_workers(counters, scrape) -> None:
    for slot in (0, 1):
        Metrics(counters.worker(slot)).limits(connections=100, waiting=7)
    figures = scrape(counters)
    assert figures["pigeonhole_connections_limit",] == 200
    assert figures["pigeonhole_calls_waiting_limit",] == 14
    counters.release(1)
    assert scrape(counters)["pigeonhole_connections_limit",] == 100
