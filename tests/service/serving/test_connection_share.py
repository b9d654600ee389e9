"""Open connections of each worker in the shared map."""

from __future__ import annotations

from pigeonhole.service.serving.connection_share import ConnectionShare, connection_counts


def test_worker_that_has_reported_nothing_does_not_count(shared) -> None:
    share = ConnectionShare(shared.worker(0))
    assert (share.minimum(), share.total(), connection_counts(shared)) == (0, 0, [])


def test_minimum_and_total_are_over_all_accepting_workers(shared) -> None:
    first, second = (ConnectionShare(shared.worker(slot)) for slot in range(2))
    first.report(5)
    second.report(3)
    assert (first.minimum(), first.total()) == (3, 8)
    second.report(None)
    assert (first.minimum(), first.total()) == (5, 5)


def test_connections_of_an_ended_worker_do_not_count(shared) -> None:
    first, second = (ConnectionShare(shared.worker(slot)) for slot in range(2))
    first.report(5)
    second.report(3)
    shared.release(1)
    assert first.minimum() == 5
    shared.claim(1)  # the successor has not reported yet
    assert connection_counts(shared) == [5]
