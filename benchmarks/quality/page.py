"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.markdown import table
from benchmarks.quality.methods import OURS
from benchmarks.quality.records import Record
from benchmarks.quality.summary import (
    Comparison,
    Pair,
    RecordsByMethod,
    Summary,
    common_pairs,
    compare_with,
    summarize,
)

REALMLP, BOOSTING = "realmlp-td-s", "hist-gradient-boosting"

FIT_TARGET = 1 / 3
"""Target: seconds of the whole fit command, imports and export included, divided by the seconds of
RealMLP-TD-S's fit, at most."""

ERROR_CHARACTERS = 300
"""Characters at the end of an error that are shown."""


@dataclass(frozen=True)
class Figure:
    """A figure that is listed by table and method.

    Attributes:
        title: heading of the section.
        field: field of a record.
        format: format specification.
        best: ``min`` or ``max``.
    """

    title: str
    field: str
    format: str
    best: Callable[[Sequence[float]], float]


FIGURES = (
    Figure("Accuracy", "accuracy", ".4f", max),
    Figure("Log loss", "log_loss", ".4f", min),
    Figure("Expected calibration error", "calibration_error", ".4f", min),
    Figure("Seconds of the whole process", "seconds", ".1f", min),
)


def page(
    records: RecordsByMethod, splits: Mapping[Pair, str], failures: Sequence[Record], machine: str
) -> str:
    """Return the page: summary, comparisons, failures, and figures by table.

    Args:
        records: records of the methods that are shown.
        splits: digests of the requested splits.
        failures: records of failures.
        machine: description of the machine, one line.
    """
    pairs = common_pairs(records)
    tables, seeds = len({name for name, _ in pairs}), len({seed for _, seed in pairs})
    parts = [
        "# Quality",
        f"{machine} One method ran at a time.",
        (
            f"All methods below completed {len(pairs)} of {len(splits)} splits: {tables} tables with "
            f"up to {_count(seeds, 'seed')}. Means are over tables, of the mean over seeds."
        ),
        summary_table(summarize(records)),
    ]
    for other, title in ((REALMLP, "RealMLP-TD-S"), (BOOSTING, "HistGradientBoosting")):
        if comparisons := compare_with(other, records):
            parts += [f"## Against {title}", comparison_table(comparisons)]
            parts += [_target(comparisons)] if other == REALMLP else []
    parts += [_remarks(records), _failures(failures)]
    parts += [f"## {figure.title}\n\n{_listing(records, figure)}" for figure in FIGURES if records]
    return "\n\n".join(filter(None, parts)) + "\n"


def summary_table(summaries: Sequence[Summary]) -> str:
    """Return the table of methods, the best mean rank by log loss first."""
    header = ["method", "accuracy", "log loss", "ECE", "rank (accuracy)", "rank (log loss)"]
    return table(
        [*header, "seconds", "CPU seconds"],
        [
            [
                summary.label,
                f"{summary.accuracy:.4f}",
                f"{summary.log_loss:.4f}",
                f"{summary.calibration_error:.4f}",
                f"{summary.accuracy_rank:.2f}",
                f"{summary.log_loss_rank:.2f}",
                f"{summary.seconds:.1f}",
                f"{summary.cpu_seconds:.1f}",
            ]
            for summary in summaries
        ],
    )


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Return the table of methods compared with one of them."""
    header = ["method", "splits", "accuracy", "log loss", "better log loss on"]
    return table(
        [*header, "seconds", "typical seconds"],
        [
            [
                each.label,
                str(each.pairs),
                f"{each.accuracy:+.4f}",
                f"{each.log_loss:+.4f}",
                f"{each.better} of {each.tables}",
                f"x {each.seconds:.3f}",
                f"x {each.typical_seconds:.3f}",
            ]
            for each in comparisons
        ],
    )


def _target(comparisons: Sequence[Comparison]) -> str:
    measured = [
        f"`{each.label}`: {each.fit_seconds:.3f}, "
        + ("met" if each.fit_seconds <= FIT_TARGET else "not met")
        for each in comparisons
        if each.label.split()[0] == OURS and each.fit_seconds is not None
    ]
    if not measured:
        return ""
    return (
        f"Target: the whole fit command takes at most {FIT_TARGET:.3f} of the seconds of "
        f"RealMLP-TD-S's fit, which excludes its imports. {'; '.join(measured)}."
    )


def _remarks(records: RecordsByMethod) -> str:
    remarks = []
    for label, by_pair in records.items():
        versions = {record.facts.get("code") for record in by_pair.values()}
        if len(versions) > 1:
            remarks.append(
                f"- `{label}` was measured with {len(versions)} versions of the code; "
                f"`--again '{label}'` measures it again."
            )
    limited = [
        f"`{label}`"
        for label, by_pair in records.items()
        if any("threads" in record.facts for record in by_pair.values())
    ]
    if limited:
        remarks.append(
            f"- Ran with a limited number of threads on some splits: {', '.join(limited)}. Their "
            "seconds there are not those of their defaults."
        )
    return "\n".join(remarks)


def _failures(failures: Sequence[Record]) -> str:
    if not failures:
        return ""
    rows = [
        [record.label, f"{record.table}, {record.seed}", _one_line(record.error or "")]
        for record in failures
    ]
    return f"## Failures\n\n{table(['method', 'table, seed', 'error'], rows)}"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[-ERROR_CHARACTERS:]


def _listing(records: RecordsByMethod, figure: Figure) -> str:
    """Return a table with a row per table and a column per method; the best value is bold."""
    tables = sorted({name for by_pair in records.values() for name, _ in by_pair})
    rows = []
    for name in tables:
        means = [_mean(by_pair, name, figure.field) for by_pair in records.values()]
        best = figure.best([value for value in means if value is not None])
        cells = [_cell(value, figure.format, bold=value == best) for value in means]
        rows.append([name, f"{_training_rows(records, name):,}", *cells])
    return table(["table", "rows", *records], rows)


def _cell(value: float | None, form: str, *, bold: bool) -> str:
    if value is None:
        return "-"
    return f"**{value:{form}}**" if bold else f"{value:{form}}"


def _mean(by_pair: Mapping[Pair, Record], name: str, field: str) -> float | None:
    values = [getattr(record, field) for (table, _), record in by_pair.items() if table == name]
    return mean(values) if values else None


def _training_rows(records: RecordsByMethod, name: str) -> int:
    return next(
        record.rows
        for by_pair in records.values()
        for (table, _), record in by_pair.items()
        if table == name
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
