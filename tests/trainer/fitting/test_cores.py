from __future__ import annotations

import os
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from pigeonhole.trainer.fitting.cores import WIDE, blas_threads, cores, widest, workers
from pigeonhole.trainer.network.layers import Dense, Dropout
from pigeonhole.trainer.network.sequential import Sequential


def of_width(units: int) -> Sequential:
    layers = [Dense(units, "relu", input_shape=(3,)), Dropout(0.1), Dense(2, "softmax")]
    return Sequential(layers)


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_widest_layer_is_dense() -> None:
    assert widest(of_width(7)) == 7
    assert widest(Sequential([Dropout(0.1, input_shape=(900,))])) == 0


def test_only_wide_networks_are_fitted_in_parallel() -> None:
    assert workers(of_width(WIDE - 1), 5) == 1
    assert workers(of_width(WIDE), 5) == min(cores(), 5)
    assert workers(of_width(WIDE), 1) == 1


@pytest.mark.parametrize(("units", "all_cores"), [(WIDE - 1, False), (WIDE, True)])
def test_single_wide_network_multiplies_on_all_cores(units: int, all_cores: bool) -> None:
    before = threads()
    with blas_threads(of_width(units)):
        assert threads() == {cores() if all_cores else 1}
    assert threads() == before


def test_parallel_networks_multiply_on_one_core_each() -> None:
    with blas_threads(of_width(WIDE), 3):
        assert threads() == {1 if workers(of_width(WIDE), 3) > 1 else cores()}


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("max 100000", cores()),
        ("100000000 100000", len(os.sched_getaffinity(0))),
    ],
)
def test_container_quota_limits_the_cores(tmp_path: Path, quota: str, expected: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{quota}\n", "ascii")
    assert cores(file) == expected


def test_without_a_quota_every_allowed_core_counts(tmp_path: Path) -> None:
    assert cores(tmp_path / "none") == len(os.sched_getaffinity(0))
