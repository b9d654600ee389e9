"""CPU time and memory of process trees."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from benchmarks.serving.load import process_tree

CHILD = """
import time
memory = bytearray(40_000_000)
memory[::4096] = b"x" * len(memory[::4096])
started = time.process_time()
while time.process_time() - started < 0.3:
    pass
print("done", flush=True)
time.sleep(60)
"""

PARENT = f"""
import subprocess, sys
# One child in the parent's session, one in a new session.
for new_session in (False, True):
    subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=new_session)
# One child that ends.
subprocess.run([sys.executable, "-c", {CHILD.replace("time.sleep(60)", "")!r}])
print("ended", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server():
    """Start a process with two running children and an ended child, each with 0.3 s of CPU."""
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


def test_tree_is_the_root_with_its_descendants(server):
    processes = process_tree.tree(server.pid)
    assert server.pid in {process.pid for process in processes}
    assert len(processes) == 3
    assert len({process.session for process in processes}) == 2
    assert os.getpid() not in {process.pid for process in processes}


def test_cpu_time_includes_children_that_have_ended(server):
    assert 0.85 <= process_tree.cpu_seconds(server.pid) <= 3


def test_memory_is_the_sum_of_running_processes(server):
    assert 80e6 <= process_tree.memory_bytes(server.pid) <= 200e6


def test_zombie_is_in_the_tree_but_not_running(server):
    child = next(p.pid for p in process_tree.tree(server.pid) if p.parent == server.pid)
    assert process_tree.is_running(child)
    os.kill(child, 9)
    deadline = time.monotonic() + 10
    while process_tree.is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not process_tree.is_running(child)
    assert child in {process.pid for process in process_tree.tree(server.pid)}
