"""Whole fits beside the peers', from a table of mixed columns to a model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from benchmarks.places import BUILD
from benchmarks.processes import CommandFailed
from benchmarks.quality.methods import Limits, Method, select_methods
from benchmarks.quality.records import Record
from benchmarks.quality.splits import Split, split
from benchmarks.quality.tables import TableFile

METHODS = ("pigeonhole", "realmlp-td-s", "mlp", "hist-gradient-boosting")

TIMEOUT_S = 3600

Log = Callable[[str], None]


@dataclass(frozen=True)
class FitTimes:
    """One method on one table, over all rounds.

    Attributes:
        table: name of the table.
        rows: number of training rows.
        label: label of the method.
        seconds: median of the whole process, imports included.
        cpu_seconds: median CPU seconds of the process.
        fit_seconds: median of preprocessing, fitting and writing the model file; None if unknown.
        peak_bytes: peak memory of a process.
        accuracy: mean accuracy over one split per round.
        log_loss: mean log loss in nats.
    """

    table: str
    rows: int
    label: str
    seconds: float
    cpu_seconds: float
    fit_seconds: float | None
    peak_bytes: int
    accuracy: float
    log_loss: float


def measure(
    tables: Sequence[TableFile],
    *,
    rounds: int,
    log: Log,
    names: Sequence[str] = METHODS,
    splits: Path = BUILD / "splits",
) -> list[FitTimes]:
    """Fit every method to every table, one fit at a time, in rounds.

    Args:
        tables: the tables.
        rounds: number of rounds, each with a new split.
        log: receives a line per fit.
        names: names of methods.
        splits: folder of splits.

    Raises:
        CommandFailed: an environment can't be made.
    """
    methods = select_methods(names, ("",))
    for method in methods:
        method.prepare()
    results: dict[tuple[str, str], list[Record]] = {}
    for seed in range(rounds):
        for table in tables:
            for method in methods:
                record = _fit(method, split(table, seed, splits), log)
                if record:
                    results.setdefault((table.name, method.label), []).append(record)
    return [_over_rounds(records) for records in results.values()]


def _fit(method: Method, part: Split, log: Log) -> Record | None:
    """Return the record of one fit, or None if it failed."""
    description = f"round {part.seed + 1}, {part.table}, {method.label}"
    try:
        record = Record.of(method, part, method.fit_and_predict(part, Limits(TIMEOUT_S)))
    except CommandFailed as error:
        log(f"{description}: failed, {error}")
        return None
    log(f"{description}: {record.seconds:.1f} s, accuracy {record.accuracy:.4f}")
    return record


def _over_rounds(records: Sequence[Record]) -> FitTimes:
    fits = [
        record.fit_seconds + record.save_seconds
        for record in records
        if record.fit_seconds is not None and record.save_seconds is not None
    ]
    return FitTimes(
        records[0].table,
        records[0].rows,
        records[0].label,
        seconds=median(record.seconds or 0 for record in records),
        cpu_seconds=median(record.cpu_seconds or 0 for record in records),
        fit_seconds=median(fits) if fits else None,
        peak_bytes=max(record.peak_bytes or 0 for record in records),
        accuracy=mean(record.accuracy or 0 for record in records),
        log_loss=mean(record.log_loss or 0 for record in records),
    )
