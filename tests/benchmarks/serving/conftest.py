"""Measurements and records for the tests of `benchmarks.serving`."""

import pytest

from benchmarks.serving.comparison import Record
from benchmarks.serving.measurement import Measurement


@pytest.fixture
def measurement():
    """Return a function that makes a measurement from requests per second and p99."""

    def make(load, requests_per_second, p99_ms=2.0, errors=0):
        return Measurement(load, requests_per_second, p99_ms / 2, p99_ms, errors, 0.1, 50_000_000)

    return make


@pytest.fixture
def record():
    """Return a function that makes the record of a server from measurements."""

    def make(server, *measurements, started_at="now", failures=()):
        starts = [1.0, 0.4, 0.5]
        return Record(server, "1.0", started_at, 10_000_000, starts, [*measurements], [*failures])

    return make
