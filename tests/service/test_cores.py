from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from pigeonhole.service.cores import granted_cores, quota_cores, usable_cores


@pytest.fixture
def machine(tmp_path: Path):
    """Writes what the kernel would tell, below a folder that stands for the root."""

    def machine(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "ascii")
        return tmp_path

    return machine


def test_the_cores_here_are_at_least_one_and_no_more_than_the_scheduler_allows() -> None:
    assert 1 <= granted_cores() <= len(os.sched_getaffinity(0))


def test_where_nothing_is_told_the_affinity_alone_counts(tmp_path: Path) -> None:
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
def test_a_container_is_told_its_quota_at_the_mount(machine, text: str, cores: float) -> None:
    root = machine(**{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text})
    assert quota_cores(root) == cores


def test_a_part_of_a_core_counts_as_one(machine) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}
    assert granted_cores(machine(**files)) == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert granted_cores(machine(**{"sys/fs/cgroup/cpu.max": "100001 100000\n"})) == 2


def test_what_may_be_used_can_be_a_part_of_a_core(machine) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}
    assert usable_cores(machine(**files)) == 0.2
    machine(**{"sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert usable_cores(machine()) == len(os.sched_getaffinity(0))


def test_the_least_quota_on_the_way_up_counts(machine) -> None:
    root = machine(
        **{
            "proc/self/cgroup": "0::/system.slice/pigeonhole.service\n",
            "sys/fs/cgroup/system.slice/pigeonhole.service/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/system.slice/cpu.max": "200000 100000\n",
        }
    )
    assert quota_cores(root) == 2
    machine(**{"sys/fs/cgroup/system.slice/pigeonhole.service/cpu.max": "50000 100000\n"})
    assert quota_cores(root) == 0.5


def test_a_neighbours_quota_does_not_count(machine) -> None:
    root = machine(
        **{
            "proc/self/cgroup": "0::/system.slice/pigeonhole.service\n",
            "sys/fs/cgroup/system.slice/database.service/cpu.max": "50000 100000\n",
        }
    )
    assert quota_cores(root) == math.inf


def test_a_path_of_the_host_that_the_container_does_not_see_ends_at_the_mount(machine) -> None:
    root = machine(
        **{
            "proc/self/cgroup": "0::/../../kubepods/pod1/container2\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
        }
    )
    assert quota_cores(root) == 4


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota", "cores"), [("250000", 2.5), ("-1", math.inf)])
def test_the_first_version_of_control_groups_is_read_too(machine, mount, quota, cores) -> None:
    folder = f"sys/fs/cgroup/{mount}/docker/c1"
    root = machine(
        **{
            "proc/self/cgroup": "5:cpuset:/docker/c1\n4:cpu,cpuacct:/docker/c1\n",
            f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
        }
    )
    assert quota_cores(root) == cores


def test_with_both_versions_at_once_each_is_read_where_it_is_mounted(machine) -> None:
    root = machine(
        **{
            "proc/self/cgroup": "1:cpu,cpuacct:/a\n0::/b\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        }
    )
    assert quota_cores(root) == 3
    machine(**{"sys/fs/cgroup/unified/b/cpu.max": "200000 100000\n"})
    assert quota_cores(root) == 2
