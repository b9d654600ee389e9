"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.markdown import table
from benchmarks.trainer.epochs import OURS, EpochTimes, join_units
from benchmarks.trainer.fits import FitTimes
from benchmarks.trainer.memory import COLUMNS, EPOCHS, LargeFit

EPOCH_TARGETS = {"torch": 0.75, "scikit_learn": 0.5}
"""Our seconds per epoch divided by the peer's, at most."""

FIT_TARGETS = {"realmlp-td-s": 1 / 3}
"""Seconds of our whole fit command divided by those of the peer's fit, at most."""


def page(
    epochs: Sequence[EpochTimes],
    fits: Sequence[FitTimes],
    large: Sequence[LargeFit],
    machine: str,
) -> str:
    """Return the page, without the parts that were not measured.

    Args:
        epochs: times of epochs.
        fits: times of whole fits.
        large: fits to large tables.
        machine: description of the machine, one line.
    """
    parts = ["# Speed and memory of the trainer", f"{machine} One process ran at a time."]
    if epochs:
        parts += ["## Seconds per epoch", _epochs(epochs), _epoch_targets(epochs)]
    if fits:
        parts += ["## From table to model file", _fits(fits), _fit_targets(fits)]
    if large:
        parts += [f"## A table of {large[0].rows:,} x {COLUMNS} numbers", _large(large)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _epochs(epochs: Sequence[EpochTimes]) -> str:
    return table(
        ["hidden units", "library", "version", "seconds", "slowest", "loss", "peak memory"],
        [
            [
                join_units(each.hidden),
                each.library,
                each.version,
                f"{each.seconds:.3f}",
                f"{each.slowest:.3f}",
                f"{each.loss:.4f}",
                _megabytes(each.peak_bytes),
            ]
            for each in epochs
        ],
    )


def epoch_ratios(epochs: Sequence[EpochTimes]) -> list[tuple[tuple[int, ...], str, float]]:
    """Return hidden units, peer, and our seconds divided by the peer's."""
    ours = {each.hidden: each.seconds for each in epochs if each.library == OURS}
    return [
        (each.hidden, each.library, ours[each.hidden] / each.seconds)
        for each in epochs
        if each.library != OURS and each.hidden in ours
    ]


def _epoch_targets(epochs: Sequence[EpochTimes]) -> str:
    rows = [
        [
            join_units(hidden),
            library,
            f"x {ratio:.3f}",
            *_verdict(ratio, EPOCH_TARGETS.get(library)),
        ]
        for hidden, library, ratio in epoch_ratios(epochs)
    ]
    return table(["hidden units", f"{OURS} relative to", "ratio", "target", "verdict"], rows)


def _fits(fits: Sequence[FitTimes]) -> str:
    header = ["table", "rows", "method", "whole process, s", "CPU seconds", "fit and save, s"]
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
            for each in fits
        ],
    )


def _fit_targets(fits: Sequence[FitTimes]) -> str:
    ours = {each.table: each.seconds for each in fits if each.label == OURS}
    rows = [
        [
            each.table,
            each.label,
            f"x {ours[each.table] / each.seconds:.3f}",
            f"x {ours[each.table] / each.fit_seconds:.3f}",
            *_verdict(ours[each.table] / each.fit_seconds, FIT_TARGETS.get(each.label)),
        ]
        for each in fits
        if each.label != OURS and each.table in ours and each.fit_seconds
    ]
    header = ["table", f"{OURS} relative to", "its whole process", "its fit and save"]
    return table([*header, "target", "verdict"], rows) if rows else ""


def _verdict(ratio: float, target: float | None) -> tuple[str, str]:
    if target is None:
        return "-", "-"
    return f"<= x {target:.3f}", "met" if ratio <= target else "not met"


def _large(large: Sequence[LargeFit]) -> str:
    steps = [
        [
            each.file_format,
            *(f"{seconds:.1f}" for seconds in each.preparation_seconds.values()),
            _megabytes(each.preparation_peak_bytes),
        ]
        for each in large
    ]
    fit_rows = [
        [
            each.file_format,
            _megabytes(each.file_bytes),
            f"{each.seconds:.1f}",
            _megabytes(each.peak_bytes),
            f"x {each.peak_bytes / each.number_bytes:.1f}",
        ]
        for each in large
    ]
    header = ["format", "file", "seconds", "peak memory", "relative to the numbers as float64"]
    return "\n\n".join(
        [
            f"The whole fit command with {EPOCHS} epochs:",
            table(header, fit_rows),
            "Seconds of each step before the network:",
            table(["format", *large[0].preparation_seconds, "peak memory"], steps),
        ]
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
