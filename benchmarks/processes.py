"""One command run to its end, with its seconds and its largest memory."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import REPOSITORY

LOOK_S = 0.02
"""How often a running process is asked for its memory; the last hundredths may be missed."""

SHOWN_LINES = 12
"""Lines of output that tell why a command failed."""


class CommandFailed(Exception):
    """A command ended with an error or ran out of time; the text says which and ends its output."""


@dataclass(frozen=True)
class Finished:
    """What a command took.

    Attributes:
        seconds: from its start to its end, imports included.
        cpu_seconds: of all cores, of the command and what it started.
        peak_bytes: the most memory that was its own at once (resident set), without its children;
            0 where the system does not tell.
        output: what it printed, standard error included.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(
    command: Sequence[str | Path],
    limit_s: float,
    environment: Mapping[str, str] | None = None,
    folder: Path = REPOSITORY,
) -> Finished:
    """Run a command alone and wait for it.

    Args:
        command: the program and its arguments.
        limit_s: seconds after which it is stopped, together with what it started.
        environment: variables added to those of this process.
        folder: where it runs.

    Raises:
        CommandFailed: it ended with another code than 0, or ran out of time.
    """
    before, started = _cpu_seconds(), time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    ) as process:
        watch = _Watch(process.pid, limit_s)
        try:
            output, _ = process.communicate()
            seconds = time.perf_counter() - started
        finally:
            watch.end()
            if process.poll() is None:  # this process was interrupted: leave nothing behind
                _stop(process.pid)
    if watch.timed_out:
        raise CommandFailed(f"stopped after {limit_s:g} s")
    if process.returncode:
        last = "\n".join(output.strip().splitlines()[-SHOWN_LINES:])
        raise CommandFailed(f"ended with code {process.returncode}: {last}")
    return Finished(seconds, _cpu_seconds() - before, watch.peak_bytes, output)


class _Watch:
    """A thread that reads a process's memory and stops it when its time is up."""

    def __init__(self, pid: int, limit_s: float) -> None:
        self.peak_bytes = 0
        self.timed_out = False
        self._pid = pid
        self._deadline = time.monotonic() + limit_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.peak_bytes = max(self.peak_bytes, _peak_bytes(self._pid))
            if time.monotonic() > self._deadline:
                self.timed_out = True
                _stop(self._pid)
                return


def _cpu_seconds() -> float:
    """Of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak_bytes(pid: int) -> int:
    # Not getrusage: what that tells of a child begins with the memory of its parent.
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            return int(found.group(1)) * 1024
    return 0


def _stop(pid: int) -> None:
    """End a process and all of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
