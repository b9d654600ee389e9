"""Counters and gauges in the shared map."""

from __future__ import annotations

import time

import pytest

from pigeonhole.service.serving.metric_store import COUNTER, GAUGE, MetricStore, WorkerMetrics
from pigeonhole.service.serving.shared_state import METRICS, SharedState
from tests.service.serving.child_processes import until

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def shared() -> SharedState:
    """A map of one slot, which is claimed."""
    shared = SharedState(slots=1)
    shared.claim(0)
    return shared


@pytest.fixture
def metrics(shared) -> WorkerMetrics:
    return WorkerMetrics(shared.worker(0))


def values(shared: SharedState) -> dict[tuple[str, ...], tuple[float, ...]]:
    return {(s.metric, *s.labels): s.values for s in MetricStore(shared).read()}


def test_added_and_set_values_are_read(shared, metrics) -> None:
    metrics.add(metrics.series(COUNTER, "calls", ("a",)))
    metrics.add(metrics.series(COUNTER, "calls", ("a",)), 2.5)
    metrics.add(metrics.series(COUNTER, "calls", ("b",)))
    metrics.set(metrics.series(GAUGE, "ready", ()), 1)
    times = metrics.series(COUNTER, "times", (), width=3)
    assert times is not None
    metrics.add_all([(times, 1), (times + 2, 4), (None, 9)])
    assert values(shared) == {
        ("calls", "a"): (3.5,),
        ("calls", "b"): (1.0,),
        ("ready",): (1.0,),
        ("times",): (1.0, 0.0, 4.0),
    }


def test_value_is_raised_but_never_lowered(shared, metrics) -> None:
    index = metrics.series(COUNTER, "seconds", ())
    for value in (2.0, 3.0, 1.0):
        metrics.raise_to(index, value)
    assert values(shared) == {("seconds",): (3.0,)}


def test_counter_and_gauge_of_one_name_are_two_series(metrics) -> None:
    assert metrics.series(COUNTER, "n", ()) != metrics.series(GAUGE, "n", ())


def test_gauge_ends_with_its_worker_and_starts_at_0_in_the_successor(shared, children) -> None:
    def work() -> None:
        metrics = WorkerMetrics(shared.worker(0))
        metrics.set(metrics.series(GAUGE, "ready", ()), 1)
        metrics.add(metrics.series(COUNTER, "calls", ()))
        time.sleep(60)

    pid = children.fork(work)
    until(lambda: values(shared).get(("calls",)) == (1.0,))
    assert values(shared)["ready",] == (1.0,)
    children.kill(pid)
    shared.release(0)
    assert values(shared) == {("calls",): (1.0,)}
    shared.claim(0)  # the successor has counted nothing yet
    assert values(shared) == {("calls",): (1.0,), ("ready",): (0.0,)}
    successor = WorkerMetrics(shared.worker(0))
    successor.set(successor.series(GAUGE, "ready", ()), 1)
    assert values(shared) == {("calls",): (1.0,), ("ready",): (1.0,)}


def test_store_full_of_keys_rejects_more_and_counts_them(shared, metrics) -> None:
    label = "x" * (METRICS.key_bytes // 10)
    indices = [metrics.series(COUNTER, "n", (f"{i}{label}",)) for i in range(12)]
    assert None not in indices[:9]
    assert indices[9:] == [None] * 3
    assert MetricStore(shared).rejected() == 3
    metrics.add(indices[0])
    metrics.add(None)
    metrics.set(None, 1)
    metrics.raise_to(None, 1)
    assert sum(value for (value,) in values(shared).values()) == 1
    assert metrics.series(COUNTER, "small", ()) is not None


def test_store_full_of_values_rejects_more_and_counts_them(shared, metrics) -> None:
    last = METRICS.value_count - 1
    assert metrics.series(COUNTER, "all", (), width=last) == 0
    assert metrics.series(COUNTER, "wide", (), width=2) is None
    assert metrics.series(COUNTER, "last", ()) == last
    assert metrics.series(COUNTER, "more", ()) is None
    assert MetricStore(shared).rejected() == 2


def test_rejected_series_is_counted_once(shared, metrics) -> None:
    assert metrics.series(COUNTER, "all", (), width=METRICS.value_count) == 0
    assert [metrics.series(COUNTER, "more", ()) for _ in range(3)] == [None] * 3
    assert MetricStore(shared).rejected() == 1


def test_details_leave_room_for_the_others(metrics) -> None:
    label, details = "x" * (METRICS.key_bytes // 100), 0
    while metrics.series(COUNTER, "rows", (f"{details}{label}",), detail=True) is not None:
        details += 1
    assert details > 70
    others = [metrics.series(COUNTER, "requests", (f"{i}{label}",)) for i in range(20)]
    assert None not in others


def test_views_of_one_slot_share_their_series(shared) -> None:
    slot = shared.worker(0)
    first, second = WorkerMetrics(slot), WorkerMetrics(slot)
    first.add(first.series(COUNTER, "calls", ()))
    second.add(second.series(COUNTER, "calls", ()))
    assert values(shared) == {("calls",): (2.0,)}
