"""What the service takes of its machine, and what it was given: read at each scrape.

The service is several processes that come and go, and a scrape reaches one of them. So this adds up
the first one and its living workers, and goes on counting what those took that have ended.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable
from pathlib import Path

from .metrics import (
    CORES,
    CPU,
    MAX_FDS,
    MEMORY,
    MODELS_DISK_AVAILABLE,
    MODELS_DISK_SIZE,
    OPEN_FDS,
    START_TIME,
    Name,
)
from .shared_state import SharedState, WorkerCounters

PROC = Path("/proc")

USER, SYSTEM, ENDED_USER, ENDED_SYSTEM, PAGES = 11, 12, 13, 14, 21
"""Where these stand in ``/proc/PID/stat`` behind the program's name (proc_pid_stat(5)): processor
time of its own and of its children that have ended, in ticks, and pages in memory."""

TICKS = os.sysconf("SC_CLK_TCK")
"""In a second of processor time."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

TRIES = 5
"""How often processor times are read again because a worker ended meanwhile."""


class ProcessMetrics:
    """Reads what the service has and takes.

    Args:
        counters: this worker's slot.
        models: the model folder.
        cores: how many cores the service may use.
        proc: where the kernel tells of processes.
    """

    def __init__(
        self,
        counters: WorkerCounters,
        models: Path,
        cores: Callable[[], float],
        proc: Path = PROC,
    ) -> None:
        self._counters, self._models, self._cores, self._proc = counters, models, cores, proc
        self._cpu = counters.series(CPU.kind, CPU.metric, CPU.labels)

    def read(self) -> dict[Name, float]:
        """The figures of this moment; processor time is put into the shared map.

        What can't be told is left out: a process may end at any moment, and not every system tells
        everything.
        """
        shared = self._counters.shared
        # What another worker has told already is never gone back behind.
        self._counters.raise_to(self._cpu, self._cpu_seconds(shared))
        folders = [self._proc / str(pid) for pid in shared.processes()]
        figures: dict[Name, float] = {START_TIME: shared.made, CORES: self._cores()}
        if sizes := [size for folder in folders if (size := _memory_bytes(folder)) is not None]:
            figures[MEMORY] = sum(sizes)
        if fds := [count for folder in folders if (count := _open_fds(folder)) is not None]:
            # Each may have as many as the first one, which started the others.
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            figures[OPEN_FDS] = sum(fds)
            figures[MAX_FDS] = len(fds) * (math.inf if limit == resource.RLIM_INFINITY else limit)
        try:
            disk = os.statvfs(self._models)
        except OSError:
            return figures
        figures[MODELS_DISK_AVAILABLE] = disk.f_bavail * disk.f_frsize
        figures[MODELS_DISK_SIZE] = disk.f_blocks * disk.f_frsize
        return figures

    def _cpu_seconds(self, shared: SharedState) -> float:
        """Processor time of all processes, and of the workers that have ended.

        A worker's time becomes its parent's the moment it is taken note of; one for which that
        happens in between would count twice or not at all.
        """
        parent, ticks = self._proc / str(shared.maker), 0
        for _ in range(TRIES):
            ended = _ticks(parent, ENDED_USER, ENDED_SYSTEM)
            folders = [self._proc / str(pid) for pid in shared.processes()]
            ticks = ended + sum(_ticks(folder, USER, SYSTEM) for folder in folders)
            if _ticks(parent, ENDED_USER, ENDED_SYSTEM) == ended:
                break
        return ticks / TICKS


def _ticks(process: Path, *places: int) -> int:
    """A sum of times of a process; 0 where there is none any more."""
    fields = _fields(process)
    return sum(fields[place] for place in places) if fields else 0


def _memory_bytes(process: Path) -> int | None:
    """Memory of a process, where pages that it shares count by its share; None where it has none.

    Where that is not told they count in full.
    """
    try:
        for line in (process / "smaps_rollup").read_bytes().splitlines():
            name, _, size = line.partition(b":")
            if name == b"Pss":
                return int(size.split()[0]) * 1024
    except OSError:
        pass
    fields = _fields(process)
    return fields[PAGES] * PAGE_BYTES if fields and fields[PAGES] else None


def _open_fds(process: Path) -> int | None:
    """How many descriptors a process has open; None where that is not told."""
    try:
        return len(os.listdir(process / "fd"))  # noqa: PTH208 - their number is all that is asked for
    except OSError:
        return None


def _fields(process: Path) -> list[int]:
    """What stands in its ``stat`` behind name and state; empty where there is no such process."""
    try:
        text = (process / "stat").read_bytes()
    except OSError:
        return []
    # The name is in brackets and may hold some; the state is a letter.
    _, *numbers = text[text.rindex(b")") + 1 :].split()
    return [0, *map(int, numbers)]
