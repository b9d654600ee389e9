"""From a table to a file: the whole fit beside the peers', on tables of mixed columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from benchmarks.places import BUILD
from benchmarks.processes import CommandFailed
from benchmarks.quality.methods import Method, methods
from benchmarks.quality.records import Record
from benchmarks.quality.splits import split
from benchmarks.quality.tables import TableFile

COMPARED = ("pigeonhole", "realmlp-td-s", "mlp", "hist-gradient-boosting")

LIMIT_S = 3600

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fits:
    """One method on one table, over all rounds.

    Attributes:
        table: its name.
        rows: learned from.
        label: the method.
        seconds: median of the whole process, imports and the model file included.
        cpu_seconds: median of all cores in that time.
        fit_seconds: median of preprocessing, fitting and writing the model file alone; None where
            the method does not tell.
        peak_bytes: the most memory of a process.
        accuracy: mean, of one split per round.
        log_loss: mean, in nats.
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
    say: Say,
    compared: Sequence[str] = COMPARED,
    splits: Path = BUILD / "splits",
) -> list[Fits]:
    """Fit every method to every table, one after the other, round by round.

    Args:
        tables: what to learn from.
        rounds: how often, each with a split of its own.
        say: told of each fit.
        compared: names of methods.
        splits: where splits are kept.

    Raises:
        CommandFailed: an environment can't be made.
    """
    asked = methods(compared, ("",))
    for method in asked:
        method.prepare()
    told: dict[tuple[str, str], list[Record]] = {}
    for seed in range(rounds):
        for table in tables:
            for method in asked:
                record = _fit(method, table, seed, splits, say)
                if record:
                    told.setdefault((table.name, method.label), []).append(record)
    return [_over_rounds(records) for records in told.values()]


def _fit(method: Method, table: TableFile, seed: int, splits: Path, say: Say) -> Record | None:
    part = split(table, seed, splits)
    try:
        record = Record.of(method, part, method.answer(part, LIMIT_S))
    except CommandFailed as error:
        say(f"round {seed + 1}, {table.name}, {method.label}: no answer, {error}")
        return None
    say(
        f"round {seed + 1}, {table.name}, {method.label}: {record.seconds:.1f} s, "
        f"accuracy {record.accuracy:.4f}"
    )
    return record


def _over_rounds(records: Sequence[Record]) -> Fits:
    fits = [
        record.fit_seconds + record.save_seconds
        for record in records
        if record.fit_seconds is not None and record.save_seconds is not None
    ]
    return Fits(
        records[0].table,
        records[0].rows,
        records[0].label,
        median(record.seconds or 0 for record in records),
        median(record.cpu_seconds or 0 for record in records),
        median(fits) if fits else None,
        max(record.peak_bytes or 0 for record in records),
        mean(record.accuracy or 0 for record in records),
        mean(record.log_loss or 0 for record in records),
    )
