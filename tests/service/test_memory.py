"""Memory stays flat under load, whatever numbers of rows the requests have."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from service.model.artifact import load_model
from service.model.columns import Columns

pytestmark = pytest.mark.slow

MOST_ROWS = 10_000

MIB = 2**20


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(answer: Callable[[int], None], warm_up: Iterable[int], sizes: Iterable[int]) -> float:
    """MiB that answering requests of these sizes added, after others had made themselves room."""
    for rows in (*warm_up, *[MOST_ROWS] * 3):
        answer(rows)
    before = resident()
    for rows in sizes:
        answer(rows)
    return (resident() - before) / MIB


def test_runs_of_all_sizes_leave_nothing_behind(repository: Path) -> None:
    path = repository / "models" / "bodymass" / "1" / "model.onnx"
    model = load_model(path, name="bodymass", version=1, threads=1, max_bytes=MIB)
    numbers, categories = np.full((MOST_ROWS, 2), 100.0), np.empty((MOST_ROWS, 0), object)

    def answer(rows: int) -> None:
        columns = Columns(numbers[:rows], categories[:rows])
        assert len(model.session.run(columns).labels) == rows
        assert model.watch.unusual(columns)

    sizes = np.random.default_rng(1).integers(1, MOST_ROWS + 1, 15_000).tolist()
    # With onnxruntime's own defaults a plan for each size stays: above 5 MiB.
    assert growth(answer, sizes[:500], sizes[500:]) < 3


def test_requests_of_all_sizes_leave_nothing_behind(start, write_mixed_model, tmp_path) -> None:
    write_mixed_model(tmp_path / "models")
    client = start(max_rows=MOST_ROWS)
    row = b'{"age": 30, "member": true, "color": "red", "size/cm": 2.5}'
    everything = b'{"instances":[' + b",".join([row] * MOST_ROWS) + b"]}"
    each = len(row) + 1

    def answer(rows: int) -> None:
        body = everything[: len(b'{"instances":[') + rows * each - 1] + b"]}"
        response = client.post("/predict", data=body)
        assert response.status_code == 200
        assert response.data.count(b'"label"') == rows

    logs = np.random.default_rng(2).uniform(0, np.log(MOST_ROWS + 1), 2500)
    sizes = np.exp(logs).astype(int).tolist()  # most small, all of them possible
    assert growth(answer, sizes[:500], sizes[500:]) < 8
