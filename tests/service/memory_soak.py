"""Answers rows of all sizes and prints by how many MiB the process grew: a program for a test.

python -m tests.service.memory_soak runs FILE        a model file, by its session alone
python -m tests.service.memory_soak requests FOLDER  a model folder, by the Flask app
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

MOST_ROWS = 10_000

MIB = 2**20

Answer = Callable[[int], None]


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(answer: Answer, warm_up: Iterable[int], sizes: Iterable[int]) -> float:
    """MiB that answering requests of these sizes added, after others had made themselves room."""
    for rows in (*warm_up, *[MOST_ROWS] * 3):
        answer(rows)
    before = resident()
    for rows in sizes:
        answer(rows)
    return (resident() - before) / MIB


def runs(file: Path) -> float:
    """Growth by runs of a model of two numbers."""
    model = load_model(file, name="bodymass", version=1, threads=1, max_bytes=MIB)
    numbers, categories = np.full((MOST_ROWS, 2), 100.0), np.empty((MOST_ROWS, 0), object)

    def answer(rows: int) -> None:
        columns = Columns(numbers[:rows], categories[:rows])
        assert len(model.session.run(columns).labels) == rows
        assert model.watch.unusual(columns)

    sizes = np.random.default_rng(1).integers(1, MOST_ROWS + 1, 15_000).tolist()
    return growth(answer, sizes[:500], sizes[500:])


def requests(folder: Path) -> float:
    """Growth by requests for the mixed model."""
    client = create_app(Settings(models=folder, max_rows=MOST_ROWS)).test_client()
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
    return growth(answer, sizes[:500], sizes[500:])


if __name__ == "__main__":
    what, place = sys.argv[1:]
    sys.stdout.write(str({"runs": runs, "requests": requests}[what](Path(place))))
