"""How a fit divides the processor cores among networks and matrix products."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

from ..network.layers import Dense
from ..network.sequential import Sequential

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The processor quota of a container (cgroup version 2)."""

WIDE = 128
"""Units of the widest layer from which a fit uses more than one core.

Several wide networks are fitted in parallel, one on each core. Narrow networks are fitted one after
the other, because Python runs one thread at a time between numpy's products: two networks of 64 units
in parallel took 3.3 times the time of one, two of 256 units 1.03 times.

A single wide network spreads its products over the cores: on two cores a step took 0.75 of its time
with 128 units, 0.62 with 512, and longer with 64. It loses when another process is busy; there,
``--ensemble`` uses the cores better.
"""


def cores(quota: Path = QUOTA) -> int:
    """Return how many cores this process may use, at least 1.

    Args:
        quota: file with the container's microseconds of processor time, and the period.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        granted, period = map(int, quota.read_text("ascii").split())
    except (OSError, ValueError):  # no such file, or "max"
        return allowed or 1
    return max(min(allowed or 1, granted // period), 1)


def widest(network: Sequential) -> int:
    """Return the units of the network's widest dense layer; 0 without one."""
    return max((layer.units for layer in network.layers if isinstance(layer, Dense)), default=0)


def workers(network: Sequential, members: int) -> int:
    """Return how many of ``members`` networks of this shape to fit in parallel."""
    return min(cores(), members) if widest(network) >= WIDE else 1


@contextmanager
def blas_threads(network: Sequential, members: int = 1) -> Iterator[None]:
    """Set the threads of matrix products: all cores for a single wide network, otherwise 1.

    Args:
        network: a network of the shape to fit.
        members: how many such networks are fitted.
    """
    threads = 1
    if workers(network, members) == 1 and widest(network) >= WIDE:
        # Respect limits from the environment, such as OPENBLAS_NUM_THREADS.
        limits = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        threads = min(cores(), *limits) if limits else cores()
    with threadpool_limits(threads, user_api="blas"):
        yield
