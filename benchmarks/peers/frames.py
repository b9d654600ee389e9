"""Training and test tables as data frames, read in the same way for all peers.

The missing cells are the trainer's. A column is numeric if 95 % of its filled training cells are
numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MISSING = ("", "na", "n/a", "nan", "?", "null", "none")
NUMERIC_SHARE = 0.95


@dataclass(frozen=True)
class Frames:
    """The tables of a job.

    Attributes:
        train: training rows; columns are float64 with NaN for missing, or of dtype category.
        labels: classes of the training rows, strings (rows,).
        test: test rows with the same columns; categories absent from training are missing.
    """

    train: pd.DataFrame
    labels: np.ndarray
    test: pd.DataFrame


def read(job: dict[str, Any]) -> Frames:
    """Return the tables of a job."""
    train, test = (_read_cells(job[name]) for name in ("train", "test"))
    labels = train.pop(job["target"]).to_numpy(dtype=object)
    train = train.dropna(axis="columns", how="all")  # drop empty columns
    test = test[train.columns]
    for name in train.columns:
        numbers = pd.to_numeric(train[name], errors="coerce")
        filled_cells = train[name].notna().sum()
        if numbers.notna().sum() >= NUMERIC_SHARE * filled_cells:
            train[name] = numbers.astype("float64")
            test[name] = pd.to_numeric(test[name], errors="coerce").astype("float64")
        else:
            levels = pd.CategoricalDtype(sorted(train[name].dropna().unique()))
            train[name], test[name] = train[name].astype(levels), test[name].astype(levels)
    return Frames(train, labels, test)


def _read_cells(path: str) -> pd.DataFrame:
    cells = pd.read_csv(path, dtype="object", keep_default_na=False)
    return cells.mask(cells.apply(lambda column: column.str.lower().isin(MISSING)), None)


def run_job(
    job: dict[str, Any],
    frames: Frames,
    fit: Callable[[], Any],
    save: Callable[[Any, Path], None],
    versions: dict[str, str],
) -> None:
    """Fit, save and predict, and write the timed result to the folder of the job.

    Args:
        job: the job.
        frames: tables of the job.
        fit: returns a fitted classifier with ``classes_`` and ``predict_proba``.
        save: writes a classifier to a file.
        versions: versions of the libraries.
    """
    folder = Path(job["folder"])
    started = time.perf_counter()
    model = fit()
    fitted = time.perf_counter()
    save(model, folder / "model.pickle")
    saved = time.perf_counter()
    np.save(folder / "probabilities.npy", model.predict_proba(frames.test))
    result = {
        "classes": [str(name) for name in model.classes_],
        "fit_seconds": fitted - started,
        "save_seconds": saved - fitted,
        "versions": versions,
    }
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
