"""Promises of benchmarks.processes."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import CommandFailed, run


def test_seconds_and_memory_are_those_of_the_command(tmp_path):
    work = "import time; held = bytearray(80_000_000); time.sleep(0.2); print(len(held))"
    finished = run([sys.executable, "-c", work], 60)
    assert finished.seconds >= 0.2
    assert 80e6 <= finished.peak_bytes <= 200e6
    assert finished.cpu_seconds > 0
    assert finished.output.strip() == "80000000"


def test_variables_and_folder_are_handed_on(tmp_path):
    work = "import os; print(os.environ['OMP_NUM_THREADS'], os.getcwd())"
    finished = run([sys.executable, "-c", work], 60, {"OMP_NUM_THREADS": "3"}, tmp_path)
    assert finished.output.split() == ["3", str(tmp_path.resolve())]


def test_a_failure_is_told_with_the_end_of_its_output():
    with pytest.raises(CommandFailed, match=r"(?s)ended with code 1: .*ValueError: too small"):
        run([sys.executable, "-c", "raise ValueError('too small')"], 60)


def test_what_runs_too_long_is_stopped_with_all_that_it_started(tmp_path):
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(mark)!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = time.monotonic()
    with pytest.raises(CommandFailed, match=r"stopped after 0\.5 s"):
        run([sys.executable, "-c", parent], 0.5)
    time.sleep(max(0, started + 1.9 - time.monotonic()))
    assert not Path(mark).exists()
