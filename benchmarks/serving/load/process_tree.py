"""CPU time and memory of a process and its descendants, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """An entry of the process table.

    Attributes:
        pid: process id.
        parent: process id of the parent.
        session: session id, which children inherit unless they start a session.
        ended: whether the process is a zombie or dead.
        cpu_seconds: CPU time of the process and of its children that have ended.
    """

    pid: int
    parent: int
    session: int
    ended: bool
    cpu_seconds: float


def tree(root: int) -> list[Process]:
    """Return a process, its descendants, and all processes of its session.

    Args:
        root: pid of a process that was started in its own session.
    """
    processes = {process.pid: process for process in _all_processes()}

    def belongs(process: Process) -> bool:
        ancestor: Process | None = process
        while ancestor is not None:
            if root in (ancestor.pid, ancestor.session):
                return True
            ancestor = processes.get(ancestor.parent)
        return False

    return [process for process in processes.values() if belongs(process)]


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    return list(map(int, (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()))


def cpu_seconds(root: int) -> float:
    """Return the CPU time of a tree since its start, in seconds on all cores."""
    return sum(process.cpu_seconds for process in tree(root))


def memory_bytes(root: int) -> int:
    """Return the memory of a tree in bytes; shared pages count once (PSS)."""
    return sum(_memory_bytes(process.pid) for process in tree(root))


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    process = _process(pid)
    return process is not None and not process.ended


def _all_processes() -> Iterator[Process]:
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (process := _process(int(folder.name))):
            yield process


def _process(pid: int) -> Process | None:
    try:
        line = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None  # it has ended
    # The process name, in parentheses, may contain blanks and parentheses.
    state, parent, _group, session, *fields = line.rpartition(")")[2].split()
    ticks = sum(map(int, fields[7:11]))
    return Process(pid, int(parent), int(session), state in "ZX", ticks / TICKS_PER_SECOND)


def _memory_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        rollup = (PROC / str(pid) / "smaps_rollup").read_text("ascii", "replace")
        if pss := re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE):
            return int(pss.group(1)) * 1024
    return 0
