"""Processor time, memory, file descriptors, cores and disk space of the service, for each scrape.

The service is several processes that come and go, and a scrape reaches one of them. So these metrics
add up the parent and its living workers, and keep the processor time of workers that have ended.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable
from pathlib import Path

from .metric_specs import (
    CORES,
    CPU,
    MAX_FDS,
    MEMORY,
    MODELS_DISK_AVAILABLE,
    MODELS_DISK_SIZE,
    OPEN_FDS,
    START_TIME,
    MetricSpec,
)
from .metric_store import WorkerMetrics
from .process_list import ProcessList
from .shared_state import WorkerSlot

PROC = Path("/proc")

USER, SYSTEM, ENDED_USER, ENDED_SYSTEM, PAGES = 11, 12, 13, 14, 21
"""Fields of ``/proc/PID/stat`` after the program's name (proc_pid_stat(5)): processor time in ticks,
of the process and of its ended children, and resident pages."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

READ_ATTEMPTS = 5
"""Most readings of the processor times when workers end meanwhile."""


class ProcessMetrics:
    """Measures the processes of the service.

    Args:
        slot: this worker's slot.
        models: the model folder.
        cores: returns the number of cores that the service may use.
        proc: where the kernel describes processes.
    """

    def __init__(
        self,
        slot: WorkerSlot,
        models: Path,
        cores: Callable[[], float],
        proc: Path = PROC,
    ) -> None:
        self._models, self._cores, self._proc = models, cores, proc
        self._created_s, self._processes = slot.shared.created_s, ProcessList(slot.shared)
        self._store = WorkerMetrics(slot)
        self._cpu = self._store.series(CPU.kind, CPU.metric, CPU.labels)

    def measure(self) -> dict[MetricSpec, float]:
        """Return the current values; write the processor time into the shared map.

        Values that can't be read are left out: a process may end at any moment, and not every system
        reports everything.
        """
        # Workers read at different moments; the total must never go back.
        self._store.raise_to(self._cpu, self._cpu_seconds())
        folders = self._process_folders()
        values: dict[MetricSpec, float] = {START_TIME: self._created_s, CORES: self._cores()}
        if sizes := [size for folder in folders if (size := _memory_bytes(folder)) is not None]:
            values[MEMORY] = sum(sizes)
        if fds := [count for folder in folders if (count := _open_fds(folder)) is not None]:
            # Workers inherit the parent's limit, and so does this process.
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            values[OPEN_FDS] = sum(fds)
            values[MAX_FDS] = len(fds) * (math.inf if limit == resource.RLIM_INFINITY else limit)
        return values | self._disk_bytes()

    def _process_folders(self) -> list[Path]:
        return [self._proc / str(pid) for pid in self._processes.pids()]

    def _disk_bytes(self) -> dict[MetricSpec, float]:
        try:
            disk = os.statvfs(self._models)
        except OSError:
            return {}
        return {
            MODELS_DISK_AVAILABLE: disk.f_bavail * disk.f_frsize,
            MODELS_DISK_SIZE: disk.f_blocks * disk.f_frsize,
        }

    def _cpu_seconds(self) -> float:
        """Return the processor time of all processes, including workers that have ended.

        When the parent reaps a worker, the worker's time becomes the parent's. A worker reaped
        between two readings would count twice or not at all, so the times are read again.
        """
        parent, ticks = self._proc / str(self._processes.parent), 0
        for _ in range(READ_ATTEMPTS):
            ended = _ticks(parent, ENDED_USER, ENDED_SYSTEM)
            running = (_ticks(folder, USER, SYSTEM) for folder in self._process_folders())
            ticks = ended + sum(running)
            if _ticks(parent, ENDED_USER, ENDED_SYSTEM) == ended:
                break
        return ticks / TICKS_PER_S


def _ticks(process: Path, *places: int) -> int:
    """Return the sum of a process's times in ticks; 0 if the process has ended."""
    fields = _stat_fields(process)
    return sum(fields[place] for place in places) if fields else 0


def _memory_bytes(process: Path) -> int | None:
    """Return the resident memory of a process; None if it has none.

    A page that n processes share counts as 1/n (PSS). Where the kernel does not report that, shared
    pages count in full.
    """
    try:
        for line in (process / "smaps_rollup").read_bytes().splitlines():
            name, _, size = line.partition(b":")
            if name == b"Pss":
                return int(size.split()[0]) * 1024
    except OSError:
        pass
    fields = _stat_fields(process)
    return fields[PAGES] * PAGE_BYTES if fields and fields[PAGES] else None


def _open_fds(process: Path) -> int | None:
    """Return the number of open file descriptors of a process; None if it can't be read."""
    try:
        return len(os.listdir(process / "fd"))  # noqa: PTH208 - only their number is needed
    except OSError:
        return None


def _stat_fields(process: Path) -> list[int]:
    """Return the fields of ``stat`` after the name; empty if the process has ended."""
    try:
        text = (process / "stat").read_bytes()
    except OSError:
        return []
    # The name is in parentheses and may contain some. The first field, the state, is a letter.
    _, *numbers = text[text.rindex(b")") + 1 :].split()
    return [0, *map(int, numbers)]
