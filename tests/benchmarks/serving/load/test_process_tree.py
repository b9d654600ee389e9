"""Promises of benchmarks.serving.load.process_tree."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from benchmarks.serving.load import process_tree

CHILD = """
import time
held = bytearray(40_000_000)
held[::4096] = b"x" * len(held[::4096])
started = time.process_time()
while time.process_time() - started < 0.3:
    pass
print("done", flush=True)
time.sleep(60)
"""

PARENT = f"""
import subprocess, sys
# One in the parent's session, one that has left it.
for apart in (False, True):
    subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=apart)
# One that has ended.
subprocess.run([sys.executable, "-c", {CHILD.replace("time.sleep(60)", "")!r}])
print("ended", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server():
    """A process with two children that run and one that has ended, each 0.3 s of work."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        for _ in range(4):
            process.stdout.readline()
        yield process
        for each in process_tree.tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, 9)


def test_a_tree_is_the_root_and_all_that_it_started(server):
    found = process_tree.tree(server.pid)
    assert server.pid in {process.pid for process in found}
    assert len(found) == 3
    assert len({process.session for process in found}) == 2
    assert os.getpid() not in {process.pid for process in found}


def test_processor_time_counts_children_that_have_ended(server):
    assert 0.85 <= process_tree.cpu_seconds(server.pid) <= 3


def test_memory_is_that_of_all_that_run(server):
    assert 80e6 <= process_tree.memory_bytes(server.pid) <= 200e6


def test_a_process_runs_until_it_has_ended_even_if_nobody_took_note(server):
    left = next(p.pid for p in process_tree.tree(server.pid) if p.parent == server.pid)
    assert process_tree.runs(left)
    os.kill(left, 9)
    deadline = time.monotonic() + 10
    while process_tree.runs(left) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not process_tree.runs(left)
    assert left in {process.pid for process in process_tree.tree(server.pid)}
