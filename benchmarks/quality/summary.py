"""Reckoning over records: records in, named figures out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.quality.records import Record

Pair = tuple[str, int]
"""A table and a seed."""

Answers = Mapping[str, Mapping[Pair, Record]]
"""Records that hold an answer, by label and pair."""

NEARLY_ALL = 0.9
"""A method that was not asked for now is shown if it answered this share of what was asked."""


@dataclass(frozen=True)
class Line:
    """One method over the pairs that all methods shown answered; each table counts once.

    Attributes:
        label: the method.
        accuracy: mean.
        log_loss: mean, in nats.
        calibration_error: mean.
        accuracy_rank: mean place among the methods, 1 for the best; ties share.
        log_loss_rank: the same by log loss.
        seconds: of all its processes together.
        cpu_seconds: of all cores in them.
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
    """One method against another, over the pairs that both answered.

    Attributes:
        label: the method.
        pairs: how many.
        accuracy: mean of its accuracy minus the other's; above 0 is better.
        log_loss: the same of log loss; below 0 is better.
        better: tables on which its log loss, over the seeds, is smaller.
        tables: tables in all.
        seconds: its seconds over the other's, of all processes together.
        fit_seconds: its whole process over the other's fit alone, which leaves the import of
            the other's libraries out; None where the other does not tell.
        typical: the geometric mean of the ratio of seconds, so that large tables don't decide.
    """

    label: str
    pairs: int
    accuracy: float
    log_loss: float
    better: int
    tables: int
    seconds: float
    fit_seconds: float | None
    typical: float


def answers(
    records: Iterable[Record], splits: Mapping[Pair, str], asked: Sequence[str]
) -> dict[str, dict[Pair, Record]]:
    """The answers to show: of the methods asked for, then of others that answered nearly all.

    Args:
        records: all there are.
        splits: the digest of each split that was asked for, by pair.
        asked: labels in the order to show them.
    """
    found: dict[str, dict[Pair, Record]] = {label: {} for label in asked}
    for record in records:
        pair = record.table, record.seed
        if record.error is None and splits.get(pair) == record.split:
            found.setdefault(record.label, {})[pair] = record
    return {
        label: by_pair
        for label, by_pair in found.items()
        if by_pair and (label in asked or len(by_pair) >= NEARLY_ALL * len(splits))
    }


def common(shown: Answers) -> list[Pair]:
    """The pairs that every method answered."""
    return sorted(set.intersection(*(set(by_pair) for by_pair in shown.values()))) if shown else []


def lines(shown: Answers) -> list[Line]:
    """Each method over the pairs that all answered, the best mean rank by log loss first."""
    pairs = common(shown)
    if not pairs:
        return []
    ranks = {
        (figure, pair): _ranks(
            {label: sign * getattr(shown[label][pair], figure) for label in shown}
        )
        for figure, sign in (("accuracy", -1), ("log_loss", 1))
        for pair in pairs
    }
    return sorted(
        (
            Line(
                label,
                **{
                    figure: over_tables({pair: getattr(by_pair[pair], figure) for pair in pairs})
                    for figure in ("accuracy", "log_loss", "calibration_error")
                },
                **{
                    f"{figure}_rank": over_tables(
                        {pair: ranks[figure, pair][label] for pair in pairs}
                    )
                    for figure in ("accuracy", "log_loss")
                },
                seconds=sum(by_pair[pair].seconds or 0 for pair in pairs),
                cpu_seconds=sum(by_pair[pair].cpu_seconds or 0 for pair in pairs),
            )
            for label, by_pair in shown.items()
        ),
        key=lambda line: line.log_loss_rank,
    )


def comparisons(shown: Answers, other: str) -> list[Comparison]:
    """Every method against one, where both have answers."""
    found = []
    for label, by_pair in shown.items():
        pairs = sorted(set(by_pair) & set(shown.get(other, {})))
        if label == other or not pairs:
            continue
        mine, others = [by_pair[p] for p in pairs], [shown[other][p] for p in pairs]
        gaps = {
            figure: {
                pair: getattr(a, figure) - getattr(b, figure)
                for pair, a, b in zip(pairs, mine, others, strict=True)
            }
            for figure in ("accuracy", "log_loss")
        }
        fits = [record.fit_seconds for record in others]
        total = sum(record.seconds or 0 for record in mine)
        ratios = [(a.seconds or 0) / (b.seconds or 1) for a, b in zip(mine, others, strict=True)]
        by_table = _by_table(gaps["log_loss"])
        found.append(
            Comparison(
                label,
                len(pairs),
                over_tables(gaps["accuracy"]),
                over_tables(gaps["log_loss"]),
                sum(mean(values) < 0 for values in by_table.values()),
                len(by_table),
                total / sum(record.seconds or 0 for record in others),
                None if None in fits else total / sum(filter(None, fits)),
                math.exp(mean(math.log(max(ratio, 1e-9)) for ratio in ratios)),
            )
        )
    return found


def over_tables(values: Mapping[Pair, float]) -> float:
    """The mean over tables of the mean over seeds."""
    return mean(map(mean, _by_table(values).values()))


def _by_table(values: Mapping[Pair, float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for (table, _), value in values.items():
        found.setdefault(table, []).append(value)
    return found


def _ranks(values: Mapping[str, float]) -> dict[str, float]:
    """The place of each, the smallest first; ties share the mean of their places."""
    return {
        label: sum(other < value for other in values.values())
        + (sum(other == value for other in values.values()) + 1) / 2
        for label, value in values.items()
    }
