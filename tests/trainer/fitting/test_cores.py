from __future__ import annotations

import os
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from pigeonhole.trainer.fitting.cores import WIDE, cores, products_shared, widest, workers
from pigeonhole.trainer.network.layers import Dense, Dropout
from pigeonhole.trainer.network.sequential import Sequential


def of_width(units: int) -> Sequential:
    layers = [Dense(units, "relu", input_shape=(3,)), Dropout(0.1), Dense(2, "softmax")]
    return Sequential(layers)


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_widest_dense_layer_counts_and_not_the_inputs() -> None:
    assert widest(of_width(7)) == 7
    assert widest(Sequential([Dropout(0.1, input_shape=(900,))])) == 0


def test_narrow_networks_are_fitted_one_after_the_other_and_wide_ones_side_by_side() -> None:
    assert workers(of_width(WIDE - 1), 5) == 1
    assert workers(of_width(WIDE), 5) == min(cores(), 5)
    assert workers(of_width(WIDE), 1) == 1


@pytest.mark.parametrize(("units", "shared"), [(WIDE - 1, False), (WIDE, True)])
def test_the_products_of_a_single_fit_are_shared_out_where_that_pays(
    units: int, shared: bool
) -> None:
    before = blas_threads()
    with products_shared(of_width(units)):
        assert blas_threads() == {cores() if shared else 1}
    assert blas_threads() == before


def test_where_networks_share_the_cores_their_products_do_not() -> None:
    with products_shared(of_width(WIDE), 3):
        assert blas_threads() == {1 if workers(of_width(WIDE), 3) > 1 else cores()}


def test_a_containers_share_counts_in_whole_cores_and_is_one_at_least(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    for text, expected in (("50000 100000", 1), ("100000 100000", 1), ("max 100000", cores())):
        quota.write_text(f"{text}\n", "ascii")
        assert cores(quota) == expected
    quota.write_text("100000000 100000\n", "ascii")
    assert cores(quota) == len(os.sched_getaffinity(0))
    assert cores(tmp_path / "none") == len(os.sched_getaffinity(0))
