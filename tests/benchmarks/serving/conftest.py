"""Small measurements for the tests of benchmarks.serving."""

import pytest

from benchmarks.serving.comparison import Record
from benchmarks.serving.measurement import Measured


@pytest.fixture
def measured():
    """Make what a load gave: requests a second, and p99 in milliseconds."""

    def make(load, requests_per_second, p99_ms=2.0, errors=0):
        return Measured(load, requests_per_second, p99_ms / 2, p99_ms, errors, 0.1, 50_000_000)

    return make


@pytest.fixture
def record():
    """Make the record of a server from what its loads gave."""

    def make(name, *measured, run="now", failures=()):
        return Record(name, "1.0", run, 10_000_000, [1.0, 0.4, 0.5], [*measured], [*failures])

    return make
