"""Process metrics of real processes, and of a written `/proc`."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pigeonhole.service.serving.metric_specs import (
    CORES,
    CPU,
    MAX_FDS,
    MEASURED,
    MEMORY,
    MODELS_DISK_AVAILABLE,
    MODELS_DISK_SIZE,
    OPEN_FDS,
    START_TIME,
)
from pigeonhole.service.serving.metric_store import MetricStore, WorkerMetrics
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.process_list import ProcessList
from pigeonhole.service.serving.process_metrics import PAGE_BYTES, TICKS_PER_S, ProcessMetrics
from pigeonhole.service.serving.shared_state import SharedState
from tests.service.serving.child_processes import until

FORKED = multiprocessing.get_context("fork")


def process_metrics(shared: SharedState, models: Path = Path(), **where: Path) -> ProcessMetrics:
    return ProcessMetrics(shared.worker(0), models, lambda: 1.5, **where)


def cpu_seconds(shared: SharedState) -> float:
    """Return the processor time of a scrape."""
    return max(s.values[0] for s in MetricStore(shared).read() if s.metric == CPU.metric)


def test_single_process_has_every_metric(shared: SharedState, tmp_path: Path) -> None:
    before = time.process_time()
    values = process_metrics(shared, tmp_path).measure()
    assert set(values) == set(MEASURED)
    # Other tests of this process may have started programs, whose time counts, too.
    assert before - 0.1 <= cpu_seconds(shared) <= sum(os.times()[:4]) + 60
    assert values[MEMORY] > 2**20
    assert 3 <= values[OPEN_FDS] <= values[MAX_FDS]
    assert values[START_TIME] == shared.created_s <= time.time()
    assert values[CORES] == 1.5
    assert 0 < values[MODELS_DISK_AVAILABLE] <= values[MODELS_DISK_SIZE]


def test_missing_model_folder_has_no_disk_metrics(shared, tmp_path) -> None:
    values = process_metrics(shared, tmp_path / "none").measure()
    assert set(values) == set(MEASURED) - {MODELS_DISK_AVAILABLE, MODELS_DISK_SIZE}


def test_system_without_proc_fails_no_scrape(shared, tmp_path) -> None:
    values = process_metrics(shared, tmp_path, proc=tmp_path / "none").measure()
    assert not {MEMORY, OPEN_FDS, MAX_FDS} & set(values)
    assert cpu_seconds(shared) == 0


Worker = Callable[[SharedState, float], None]


def work(shared: SharedState, slot: int, stay: float) -> None:
    """Own a slot, spend some processor time, and stay."""
    shared.worker(slot)
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    time.sleep(stay)


@contextmanager
def worker(shared: SharedState, slot: int, stay: float = 60) -> Iterator[int]:
    """Run a worker process; kill it at the end."""
    process = FORKED.Process(target=work, args=(shared, slot, stay))
    process.start()
    assert process.pid
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()
        shared.release(slot)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork among threads
def test_metrics_add_up_workers_and_keep_the_time_of_ended_ones() -> None:
    shared = SharedState(slots=2)
    shared.claim(0)
    metrics = process_metrics(shared)
    alone = metrics.measure()
    before = cpu_seconds(shared)
    shared.claim(1)
    with worker(shared, 1) as pid:
        until(lambda: ProcessList(shared).pids() == {os.getpid(), pid})
        until(lambda: (metrics.measure(), cpu_seconds(shared))[1] >= before + 0.2)
        both = metrics.measure()
        assert both[MEMORY] > alone[MEMORY]
        assert both[OPEN_FDS] > alone[OPEN_FDS]
        assert both[MAX_FDS] == 2 * alone[MAX_FDS]
        living = cpu_seconds(shared)
    after = metrics.measure()
    assert after[MAX_FDS] == alone[MAX_FDS]
    assert cpu_seconds(shared) >= living
    assert ProcessList(shared).pids() == {os.getpid()}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processor_time_never_goes_back_while_workers_start_and_end() -> None:
    shared = SharedState(slots=2)
    shared.claim(0)
    metrics = process_metrics(shared)
    seconds = [0.0]
    for _ in range(3):
        shared.claim(1)
        process = FORKED.Process(target=work, args=(shared, 1, 0))
        process.start()
        while process.exitcode is None:  # reading the exit code reaps the process
            metrics.measure()
            seconds.append(cpu_seconds(shared))
        shared.release(1)
    metrics.measure()
    seconds.append(cpu_seconds(shared))
    assert seconds == sorted(seconds)
    times = os.times()
    spent = times.user + times.system + times.children_user + times.children_system
    assert seconds[-1] == pytest.approx(spent, abs=0.1)


def test_processor_time_of_another_worker_is_not_lowered(shared: SharedState) -> None:
    process_metrics(shared).measure()
    own = cpu_seconds(shared)
    other = WorkerMetrics(shared.worker(1))
    other.raise_to(other.series(CPU.kind, CPU.metric, ()), own + 1000)
    process_metrics(shared).measure()
    assert cpu_seconds(shared) == own + 1000
    shared.release(1)
    assert cpu_seconds(shared) == own + 1000


class WrittenProc:
    """A folder that looks like ``/proc``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def process(self, pid: int, name: str = "python", **files: str) -> None:
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        # User, system, ended user and ended system time; the 22nd field is resident pages.
        numbers = ["0"] * 10 + ["100", "10", "1000", "200"] + ["0"] * 6 + ["7", "0"]
        (folder / "stat").write_text(f"{pid} ({name}) S {' '.join(numbers)}\n")
        for file, text in files.items():
            (folder / file).write_text(text)


@pytest.fixture
def written(tmp_path: Path) -> WrittenProc:
    return WrittenProc(tmp_path)


def test_times_and_pages_are_read_from_their_fields(shared, written) -> None:
    written.process(shared.parent_pid, name="a) b (c")
    values = process_metrics(shared, proc=written.root).measure()
    assert cpu_seconds(shared) == 1310 / TICKS_PER_S
    assert values[MEMORY] == 7 * PAGE_BYTES
    assert values[OPEN_FDS] == 0


def test_shared_memory_counts_by_its_share(shared, written) -> None:
    rollup = "0-7 ---p 0 00:00 0 [rollup]\nRss:  90 kB\nPss:  60 kB\nPss_Dirty:  5 kB\n"
    written.process(shared.parent_pid, smaps_rollup=rollup)
    assert process_metrics(shared, proc=written.root).measure()[MEMORY] == 60 * 1024


def test_limits_are_summed_over_living_workers(shared, scrape) -> None:
    for slot in (0, 1):
        Metrics(shared.worker(slot)).limits(connections=100, waiting=7)
    values = scrape(shared)
    assert values["pigeonhole_connections_limit",] == 200
    assert values["pigeonhole_calls_waiting_limit",] == 14
    shared.release(1)
    assert scrape(shared)["pigeonhole_connections_limit",] == 100
