"""What is odd about the examples, and kept: gaps, repeated rows, values far out.

    missing     how many cells are missing, and which columns have most of them
    duplicate   rows equal to an earlier one in every feature and the label
    outlier     values more than 8 spreads from the median of their column; the spread is the
                interquartile range or, where more than half of the values are the same and it is
                0, that of the values other than the median; if that is 0 too, nothing is far out

Eight spreads is wide on purpose: for a bell curve that is 11 standard deviations, which skewed
measures such as income or hospital days reach in a few rows, and a slip of the pen (metres for
centimetres, two columns swapped, 999 for "no answer") by far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.data.findings import SHOWN, Finding, counted, listed
from trainer.data.schema import Examples, Kind, Schema
from trainer.data.table import Table

FAR_OUT = 8
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: odd, bits well mixed


def oddities(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    """What is odd about the examples of a table, whose rows they must be one by one."""
    return [
        *_missing(schema, examples),
        *_duplicates(examples),
        *_outliers(table, schema, examples),
    ]


def _missing(schema: Schema, examples: Examples) -> list[Finding]:
    gaps = np.hstack([np.isnan(examples.numbers), examples.categories == ""])
    counts = gaps.sum(axis=0)
    if not counts.any():
        return []
    names = [feature.name for feature in (*schema.numbers, *schema.categories)]
    most = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    columns = [f"{names[place]!r} {counts[place]:,}" for place in most[:SHOWN]]
    text = (
        f"{counted(counts.sum(), 'cell')} missing in {counted(gaps.any(axis=1).sum(), 'row')} of "
        f"{len(examples):,}: {listed(columns, len(most))}."
    )
    return [Finding("missing", None, text)]


def _duplicates(examples: Examples) -> list[Finding]:
    repeated = len(examples) - len(np.unique(_row_hashes(examples)))
    if not repeated:
        return []
    text = (
        f"{counted(repeated, 'row')} the same as an earlier one in every feature and the label; "
        "kept."
    )
    return [Finding("duplicate", None, text)]


def _row_hashes(examples: Examples) -> NDArray[np.uint64]:
    """A hash of each row, uint64 (rows,).

    Comparing a million rows by their 64 bits errs with a chance of 3 in 10^8, and is many times
    faster than sorting them by every column.
    """
    hashes = np.zeros(len(examples), np.uint64)
    for bits in (
        *(np.ascontiguousarray(column).view(np.uint64) for column in examples.numbers.T),
        *(_text_bits(column) for column in examples.categories.T),
        examples.labels.view(np.uint64),
    ):
        hashes = (hashes ^ bits) * HASH_FACTOR
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _text_bits(column: NDArray[np.object_]) -> NDArray[np.uint64]:
    return np.fromiter(map(hash, column), np.int64, count=len(column)).view(np.uint64)


def _outliers(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    findings = []
    for feature, values in zip(schema.numbers, examples.numbers.T, strict=True):
        if feature.kind != Kind.NUMBER:
            continue
        median, places = far_out(values)
        if len(places):
            text = (
                f"Column {feature.name!r}: {counted(len(places), 'value')} more than {FAR_OUT} "
                f"spreads from the median, {median:g}: {table.cite(feature.name, places)}; kept."
            )
            findings.append(Finding("outlier", feature.name, text))
    return findings


def far_out(values: NDArray[np.float64]) -> tuple[float, NDArray[np.int64]]:
    """The median of the values, float64 (rows,), and the places of those far out, farthest first.

    NaN is passed over; at least one value must be a number.
    """
    known = values[~np.isnan(values)]
    median = float(np.median(known))
    spread = _interquartile_range(known) or _interquartile_range(known[known != median])
    if not spread:
        return median, np.empty(0, np.int64)
    distance = np.abs(values - median)
    places = np.flatnonzero(distance > FAR_OUT * spread)
    return median, places[np.argsort(-distance[places], kind="stable")]


def _interquartile_range(values: NDArray[np.float64]) -> float:
    return float(np.subtract(*np.quantile(values, [0.75, 0.25]))) if len(values) else 0.0
