"""The study of the cost of tracing."""

from benchmarks.serving.studies.tracing_cost import measure


def test_requests_to_the_handler_succeed_and_are_timed():
    assert measure("", requests=64) > 0
