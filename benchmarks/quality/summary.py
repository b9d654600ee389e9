"""Summaries of records: means, ranks and comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.quality.records import Record

Pair = tuple[str, int]
"""The name of a table and a seed."""

RecordsByMethod = Mapping[str, Mapping[Pair, Record]]
"""Records without errors, by label and pair."""

MIN_COMPLETED = 0.9
"""Least share of the requested splits that an unrequested method must have completed to be shown."""


@dataclass(frozen=True)
class Summary:
    """One method over the pairs that all shown methods completed; each table counts once.

    Attributes:
        label: label of the method.
        accuracy: mean accuracy.
        log_loss: mean log loss in nats.
        calibration_error: mean expected calibration error.
        accuracy_rank: mean rank by accuracy, 1 is best; ties share the mean of their ranks.
        log_loss_rank: mean rank by log loss.
        seconds: wall seconds of all processes.
        cpu_seconds: CPU seconds of all processes.
    """

    label: str
    accuracy: float
    log_loss: float
    calibration_error: float
    accuracy_rank: float
    log_loss_rank: float
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Comparison:
    """One method compared with another, over the pairs that both completed.

    Attributes:
        label: label of the method.
        pairs: number of pairs.
        accuracy: mean difference of accuracy; positive is better.
        log_loss: mean difference of log loss; negative is better.
        better: number of tables with a smaller log loss, as the mean over seeds.
        tables: number of tables.
        seconds: ratio of the sums of seconds.
        fit_seconds: seconds of the whole processes divided by the other's ``fit_seconds``, which
            exclude imports; None if unknown.
        typical_seconds: geometric mean of the ratios of seconds, in which large tables weigh no
            more than small ones.
    """

    label: str
    pairs: int
    accuracy: float
    log_loss: float
    better: int
    tables: int
    seconds: float
    fit_seconds: float | None
    typical_seconds: float


def select(
    records: Iterable[Record], splits: Mapping[Pair, str], requested: Sequence[str]
) -> dict[str, dict[Pair, Record]]:
    """Return the records to show: requested methods, then methods that completed `MIN_COMPLETED`.

    Args:
        records: all records.
        splits: digests of the requested splits.
        requested: labels of the requested methods, in order.
    """
    completed: dict[str, dict[Pair, Record]] = {label: {} for label in requested}
    for record in records:
        pair = record.table, record.seed
        if record.error is None and splits.get(pair) == record.split:
            completed.setdefault(record.label, {})[pair] = record
    return {
        label: by_pair
        for label, by_pair in completed.items()
        if by_pair and (label in requested or len(by_pair) >= MIN_COMPLETED * len(splits))
    }


def common_pairs(records: RecordsByMethod) -> list[Pair]:
    """Return the pairs that all methods completed."""
    return sorted(set.intersection(*map(set, records.values()))) if records else []


def summarize(records: RecordsByMethod) -> list[Summary]:
    """Return a summary per method over the common pairs, the best rank by log loss first."""
    pairs = common_pairs(records)
    if not pairs:
        return []
    ranks = {
        score: {pair: _ranks_at(records, pair, score, sign) for pair in pairs}
        for score, sign in (("accuracy", -1), ("log_loss", 1))
    }

    def mean_score(label: str, score: str) -> float:
        return mean_over_tables({pair: getattr(records[label][pair], score) for pair in pairs})

    def mean_rank(label: str, score: str) -> float:
        return mean_over_tables({pair: ranks[score][pair][label] for pair in pairs})

    summaries = [
        Summary(
            label,
            accuracy=mean_score(label, "accuracy"),
            log_loss=mean_score(label, "log_loss"),
            calibration_error=mean_score(label, "calibration_error"),
            accuracy_rank=mean_rank(label, "accuracy"),
            log_loss_rank=mean_rank(label, "log_loss"),
            seconds=sum(by_pair[pair].seconds or 0 for pair in pairs),
            cpu_seconds=sum(by_pair[pair].cpu_seconds or 0 for pair in pairs),
        )
        for label, by_pair in records.items()
    ]
    return sorted(summaries, key=lambda summary: summary.log_loss_rank)


def compare_with(other: str, records: RecordsByMethod) -> list[Comparison]:
    """Return a comparison of each further method with one method."""
    theirs = records.get(other, {})
    return [
        _compare(label, by_pair, theirs)
        for label, by_pair in records.items()
        if label != other and set(by_pair) & set(theirs)
    ]


def _compare(label: str, ours: Mapping[Pair, Record], theirs: Mapping[Pair, Record]) -> Comparison:
    both = {pair: (ours[pair], theirs[pair]) for pair in sorted(set(ours) & set(theirs))}
    accuracy = {pair: (a.accuracy or 0) - (b.accuracy or 0) for pair, (a, b) in both.items()}
    log_loss = {pair: (a.log_loss or 0) - (b.log_loss or 0) for pair, (a, b) in both.items()}
    log_loss_by_table = _by_table(log_loss)
    seconds = sum(a.seconds or 0 for a, _ in both.values())
    fits = [b.fit_seconds for _, b in both.values()]
    ratios = [(a.seconds or 0) / (b.seconds or 1) for a, b in both.values()]
    return Comparison(
        label,
        pairs=len(both),
        accuracy=mean_over_tables(accuracy),
        log_loss=mean_over_tables(log_loss),
        better=sum(mean(values) < 0 for values in log_loss_by_table.values()),
        tables=len(log_loss_by_table),
        seconds=seconds / sum(b.seconds or 0 for _, b in both.values()),
        fit_seconds=None if None in fits else seconds / sum(filter(None, fits)),
        typical_seconds=math.exp(mean(math.log(max(ratio, 1e-9)) for ratio in ratios)),
    )


def mean_over_tables(values: Mapping[Pair, float]) -> float:
    """Return the mean over tables of the mean over seeds."""
    return mean(map(mean, _by_table(values).values()))


def _by_table(values: Mapping[Pair, float]) -> dict[str, list[float]]:
    by_table: dict[str, list[float]] = {}
    for (table, _), value in values.items():
        by_table.setdefault(table, []).append(value)
    return by_table


def _ranks_at(records: RecordsByMethod, pair: Pair, score: str, sign: int) -> dict[str, float]:
    """Return the rank of each method at a pair, the smallest signed score first."""
    values = {label: sign * getattr(by_pair[pair], score) for label, by_pair in records.items()}
    return {
        label: sum(other < value for other in values.values())
        + (sum(other == value for other in values.values()) + 1) / 2
        for label, value in values.items()
    }
