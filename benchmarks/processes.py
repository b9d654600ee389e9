"""Commands run to completion, with their time and peak memory."""

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

POLL_S = 0.02
"""Seconds between two readings of a running process's memory."""

OUTPUT_LINES = 12
"""Lines of output that are quoted when a command fails."""


class CommandFailed(Exception):
    """A command exited with an error or timed out; the text ends with its last output."""


@dataclass(frozen=True)
class Finished:
    """The outcome of a command.

    Attributes:
        seconds: wall time of the process, imports included.
        cpu_seconds: CPU time of the command and its children, on all cores.
        peak_bytes: peak resident memory of the command without its children; 0 if unknown.
        output: standard output and standard error.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(
    command: Sequence[str | Path],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    folder: Path = REPOSITORY,
) -> Finished:
    """Run a command and wait until it exits.

    Args:
        command: program and arguments.
        timeout_s: seconds until the command and its children are killed.
        environment: variables in addition to those of this process.
        folder: working directory.

    Raises:
        CommandFailed: the exit code is not 0, or the command timed out.
    """
    cpu_before, started = _children_cpu_seconds(), time.perf_counter()
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
        monitor = _Monitor(process.pid, timeout_s)
        try:
            output, _ = process.communicate()
            seconds = time.perf_counter() - started
        finally:
            monitor.stop()
            if process.poll() is None:  # this process was interrupted
                _kill_session(process.pid)
    if monitor.timed_out:
        raise CommandFailed(f"timed out after {timeout_s:g} s")
    if process.returncode:
        last_lines = "\n".join(output.strip().splitlines()[-OUTPUT_LINES:])
        raise CommandFailed(f"exited with code {process.returncode}: {last_lines}")
    return Finished(seconds, _children_cpu_seconds() - cpu_before, monitor.peak_bytes, output)


class _Monitor:
    """A thread that samples a process's memory and kills its session at the timeout."""

    def __init__(self, pid: int, timeout_s: float) -> None:
        self.peak_bytes = 0
        self.timed_out = False
        self._pid = pid
        self._deadline = time.monotonic() + timeout_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stopped.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopped.wait(POLL_S):
            self.peak_bytes = max(self.peak_bytes, _peak_bytes(self._pid))
            if time.monotonic() > self._deadline:
                self.timed_out = True
                _kill_session(self._pid)
                return


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak_bytes(pid: int) -> int:
    # Not getrusage: a child's maximum there starts at the memory of its parent.
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
        if peak := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            return int(peak.group(1)) * 1024
    return 0


def _kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
