"""The results as one Markdown page, each bar beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.trainer.epochs import OURS, Epochs
from benchmarks.trainer.fits import Fits
from benchmarks.trainer.memory import COLUMNS, FEW_EPOCHS, Large

EPOCH_BARS = {"torch": 0.75, "scikit_learn": 0.5}
"""Our seconds of an epoch over the peer's, at most."""

FIT_BARS = {"realmlp-td-s": 1 / 3}
"""Our seconds of the whole fit command over the peer's of its fit alone, at most."""


def page(epochs: Sequence[Epochs], fits: Sequence[Fits], large: Sequence[Large]) -> str:
    """The page; a part that was not measured is left out."""
    parts = ["# Speed and memory of the trainer", f"{sentence()} One process at a time."]
    if epochs:
        parts += ["## Seconds of an epoch", _epochs(epochs), _epoch_bars(epochs)]
    if fits:
        parts += ["## From a table to a file", _fits(fits), _fit_bars(fits)]
    if large:
        parts += [f"## A table of {large[0].rows:,} x {COLUMNS} numbers", _large(large)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _epochs(found: Sequence[Epochs]) -> str:
    return table(
        ["hidden units", "library", "version", "seconds", "slowest", "loss", "peak memory"],
        [
            [
                _hidden(each.hidden),
                each.library,
                each.version,
                f"{each.seconds:.3f}",
                f"{each.slowest:.3f}",
                f"{each.loss:.4f}",
                _megabytes(each.peak_bytes),
            ]
            for each in found
        ],
    )


def epoch_ratios(found: Sequence[Epochs]) -> list[tuple[tuple[int, ...], str, float]]:
    """Our seconds over each peer's: hidden units, library, ratio."""
    ours = {each.hidden: each.seconds for each in found if each.library == OURS}
    return [
        (each.hidden, each.library, ours[each.hidden] / each.seconds)
        for each in found
        if each.library != OURS and each.hidden in ours
    ]


def _epoch_bars(found: Sequence[Epochs]) -> str:
    rows = [
        [_hidden(hidden), library, f"x {ratio:.3f}", *_verdict(ratio, EPOCH_BARS.get(library))]
        for hidden, library, ratio in epoch_ratios(found)
    ]
    return table(["hidden units", f"{OURS} over", "ratio", "bar", "verdict"], rows)


def _fits(found: Sequence[Fits]) -> str:
    header = ["table", "rows", "method", "whole process", "core seconds", "fit and save"]
    return table(
        [*header, "peak memory", "accuracy", "log loss"],
        [
            [
                each.table,
                f"{each.rows:,}",
                each.label,
                f"{each.seconds:.2f}",
                f"{each.cpu_seconds:.2f}",
                "-" if each.fit_seconds is None else f"{each.fit_seconds:.2f}",
                _megabytes(each.peak_bytes),
                f"{each.accuracy:.4f}",
                f"{each.log_loss:.4f}",
            ]
            for each in found
        ],
    )


def _fit_bars(found: Sequence[Fits]) -> str:
    ours = {each.table: each.seconds for each in found if each.label == OURS}
    rows = [
        [
            each.table,
            each.label,
            f"x {ours[each.table] / each.seconds:.3f}",
            f"x {ours[each.table] / each.fit_seconds:.3f}",
            *_verdict(ours[each.table] / each.fit_seconds, FIT_BARS.get(each.label)),
        ]
        for each in found
        if each.label != OURS and each.table in ours and each.fit_seconds
    ]
    header = ["table", f"{OURS}'s whole process over", "its whole process", "its fit alone"]
    return table([*header, "bar", "verdict"], rows) if rows else ""


def _verdict(ratio: float, bar: float | None) -> tuple[str, str]:
    if bar is None:
        return "-", "-"
    return f"x {bar:.3f}", "met" if ratio <= bar else "missed"


def _large(found: Sequence[Large]) -> str:
    steps = [
        [
            each.form,
            *(f"{seconds:.1f}" for seconds in each.preparation_seconds.values()),
            _megabytes(each.preparation_peak_bytes),
        ]
        for each in found
    ]
    fits = [
        [
            each.form,
            _megabytes(each.file_bytes),
            f"{each.seconds:.1f}",
            _megabytes(each.peak_bytes),
            f"x {each.peak_bytes / each.number_bytes:.1f}",
        ]
        for each in found
    ]
    header = ["form", "file", "seconds", "peak memory", "over the numbers as float64"]
    return "\n\n".join(
        [
            f"The whole fit command, held to {FEW_EPOCHS} epochs:",
            table(header, fits),
            "Seconds of each step before the network:",
            table(["form", *found[0].preparation_seconds, "peak memory"], steps),
        ]
    )


def _hidden(units: Sequence[int]) -> str:
    return "-".join(map(str, units))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
