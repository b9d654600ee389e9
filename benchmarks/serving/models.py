"""The models that all servers serve, fitted by the trainer to generated tables."""

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

FIT_TIMEOUT_S = 600

HIDDEN = {"small": "3", "heavy": "512,512", "wide": "16", "mixed": "64,64"}
"""Hidden units of each model.

The networks are small 2-3-2, heavy 54-512-512-7 and wide 54-16-7. The inputs of mixed are six numbers
and eight categories.
"""


@dataclass(frozen=True)
class Model:
    """A model file with rows to predict.

    Attributes:
        name: name of the model.
        file: the ONNX file.
        rows: complete rows, values by feature name.
    """

    name: str
    file: Path
    rows: list[dict[str, Any]]

    @property
    def repository(self) -> Path:
        """Return the model folder, which holds this model only."""
        return self.file.parents[2]


def model(name: str, folder: Path = FOLDER) -> Model:
    """Return a model by name; fit it if its file does not exist.

    Args:
        name: a key of ``HIDDEN``.
        folder: folder of models and their tables.

    Raises:
        CommandFailed: the fit failed.
    """
    root = folder / name
    file, table_file = root / "models" / name / "1" / "model.onnx", root / "table.csv"
    if not file.is_file():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        table = _table(name, root)
        pa.csv.write_csv(table, table_file)
        _fit(name, table_file, table.column_names[-1], root / "models")
    return Model(name, file, _rows(table_file, ServedModel(str(file))))


def _fit(name: str, table_file: Path, target: str, models: Path) -> None:
    fit = [sys.executable, "-m", "pigeonhole", "fit", table_file, "--target", target]
    fit += ["--preset", "classic", "--hidden", HIDDEN[name], "--epochs", "2"]
    fit += ["--report", "off", "--name", name, "--models", models]
    run(fit, FIT_TIMEOUT_S)


def _table(name: str, folder: Path) -> pa.Table:
    """Return the training table of a model; the last column is the class."""
    if name == "small":
        return bodymass(TABLE_ROWS, np.random.default_rng(rows.SEED))
    if name == "mixed":
        return pa.csv.read_csv(rows.census(TABLE_ROWS, folder))
    x_file, y_file = rows.numbers(TABLE_ROWS, folder)
    x, y = np.load(x_file).astype(np.float64).round(5), np.load(y_file)
    columns = {f"x{number}": column for number, column in enumerate(x.T, start=1)}
    return pa.table({**columns, "class": [f"class {label}" for label in y]})


def _rows(table_file: Path, served: ServedModel) -> list[dict[str, Any]]:
    names = served.numbers + served.categories
    kinds = dict.fromkeys(served.numbers, pa.float64()) | dict.fromkeys(
        served.categories, pa.string()
    )
    convert = pa.csv.ConvertOptions(include_columns=names, column_types=kinds)
    records = pa.csv.read_csv(table_file, convert_options=convert).to_pylist()
    return [row for row in records if "?" not in row.values()]
