"""A train and a test table as data frames of numbers and categories, told apart by one rule for all.

A cell is missing where the trainer takes it for missing, and a column is one of numbers where 95 %
of its filled training cells are numbers: so no method is given another reading of a table.
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
NEARLY_ALL = 0.95


@dataclass(frozen=True)
class Frames:
    """What to fit to, and what to answer.

    Attributes:
        train: float64 columns, NaN where missing, and columns of dtype category.
        labels: the classes of its rows, text.
        test: the same columns; a category that training does not have is missing.
    """

    train: pd.DataFrame
    labels: np.ndarray
    test: pd.DataFrame


def read(job: dict[str, Any]) -> Frames:
    """The two tables of a job."""
    train, test = (_cells(job[part]) for part in ("train", "test"))
    labels = train.pop(job["target"]).to_numpy(dtype=object)
    train = train.dropna(axis="columns", how="all")  # what training never saw says nothing
    test = test[train.columns]
    for name in train.columns:
        numbers = pd.to_numeric(train[name], errors="coerce")
        filled = train[name].notna().sum()
        if numbers.notna().sum() >= NEARLY_ALL * filled:
            train[name] = numbers.astype("float64")
            test[name] = pd.to_numeric(test[name], errors="coerce").astype("float64")
        else:
            kinds = pd.CategoricalDtype(sorted(train[name].dropna().unique()))
            train[name], test[name] = train[name].astype(kinds), test[name].astype(kinds)
    return Frames(train, labels, test)


def _cells(path: str) -> pd.DataFrame:
    cells = pd.read_csv(path, dtype="object", keep_default_na=False)
    return cells.mask(cells.apply(lambda column: column.str.lower().isin(MISSING)), None)


def answer(
    job: dict[str, Any],
    frames: Frames,
    fit: Callable[[], Any],
    save: Callable[[Any, Path], None],
    versions: dict[str, str],
) -> None:
    """Fit, save and answer, each timed, and leave the answer in the folder of the job.

    Args:
        job: what was asked for.
        frames: its tables.
        fit: gives a fitted classifier with ``classes_`` and ``predict_proba``.
        save: writes it to a file.
        versions: of the libraries that did it.
    """
    folder = Path(job["answer"])
    started = time.perf_counter()
    model = fit()
    fitted = time.perf_counter()
    save(model, folder / "model.pickle")
    saved = time.perf_counter()
    np.save(folder / "probabilities.npy", model.predict_proba(frames.test))
    facts = {
        "classes": [str(name) for name in model.classes_],
        "fit_seconds": fitted - started,
        "save_seconds": saved - fitted,
        "versions": versions,
    }
    (folder / "answer.json").write_text(json.dumps(facts), "utf-8")
