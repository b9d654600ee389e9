"""A table split once into two files, which every method gets alike."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
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

from benchmarks.quality.tables import TableFile, TargetsRefused

MISSING = ("", "na", "n/a", "nan", "?", "null", "none")
"""What says nothing, in lower case, as the contract about model files has it."""

TEST_SHARE = 0.2

FEWEST_ROWS = 2
"""A class keeps so many rows to learn from; one that has fewer in all is left out."""

FORM = 1
"""Counted up when the same table and seed would be split in another way."""


@dataclass(frozen=True)
class Split:
    """One table in two files.

    Attributes:
        table: its name.
        seed: of the split.
        target: the column of classes.
        train: the file to learn from.
        test: the file to answer.
        labels: the classes of the test rows, str objects (rows,).
        digest: what tells it from any other split.
        train_rows: rows to learn from.
        columns: columns beside the target.
        classes: classes in the table.
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
    """The split of a table by a seed; written where it is not there yet.

    Rows without a label are dropped, and so are classes with a single row. Cells are
    trimmed, and a missing one is empty, so that all methods see the same text.

    Args:
        table: what to split.
        seed: decides which rows are tested on.
        folder: where splits are kept.

    Raises:
        TargetsRefused: the table can't be read, or has no such target or column to drop.
    """
    key = (FORM, table.target, table.drop, seed, TEST_SHARE)
    digest = hashlib.sha256(table.path.read_bytes() + json.dumps(key).encode()).hexdigest()[:12]
    place = folder / f"{table.name}-{seed}-{digest}"
    if not place.is_dir():
        _write(table, seed, place)
    facts = json.loads((place / "facts.json").read_text("utf-8"))
    return Split(
        table=table.name,
        seed=seed,
        target=facts["target"],
        train=place / "train.csv",
        test=place / "test.csv",
        labels=np.array(facts["labels"], object),
        digest=digest,
        **{name: facts[name] for name in ("train_rows", "columns", "classes")},
    )


def held_out(codes: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which rows are tested on: of each class its share, rounded, but some stay to learn from.

    Args:
        codes: the class of each row as a number, (rows,).
        seed: decides which.

    Returns:
        bool (rows,).
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        taken = min(round(TEST_SHARE * len(rows)), len(rows) - FEWEST_ROWS)
        chosen[rows[: max(taken, 0)]] = True
    return chosen


def _write(table: TableFile, seed: int, place: Path) -> None:
    cells = read_cells(table.path)
    target = table.target or list(cells)[-1]
    for name in (target, *table.drop):
        if name not in cells:
            raise TargetsRefused(f"{table.path} has no column called {name!r}")
    counts = Counter(cells[target])
    kept = [
        row for row, label in enumerate(cells[target]) if label and counts[label] >= FEWEST_ROWS
    ]
    labels = [cells[target][row] for row in kept]
    places = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    tested = held_out(np.array([places[label] for label in labels], np.int64), seed)
    names = [name for name in cells if name not in (*table.drop, target)]
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=place.parent))
    for part, wanted in (("train", False), ("test", True)):
        with (aside / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, target])
            writer.writerows(
                [cells[name][row] for name in (*names, target)]
                for row, is_tested in zip(kept, tested, strict=True)
                if is_tested == wanted
            )
    facts = {
        "target": target,
        "labels": [label for label, is_tested in zip(labels, tested, strict=True) if is_tested],
        "train_rows": int((~tested).sum()),
        "columns": len(names),
        "classes": len(places),
    }
    (aside / "facts.json").write_text(json.dumps(facts), "utf-8")
    if not place.is_dir():  # another call may have been quicker
        aside.rename(place)


def read_cells(path: Path) -> dict[str, list[str]]:
    """The columns of a table as text, by name in the order of the file; a missing cell is empty.

    What is under test reads the splits, so it does not make them.

    Args:
        path: Parquet, or CSV with a comma, semicolon, tab or bar, whichever its header has most of.

    Raises:
        TargetsRefused: it can't be read.
    """
    try:
        if path.suffix == ".parquet":
            columns = pq.read_table(path).to_pydict()
            return {name: [_spelled(cell) for cell in cells] for name, cells in columns.items()}
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        file = io.StringIO(text.decode("utf-8-sig"), newline="")
        delimiter = max(",;\t|", key=file.readline().count)
        file.seek(0)
        rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
        return {
            name.strip(): [_spelled(cell) for cell in cells]
            for name, *cells in zip(*rows, strict=True)
        }
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise TargetsRefused(f"{path} can't be read: {error}") from None


def _spelled(cell: Any) -> str:
    """A cell as the trainer would spell a category."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = "" if cell is None else str(cell).strip()
    return "" if text.lower() in MISSING else text
