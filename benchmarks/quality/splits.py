"""Tables split into a training and a test file, the same for all methods."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.quality.tables import TableError, TableFile

MISSING = ("", "na", "n/a", "nan", "?", "null", "none")
"""Missing cells in lower case, as in the contract about model files."""

TEST_SHARE = 0.2

MIN_CLASS_ROWS = 2
"""Least training rows of a class. Classes with fewer rows in the table are dropped."""

VERSION = 1
"""Version of the splitting, which is part of the digest."""


@dataclass(frozen=True)
class Split:
    """A table in two files.

    Attributes:
        table: name of the table.
        seed: seed of the split.
        target: name of the class column.
        train: training file.
        test: test file.
        labels: classes of the test rows, str objects (rows,).
        digest: digest of table, target, dropped columns and seed.
        train_rows: number of training rows.
        columns: number of columns without the target.
        classes: number of classes.
    """

    table: str
    seed: int
    target: str
    train: Path
    test: Path
    labels: NDArray[np.object_]
    digest: str
    train_rows: int
    columns: int
    classes: int


def split(table: TableFile, seed: int, folder: Path) -> Split:
    """Return the split of a table by a seed; write it if it does not exist.

    Rows without a label and classes with a single row are dropped. Cells are stripped, and missing
    cells are empty, so that all methods read the same text.

    Args:
        table: the table.
        seed: seed of the random choice of test rows.
        folder: folder of splits.

    Raises:
        TableError: the table can't be read, or lacks the target or a column to drop.
    """
    key = (VERSION, table.target, table.drop, seed, TEST_SHARE)
    digest = hashlib.sha256(table.path.read_bytes() + json.dumps(key).encode()).hexdigest()[:12]
    split_folder = folder / f"{table.name}-{seed}-{digest}"
    if not split_folder.is_dir():
        _write(table, seed, split_folder)
    facts = json.loads((split_folder / "facts.json").read_text("utf-8"))
    return Split(
        table=table.name,
        seed=seed,
        target=facts["target"],
        train=split_folder / "train.csv",
        test=split_folder / "test.csv",
        labels=np.array(facts["labels"], object),
        digest=digest,
        **{name: facts[name] for name in ("train_rows", "columns", "classes")},
    )


def stratified_test_rows(codes: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Return which rows are test rows: `TEST_SHARE` of each class, rounded.

    Each class keeps `MIN_CLASS_ROWS` training rows.

    Args:
        codes: class index of each row, (rows,).
        seed: seed of the random choice.

    Returns:
        bool (rows,).
    """
    rng = np.random.default_rng(seed)
    is_test = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        count = min(round(TEST_SHARE * len(rows)), len(rows) - MIN_CLASS_ROWS)
        is_test[rows[: max(count, 0)]] = True
    return is_test


def _write(table: TableFile, seed: int, split_folder: Path) -> None:
    cells = read_cells(table.path)
    target = table.target or list(cells)[-1]
    for name in (target, *table.drop):
        if name not in cells:
            raise TableError(f"{table.path} has no column {name!r}; it has {', '.join(cells)}")
    counts = Counter(cells[target])
    rows = [
        row for row, label in enumerate(cells[target]) if label and counts[label] >= MIN_CLASS_ROWS
    ]
    labels = [cells[target][row] for row in rows]
    codes = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    is_test = stratified_test_rows(np.array([codes[label] for label in labels], np.int64), seed)
    names = [name for name in cells if name not in (*table.drop, target)]
    split_folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=split_folder.parent))
    for file, selected in (("train.csv", ~is_test), ("test.csv", is_test)):
        chosen = list(itertools.compress(rows, selected))
        _write_csv(part / file, {name: cells[name] for name in (*names, target)}, chosen)
    facts = {
        "target": target,
        "labels": list(itertools.compress(labels, is_test)),
        "train_rows": int((~is_test).sum()),
        "columns": len(names),
        "classes": len(codes),
    }
    (part / "facts.json").write_text(json.dumps(facts), "utf-8")
    if not split_folder.is_dir():  # another process may have written it
        part.rename(split_folder)


def _write_csv(path: Path, columns: dict[str, list[str]], rows: list[int]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([cells[row] for cells in columns.values()] for row in rows)


def read_cells(path: Path) -> dict[str, list[str]]:
    """Return the columns of a table as text, by name in the order of the file; missing is empty.

    The trainer's reader is under test, so it is not used here.

    Args:
        path: Parquet file, or CSV file with the most frequent delimiter of its header: comma,
            semicolon, tab or bar.

    Raises:
        TableError: the file can't be read.
    """
    try:
        if path.suffix == ".parquet":
            columns = pq.read_table(path).to_pydict()
            return {name: [_as_text(cell) for cell in cells] for name, cells in columns.items()}
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        file = io.StringIO(text.decode("utf-8-sig"), newline="")
        delimiter = max(",;\t|", key=file.readline().count)
        file.seek(0)
        rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
        return {
            name.strip(): [_as_text(cell) for cell in cells]
            for name, *cells in zip(*rows, strict=True)
        }
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise TableError(f"{path} can't be read: {error}") from None


def _as_text(cell: Any) -> str:
    """Return a cell as the trainer would write a category."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = "" if cell is None else str(cell).strip()
    return "" if text.lower() in MISSING else text
