"""Memory and seconds of a fit to a table of a million rows."""

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

EPOCHS = 2
"""Epochs of the fit, enough to reach its peak memory."""

TIMEOUT_S = 3600

FLOAT64_BYTES = 8

Log = Callable[[str], None]


@dataclass(frozen=True)
class LargeFit:
    """A short fit to one large table.

    Attributes:
        file_format: CSV or Parquet.
        rows: number of rows.
        file_bytes: size of the file.
        number_bytes: size of the numbers as float64, to which memory is compared.
        seconds: seconds of the whole fit command.
        peak_bytes: peak memory of the fit command.
        preparation_seconds: seconds of each step before the network, measured in another process.
        preparation_peak_bytes: peak memory of that process.
    """

    file_format: str
    rows: int
    file_bytes: int
    number_bytes: int
    seconds: float
    peak_bytes: int
    preparation_seconds: dict[str, float]
    preparation_peak_bytes: int


def measure(folder: Path, *, count: int, log: Log) -> list[LargeFit]:
    """Prepare and fit a generated table, from CSV and from Parquet.

    Args:
        folder: folder of generated rows.
        count: number of rows.
        log: receives a line per table.

    Raises:
        CommandFailed: the trainer failed.
    """
    return [
        _measure_file(file_format, file, count, log)
        for file_format, file in zip(
            ("CSV", "Parquet"), rows.wide(count, COLUMNS, folder), strict=True
        )
    ]


def _measure_file(file_format: str, file: Path, count: int, log: Log) -> LargeFit:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds.json"
        module = "benchmarks.trainer.preparation"
        prepared = run([sys.executable, "-m", module, file, "class", result], TIMEOUT_S)
        step_seconds = json.loads(result.read_text("utf-8"))
        fitted = run(
            [
                *(sys.executable, "-m", "pigeonhole", "fit", file, "--target", "class"),
                *("--name", "m", "--models", folder, "--epochs", str(EPOCHS)),
            ],
            TIMEOUT_S,
        )
    log(f"{file_format}, {count:,} rows: {fitted.seconds:.1f} s, {fitted.peak_bytes / 1e6:,.0f} MB")
    return LargeFit(
        file_format,
        count,
        file_bytes=file.stat().st_size,
        number_bytes=count * COLUMNS * FLOAT64_BYTES,
        seconds=fitted.seconds,
        peak_bytes=fitted.peak_bytes,
        preparation_seconds=step_seconds,
        preparation_peak_bytes=prepared.peak_bytes,
    )
