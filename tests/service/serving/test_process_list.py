"""Process ids in the shared map."""

from __future__ import annotations

import os
import time

import pytest

from pigeonhole.service.serving.process_list import ProcessList
from pigeonhole.service.serving.shared_state import SharedState
from tests.service.serving.child_processes import until

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def test_list_has_the_parent_and_its_living_workers(children) -> None:
    shared = SharedState(slots=1)
    processes = ProcessList(shared)
    shared.claim(0)
    assert processes.pids() == {os.getpid()}

    def work() -> None:
        shared.worker(0)
        time.sleep(60)

    pid = children.fork(work)
    until(lambda: processes.pids() == {os.getpid(), pid})
    children.kill(pid)
    shared.release(0)
    assert processes.pids() == {os.getpid()}
    shared.claim(0)  # the successor has not started yet
    assert processes.pids() == {os.getpid()}
