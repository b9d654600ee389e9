"""How many cores this process may use: its CPU affinity, limited by its container's quota.

The quota belongs to a control group: so many microseconds of processor time in each period. More
workers than that would spend their time waiting for the next period.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOUNT = Path("sys/fs/cgroup")
"""Where control groups are mounted, below the root folder."""


def granted_cores(root: Path = Path("/")) -> int:
    """Return the usable cores, rounded up; at least 1.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    return max(1, math.ceil(usable_cores(root)))


def usable_cores(root: Path = Path("/")) -> float:
    """Return the cores of the affinity or the quota, whichever is less; can be a fraction.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed or 1, quota_cores(root))


def quota_cores(root: Path = Path("/")) -> float:
    """Return the least quota of the control group and its parents, in cores; infinity without one.

    Both versions of control groups are read, because a machine may have either or both.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    return min((_quota(folder) for folder in _folders(root)), default=math.inf)


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that may have a quota of processor time.

    A container may see its own group as the root of the mount, while the path is the host's. Then the
    folders of the path do not exist, and the last one, the mount itself, counts.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:  # version 2, alone or beside version 1
            mounts = ["", "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [controllers, "cpu"]
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for mount in mounts:
            for place in (group, *group.parents):
                yield root / MOUNT / mount / place


def _quota(folder: Path) -> float:
    """Return the quota of one control group, in cores; infinity without one."""
    texts = (
        _text(folder / "cpu.max").split()  # version 2: "150000 100000", or "max 100000"
        or _text(folder / "cpu.cfs_quota_us").split() + _text(folder / "cpu.cfs_period_us").split()
    )
    try:
        quota, period = map(int, texts)
    except ValueError:
        return math.inf
    # Version 1 has -1 for no quota.
    return quota / period if quota > 0 and period > 0 else math.inf


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
