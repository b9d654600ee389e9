"""The results as one Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.quality import summary
from benchmarks.quality.methods import OURS
from benchmarks.quality.records import Record
from benchmarks.quality.summary import Answers, Comparison, Line, Pair

REALMLP, BOOSTING = "realmlp-td-s", "hist-gradient-boosting"

FIT_BAR = 1 / 3
"""The bar: a default fit, import and export included, within this share of RealMLP-TD-S's."""

FIGURES = {
    "Accuracy": ("accuracy", ".4f", max),
    "Log loss": ("log_loss", ".4f", min),
    "Expected calibration error": ("calibration_error", ".4f", min),
    "Seconds of the whole process": ("seconds", ".1f", min),
}
"""What is listed table by table: title, figure, form, and which is best."""


def page(shown: Answers, splits: Mapping[Pair, str], failures: Sequence[Record]) -> str:
    """The page: summary, comparisons, failures, then every table.

    Args:
        shown: the answers.
        splits: what was asked for.
        failures: records without an answer.
    """
    pairs = summary.common(shown)
    tables, seeds = len({name for name, _ in pairs}), len({seed for _, seed in pairs})
    parts = [
        "# Quality",
        f"{sentence()} One method at a time.",
        (
            f"Over {len(pairs)} of {len(splits)} splits, those that every method below answered: "
            f"{tables} tables, up to {seeds} seeds. Means are over tables, each of them over its "
            "seeds."
        ),
        summary_table(summary.lines(shown)),
    ]
    for other, title in ((REALMLP, "RealMLP-TD-S"), (BOOSTING, "HistGradientBoosting")):
        if against := summary.comparisons(shown, other):
            parts += [f"## Against {title}", comparison_table(against)]
            parts += [_bar(against)] if other == REALMLP else []
    parts += _remarks(shown, failures)
    parts += [
        f"## {title}\n\n{_listing(shown, *facts)}" for title, facts in FIGURES.items() if shown
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def summary_table(found: Sequence[Line]) -> str:
    """The methods, the best mean rank by log loss first."""
    header = ["method", "accuracy", "log loss", "ECE", "rank (accuracy)", "rank (log loss)"]
    return table(
        [*header, "seconds", "core seconds"],
        [
            [
                line.label,
                f"{line.accuracy:.4f}",
                f"{line.log_loss:.4f}",
                f"{line.calibration_error:.4f}",
                f"{line.accuracy_rank:.2f}",
                f"{line.log_loss_rank:.2f}",
                f"{line.seconds:.1f}",
                f"{line.cpu_seconds:.1f}",
            ]
            for line in found
        ],
    )


def comparison_table(found: Sequence[Comparison]) -> str:
    """The methods against another one."""
    header = ["method", "splits", "accuracy", "log loss", "better log loss on"]
    return table(
        [*header, "seconds", "typical seconds"],
        [
            [
                line.label,
                str(line.pairs),
                f"{line.accuracy:+.4f}",
                f"{line.log_loss:+.4f}",
                f"{line.better} of {line.tables}",
                f"x {line.seconds:.3f}",
                f"x {line.typical:.3f}",
            ]
            for line in found
        ],
    )


def _bar(against: Sequence[Comparison]) -> str:
    measured = [
        f"`{line.label}`: {line.fit_seconds:.3f}, "
        + ("met" if line.fit_seconds <= FIT_BAR else "missed")
        for line in against
        if line.label.split()[0] == OURS and line.fit_seconds is not None
    ]
    if not measured:
        return ""
    return (
        f"Bar: the whole fit command in at most {FIT_BAR:.3f} of the seconds of RealMLP-TD-S's fit "
        f"alone, its imports left out. {'; '.join(measured)}."
    )


def _remarks(shown: Answers, failures: Sequence[Record]) -> list[str]:
    said = []
    for label, by_pair in shown.items():
        states = {record.facts.get("code") for record in by_pair.values()}
        if len(states) > 1:
            said.append(
                f"- `{label}` was measured on {len(states)} states of the code; "
                f"`--again '{label}'` measures it anew."
            )
    held = [
        label
        for label, by_pair in shown.items()
        if any("threads" in record.facts for record in by_pair.values())
    ]
    if held:
        said.append(
            "- Held to a number of threads on some splits, where seconds are not those of the "
            f"method's own choice: {', '.join(f'`{label}`' for label in held)}."
        )
    parts = ["\n".join(said)] if said else []
    if failures:
        rows = [
            [record.label, f"{record.table}, {record.seed}", _one_line(record.error or "")]
            for record in failures
        ]
        parts += ["## No answer", table(["method", "table, seed", "why"], rows)]
    return parts


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[-300:]


def _listing(
    shown: Answers, figure: str, form: str, best: Callable[[Sequence[float]], float]
) -> str:
    """Tables down, methods across; the best of a row is bold."""
    names = sorted({name for by_pair in shown.values() for name, _ in by_pair})
    rows = []
    for name in names:
        values = [_mean(by_pair, name, figure) for by_pair in shown.values()]
        winner = best([value for value in values if value is not None])
        cells = [
            "-"
            if value is None
            else f"**{value:{form}}**"
            if value == winner
            else f"{value:{form}}"
            for value in values
        ]
        rows.append([name, f"{_rows(shown, name):,}", *cells])
    return table(["table", "rows", *shown], rows)


def _mean(by_pair: Mapping[Pair, Record], name: str, figure: str) -> float | None:
    values = [getattr(record, figure) for (table, _), record in by_pair.items() if table == name]
    return mean(values) if values else None


def _rows(shown: Answers, name: str) -> int:
    return next(
        record.rows
        for by_pair in shown.values()
        for (table, _), record in by_pair.items()
        if table == name
    )
