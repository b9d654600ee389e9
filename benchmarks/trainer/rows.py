"""Generated rows with a signal to learn, the same on every machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

INPUTS, CLASSES = 54, 7

SEED = 7

LEVELS = (9, 16, 7, 15, 6, 5, 2, 42)
"""Levels of each category column of the census."""

LEVELS_WITH_MISSING = (9, 15, 42)
"""The category columns with missing cells, by their number of levels."""


def numbers(rows: int, folder: Path) -> tuple[Path, Path]:
    """Write rows of 54 standard normal numbers; a random network draws their 7 classes.

    Returns:
        The files of x, float32 (rows, 54), and of y, int64 (rows,).
    """
    x_file, y_file = folder / f"x-{rows}.npy", folder / f"y-{rows}.npy"
    if not y_file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(SEED)
        x = rng.standard_normal((rows, INPUTS), np.float32)
        hidden = np.tanh(x @ rng.standard_normal((INPUTS, 16)) / np.sqrt(INPUTS) * 2)
        logits = hidden @ rng.standard_normal((16, CLASSES)) * 2
        np.save(x_file, x)
        np.save(y_file, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1))
    return x_file, y_file


def initial_weights(hidden: Sequence[int], folder: Path) -> Path:
    """Write the initial weights of a network: Glorot uniform kernels and zero biases.

    Returns:
        The file of kernels and biases; sorted names are in the order of the layers.
    """
    file = folder / f"weights-{'-'.join(map(str, hidden))}.npz"
    rng = np.random.default_rng(SEED)
    units = [INPUTS, *hidden, CLASSES]
    weights = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(units)):
        limit = np.sqrt(6 / (inputs + outputs))
        kernel = rng.uniform(-limit, limit, (inputs, outputs))
        weights[f"{number}-kernel"] = kernel.astype(np.float32)
        weights[f"{number}-zeros"] = np.zeros(outputs, np.float32)
    np.savez(file, allow_pickle=False, **weights)
    return file


def census(rows: int, folder: Path) -> Path:
    """Write a CSV file of six numbers and eight categories, similar to the census income table."""
    file = folder / f"census-{rows}.csv"
    if file.is_file():
        return file
    rng = np.random.default_rng(SEED)
    columns: dict[str, object] = {
        "age": np.clip(rng.gamma(8, 5, rows), 17, 90).astype(int),
        "weight": rng.lognormal(12, 0.5, rows).astype(int),
        "schooling": rng.integers(1, 17, rows),
        "gain": (rng.binomial(1, 0.08, rows) * rng.lognormal(8, 1, rows)).astype(int),
        "loss": (rng.binomial(1, 0.05, rows) * rng.normal(1900, 300, rows)).astype(int),
        "hours": np.clip(rng.normal(40, 12, rows), 1, 99).astype(int),
    }
    effects = np.zeros(rows)
    for number, levels in enumerate(LEVELS, start=1):
        share = rng.dirichlet(np.full(levels, 0.5))
        codes = rng.choice(levels, rows, p=share)
        effects += rng.normal(0, 0.5, levels)[codes]
        missing = rng.binomial(1, 0.05, rows) * (levels in LEVELS_WITH_MISSING)
        columns[f"group_{number}"] = [
            "?" if is_missing else f"level {code}"
            for code, is_missing in zip(codes, missing, strict=True)
        ]
    score = effects + 0.04 * (np.asarray(columns["age"]) - 40)
    score += 0.25 * (np.asarray(columns["schooling"]) - 9) + 2 * (np.asarray(columns["gain"]) > 0)
    score += rng.logistic(size=rows)
    columns["income"] = np.where(score > np.quantile(score, 0.76), "high", "low")
    folder.mkdir(parents=True, exist_ok=True)
    pa.csv.write_csv(pa.table(columns), file)
    return file


def wide(rows: int, columns: int, folder: Path) -> tuple[Path, Path]:
    """Write a table of numbers in 3 classes, as CSV with five decimals and as Parquet."""
    csv_file, parquet_file = (
        folder / f"wide-{rows}x{columns}.{suffix}" for suffix in ("csv", "parquet")
    )
    if not parquet_file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(SEED)
        values = rng.standard_normal((columns, rows)).round(5)
        score = values[0] + values[1] * values[2] + rng.logistic(size=rows)
        cells = {f"x{number}": column for number, column in enumerate(values, start=1)}
        names = np.array(["low", "middle", "high"])
        table = pa.table({**cells, "class": names[np.digitize(score, [-1, 1])]})
        pa.csv.write_csv(table, csv_file)
        pq.write_table(table, parquet_file)
    return csv_file, parquet_file
