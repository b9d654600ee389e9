"""Predict rows of all sizes and print by how many MiB the process grew.

python -m tests.service.memory_soak runs FILE        runs of a model file's session
python -m tests.service.memory_soak requests FOLDER  requests to the Flask app on a model folder
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from pigeonhole.service.app import create_app
from pigeonhole.service.model.artifact import load_model
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.settings import Settings

MAX_ROWS = 10_000

MIB = 2**20

Predict = Callable[[int], None]


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(predict: Predict, warm_up: Iterable[int], sizes: Iterable[int]) -> float:
    """Return by how many MiB memory grew while rows of these sizes were predicted.

    The warm-up lets the process first allocate all that it keeps.
    """
    for rows in (*warm_up, *[MAX_ROWS] * 3):
        predict(rows)
    before = resident_bytes()
    for rows in sizes:
        predict(rows)
    return (resident_bytes() - before) / MIB


def runs(file: Path) -> float:
    """Return the growth by runs of a model with two numbers."""
    model = load_model(file, name="bodymass", version=1, threads=1, max_bytes=MIB)
    numbers, categories = np.full((MAX_ROWS, 2), 100.0), np.empty((MAX_ROWS, 0), object)

    def predict(rows: int) -> None:
        columns = Columns(numbers[:rows], categories[:rows])
        assert len(model.session.run(columns).labels) == rows
        assert model.range_check.out_of_range(columns)

    sizes = np.random.default_rng(1).integers(1, MAX_ROWS + 1, 15_000).tolist()
    return growth(predict, sizes[:500], sizes[500:])


def requests(folder: Path) -> float:
    """Return the growth by requests for the mixed model."""
    client = create_app(Settings(models=folder, max_rows=MAX_ROWS)).test_client()
    row = b'{"age": 30, "member": true, "color": "red", "size/cm": 2.5}'
    all_rows = b'{"instances":[' + b",".join([row] * MAX_ROWS) + b"]}"
    row_bytes = len(row) + 1

    def predict(rows: int) -> None:
        body = all_rows[: len(b'{"instances":[') + rows * row_bytes - 1] + b"]}"
        response = client.post("/predict", data=body)
        assert response.status_code == 200
        assert response.data.count(b'"label"') == rows

    logs = np.random.default_rng(2).uniform(0, np.log(MAX_ROWS + 1), 2500)
    sizes = np.exp(logs).astype(int).tolist()  # log-uniform: mostly small, but of any size
    return growth(predict, sizes[:500], sizes[500:])


if __name__ == "__main__":
    kind, path = sys.argv[1:]
    sys.stdout.write(str({"runs": runs, "requests": requests}[kind](Path(path))))
