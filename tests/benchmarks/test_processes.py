"""Commands run to completion."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import CommandFailed, run


def test_seconds_and_memory_are_those_of_the_command():
    code = "import time; memory = bytearray(80_000_000); time.sleep(0.2); print(len(memory))"
    finished = run([sys.executable, "-c", code], 60)
    assert finished.seconds >= 0.2
    assert 80e6 <= finished.peak_bytes <= 200e6
    assert finished.cpu_seconds > 0
    assert finished.output.strip() == "80000000"


def test_command_gets_variables_and_working_directory(tmp_path):
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.getcwd())"
    finished = run([sys.executable, "-c", code], 60, {"OMP_NUM_THREADS": "3"}, tmp_path)
    assert finished.output.split() == ["3", str(tmp_path.resolve())]


def test_failed_command_is_reported_with_its_last_output():
    with pytest.raises(CommandFailed, match=r"(?s)exited with code 1: .*ValueError: too small"):
        run([sys.executable, "-c", "raise ValueError('too small')"], 60)


def test_command_is_killed_with_its_children_at_the_timeout(tmp_path):
    marker = tmp_path / "marker"
    child = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(marker)!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = time.monotonic()
    with pytest.raises(CommandFailed, match=r"timed out after 0\.5 s"):
        run([sys.executable, "-c", parent], 0.5)
    time.sleep(max(0, started + 1.9 - time.monotonic()))
    assert not Path(marker).exists()
