"""The models that every server serves, fitted by the trainer to generated tables."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.peers.served_model import ServedModel
from benchmarks.places import BUILD
from benchmarks.processes import run
from benchmarks.trainer import rows
from pigeonhole.trainer.data.samples import bodymass

FOLDER = BUILD / "serving" / "models"

TABLE_ROWS = 4_000

FIT_LIMIT_S = 600

HIDDEN = {"small": "3", "heavy": "512,512", "wide": "16", "mixed": "64,64"}
"""Units of each model's hidden layers: 2-3-2; 54-512-512-7; 54-16-7; six numbers and eight
categories."""


@dataclass(frozen=True)
class Model:
    """A model file, and rows to ask it for.

    Attributes:
        name: of the model.
        file: the ONNX file.
        rows: by the names of the features, numbers and text, none missing.
    """

    name: str
    file: Path
    rows: list[dict[str, Any]]

    @property
    def repository(self) -> Path:
        """The model folder that holds this model alone, for our service."""
        return self.file.parents[2]


def model(name: str, folder: Path = FOLDER) -> Model:
    """A model by its name; fitted first where there is no file yet.

    Args:
        name: one of ``HIDDEN``.
        folder: where models and their tables are kept.

    Raises:
        CommandFailed: the fit failed.
    """
    place = folder / name
    file, table = place / "models" / name / "1" / "model.onnx", place / "table.csv"
    if not file.is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        made = _table(name, place)
        pa.csv.write_csv(made, table)
        fit = [sys.executable, "-m", "pigeonhole", "fit", table, "--target", made.column_names[-1]]
        fit += ["--preset", "classic", "--hidden", HIDDEN[name], "--epochs", "2"]
        fit += ["--report", "off", "--name", name, "--models", place / "models"]
        run(fit, FIT_LIMIT_S)
    return Model(name, file, _rows(table, ServedModel(str(file))))


def _table(name: str, folder: Path) -> pa.Table:
    """The table a model learns from; the class is its last column."""
    if name == "small":
        return bodymass(TABLE_ROWS, np.random.default_rng(rows.SEED))
    if name == "mixed":
        return pa.csv.read_csv(rows.census(TABLE_ROWS, folder))
    x_file, y_file = rows.numbers(TABLE_ROWS, folder)
    x, y = np.load(x_file).astype(np.float64).round(5), np.load(y_file)
    columns = {f"x{place + 1}": column for place, column in enumerate(x.T)}
    return pa.table({**columns, "class": [f"class {label}" for label in y]})


def _rows(table: Path, served: ServedModel) -> list[dict[str, Any]]:
    names = served.numbers + served.categories
    kinds = dict.fromkeys(served.numbers, pa.float64()) | dict.fromkeys(
        served.categories, pa.string()
    )
    convert = pa.csv.ConvertOptions(include_columns=names, column_types=kinds)
    found = pa.csv.read_csv(table, convert_options=convert).to_pylist()
    return [row for row in found if "?" not in row.values()]
