"""Cores granted by the CPU affinity and by the quotas of control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from pigeonhole.service.cores import granted_cores, quota_cores, usable_cores


@pytest.fixture
def write_root(tmp_path: Path):
    """Write the kernel's files below a folder that stands for the root; return the folder."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "ascii")
        return tmp_path

    return write


def test_granted_cores_of_this_machine_are_within_its_affinity() -> None:
    assert 1 <= granted_cores() <= len(os.sched_getaffinity(0))


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert quota_cores(tmp_path) == math.inf
    assert granted_cores(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("150000 100000\n", 1.5),
        ("50000 200000\n", 0.25),
        ("max 100000\n", math.inf),
        ("", math.inf),
        ("150000\n", math.inf),
        ("100000 0\n", math.inf),
        ("some text\n", math.inf),
    ],
)
def test_quota_of_a_container_is_read_at_the_mount(write_root, text: str, cores: float) -> None:
    root = write_root(**{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text})
    assert quota_cores(root) == cores


def test_fraction_of_a_core_is_granted_as_one_core(write_root) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}
    assert granted_cores(write_root(**files)) == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert granted_cores(write_root(**{"sys/fs/cgroup/cpu.max": "100001 100000\n"})) == 2


def test_usable_cores_can_be_a_fraction(write_root) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}
    assert usable_cores(write_root(**files)) == 0.2
    write_root(**{"sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert usable_cores(write_root()) == len(os.sched_getaffinity(0))


def test_least_quota_of_a_group_and_its_parents_counts(write_root) -> None:
    root = write_root(
        **{
            "proc/self/cgroup": "0::/system.slice/pigeonhole.service\n",
            "sys/fs/cgroup/system.slice/pigeonhole.service/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/system.slice/cpu.max": "200000 100000\n",
        }
    )
    assert quota_cores(root) == 2
    write_root(**{"sys/fs/cgroup/system.slice/pigeonhole.service/cpu.max": "50000 100000\n"})
    assert quota_cores(root) == 0.5


def test_quota_of_a_sibling_group_does_not_count(write_root) -> None:
    root = write_root(
        **{
            "proc/self/cgroup": "0::/system.slice/pigeonhole.service\n",
            "sys/fs/cgroup/system.slice/database.service/cpu.max": "50000 100000\n",
        }
    )
    assert quota_cores(root) == math.inf


def test_path_that_the_container_does_not_see_leads_to_the_mount(write_root) -> None:
    root = write_root(
        **{
            "proc/self/cgroup": "0::/../../kubepods/pod1/container2\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
        }
    )
    assert quota_cores(root) == 4


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota", "cores"), [("250000", 2.5), ("-1", math.inf)])
def test_version_1_of_control_groups_is_read(write_root, mount, quota, cores) -> None:
    folder = f"sys/fs/cgroup/{mount}/docker/c1"
    root = write_root(
        **{
            "proc/self/cgroup": "5:cpuset:/docker/c1\n4:cpu,cpuacct:/docker/c1\n",
            f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
        }
    )
    assert quota_cores(root) == cores


def test_both_versions_of_control_groups_are_read_at_once(write_root) -> None:
    root = write_root(
        **{
            "proc/self/cgroup": "1:cpu,cpuacct:/a\n0::/b\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        }
    )
    assert quota_cores(root) == 3
    write_root(**{"sys/fs/cgroup/unified/b/cpu.max": "200000 100000\n"})
    assert quota_cores(root) == 2
