"""How a fit shares out the processor's cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

from ..network.layers import Dense
from ..network.sequential import Sequential

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where a container's processes find their share of the processor (cgroup version 2)."""

WIDE = 128
"""Units of the widest layer from which a fit makes use of more than one core.

Several networks are then fitted side by side, one on each core, for Python runs one thread at a time
between numpy's products: two of 256 units side by side took 1.03 times the time of one, but of 64
units 3.3 times, and one after the other 2. And a single network's products are shared out over the
cores: a step took 0.75 of its time with 128 units and 0.62 with 512, on two cores, and longer with 64.
Beside another busy process that loses instead: there, `--ensemble` makes better use of the cores.
"""


def cores(quota: Path = QUOTA) -> int:
    """Cores that this process may use, whole ones of a container's share; at least 1.

    Args:
        quota: where the kernel tells the share, as microseconds of each period.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        granted, period = map(int, quota.read_text("ascii").split())
    except (OSError, ValueError):  # no such file, or "max"
        return allowed or 1
    return max(min(allowed or 1, granted // period), 1)


def widest(network: Sequential) -> int:
    """Units of its widest dense layer."""
    return max((layer.units for layer in network.layers if isinstance(layer, Dense)), default=0)


def workers(network: Sequential, members: int) -> int:
    """How many networks of that kind are fitted at the same time."""
    return min(cores(), members) if widest(network) >= WIDE else 1


@contextmanager
def products_shared(network: Sequential, members: int = 1) -> Iterator[None]:
    """Within it the products of one such network run on all cores, where that pays; else on one.

    Args:
        network: to be fitted.
        members: networks like it that are fitted as well.
    """
    alone = workers(network, members) == 1
    threads = 1
    if alone and widest(network) >= WIDE:
        # Never more than the library was told by its environment.
        told = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        threads = min(cores(), *told) if told else cores()
    with threadpool_limits(threads, user_api="blas"):
        yield
