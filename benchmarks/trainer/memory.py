"""Memory and seconds of a table of a million rows."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import run
from benchmarks.trainer import rows

COLUMNS = 30

FEW_EPOCHS = 2
"""Enough to reach the largest memory of a fit; the seconds of an epoch are measured elsewhere."""

LIMIT_S = 3600

NUMBER_BYTES = 8

Say = Callable[[str], None]


@dataclass(frozen=True)
class Large:
    """A short fit to one large table.

    Attributes:
        form: CSV or Parquet.
        rows: of the table.
        file_bytes: of the table.
        number_bytes: of its numbers as float64, which is what memory is measured against.
        seconds: of the whole fit command.
        peak_bytes: its largest memory.
        preparation_seconds: of each step before the network, in a process of its own.
        preparation_peak_bytes: the largest memory of that.
    """

    form: str
    rows: int
    file_bytes: int
    number_bytes: int
    seconds: float
    peak_bytes: int
    preparation_seconds: dict[str, float]
    preparation_peak_bytes: int


def measure(folder: Path, *, count: int, say: Say) -> list[Large]:
    """Prepare and fit a table of ``count`` rows from CSV and from Parquet.

    Raises:
        CommandFailed: the trainer fails.
    """
    return [
        _measured(form, file, count, say)
        for form, file in zip(("CSV", "Parquet"), rows.wide(count, COLUMNS, folder), strict=True)
    ]


def _measured(form: str, file: Path, count: int, say: Say) -> Large:
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "seconds.json"
        prepared = run(
            [sys.executable, "-m", "benchmarks.trainer.preparation", file, "class", answer], LIMIT_S
        )
        steps = json.loads(answer.read_text("utf-8"))
        fitted = run(
            [
                *(sys.executable, "-m", "pigeonhole", "fit", file, "--target", "class"),
                *("--name", "m", "--models", folder, "--epochs", str(FEW_EPOCHS)),
            ],
            LIMIT_S,
        )
    large = Large(
        form,
        count,
        file.stat().st_size,
        count * COLUMNS * NUMBER_BYTES,
        fitted.seconds,
        fitted.peak_bytes,
        steps,
        prepared.peak_bytes,
    )
    say(f"{form}, {count:,} rows: {large.seconds:.1f} s, {large.peak_bytes / 1e6:,.0f} MB")
    return large
