"""What a server and all that it started take: processor time and memory, as the kernel tells them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One line of the table of processes.

    Attributes:
        pid: its number.
        parent: its parent's.
        session: its session's; children keep it unless they ask for one of their own.
        ended: whether it only waits for its parent to take note of its end.
        cpu_seconds: of its own and of its children that have ended.
    """

    pid: int
    parent: int
    session: int
    ended: bool
    cpu_seconds: float


def tree(root: int) -> list[Process]:
    """The processes that a server consists of: its root, all below it, and all of its session.

    Args:
        root: the pid of the process that was started in a session of its own.
    """
    everyone = {process.pid: process for process in _everyone()}

    def belongs(process: Process) -> bool:
        above: Process | None = process
        while above is not None:
            if root in (above.pid, above.session):
                return True
            above = everyone.get(above.parent)
        return False

    return [process for process in everyone.values() if belongs(process)]


def cpu_seconds(root: int) -> float:
    """Seconds of all cores that a server has taken since it started."""
    return sum(process.cpu_seconds for process in tree(root))


def memory_bytes(root: int) -> int:
    """Bytes of memory that a server holds; what processes share is counted once."""
    return sum(_memory_bytes(process.pid) for process in tree(root))


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    process = _process(pid)
    return process is not None and not process.ended


def _everyone() -> Iterator[Process]:
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (process := _process(int(folder.name))):
            yield process


def _process(pid: int) -> Process | None:
    try:
        line = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None  # it may end at any time
    # The name, in brackets, may itself hold blanks and brackets.
    state, parent, _group, session, *rest = line.rpartition(")")[2].split()
    ticks = sum(map(int, rest[7:11]))
    return Process(pid, int(parent), int(session), state in "ZX", ticks / TICKS_A_SECOND)


def _memory_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        shares = (PROC / str(pid) / "smaps_rollup").read_text("ascii", "replace")
        if found := re.search(r"^Pss:\s+(\d+) kB$", shares, re.MULTILINE):
            return int(found.group(1)) * 1024
    return 0
