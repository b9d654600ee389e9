"""Runs fits in parallel threads, all of which Ctrl-C or a failure ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

Task = Callable[[Event], Any]
"""A fit; it raises KeyboardInterrupt or returns early when the event is set."""


def run_parallel(tasks: Sequence[Task], workers: int) -> list[Any]:
    """Run the tasks and return their results in order.

    Python delivers Ctrl-C to the main thread alone. That thread waits here, halts the tasks and
    collects their results. A task that has no result yet gets None.

    Args:
        tasks: the fits.
        workers: how many run at the same time.

    Raises:
        TrainingError: the first failure of a task; the other tasks are halted.
    """
    halt, futures = Event(), list[Future[Any]]()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for task in tasks:
                futures.append(pool.submit(task, halt))  # Ctrl-C may come as early as this
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            halt.set()
            not_submitted = [None] * (len(tasks) - len(futures))
            return [_result_if_any(future) for future in futures] + not_submitted
        finally:
            halt.set()


def _result_if_any(halted: Future[Any]) -> Any:
    try:
        return halted.result()
    except KeyboardInterrupt:
        return None
