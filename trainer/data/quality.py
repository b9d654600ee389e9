"""What is odd about the examples, and kept: gaps, repeated rows, values far out, a copied target.

    missing     how many cells are missing, and which columns have most of them
    duplicate   rows equal to an earlier one in every feature and the label
    conflict    rows alike in every feature to rows of another class
    giveaway    columns that alone give the class away: knowing the value, one errs in less than 1 %
                of the rows in which one errs by always saying the commonest class
    outlier     values more than 8 spreads from the median of their column; the spread is the
                interquartile range or, where more than half of the values are the same and it is
                0, that of the values other than the median; if that is 0 too, nothing is far out

Eight spreads is wide on purpose: for a bell curve that is 11 standard deviations, which skewed
measures such as income or hospital days reach in a few rows, and a slip of the pen (metres for
centimetres, two columns swapped, 999 for "no answer", a date of 9999) by far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .cells.datetimes import moment_text
from .findings import SHOWN, Finding, counted, listed
from .schema import Examples, Kind, Schema
from .table import Table

FAR_OUT = 8

LOOKED_AT = 20_000
"""Rows looked at for columns that give the class away: enough to see it, and quick."""

GIVEN_AWAY = 0.01
"""The share of errors left that is called none."""

FEW_OTHERS = 20
"""Rows of other classes than the commonest, below which chance gives a class away too."""

ROWS_A_VALUE = 10
"""Rows of each value, on average, that its commonest class has to be told from."""

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: odd, bits well mixed


def oddities(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    """What is odd about the examples of a table, whose rows they must be one by one."""
    return [
        *_missing(schema, examples),
        *_repeated(examples),
        *_giveaways(schema, examples),
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


def _repeated(examples: Examples) -> list[Finding]:
    """What is alike in all features: with the same label, and with another."""
    features = _feature_hashes(examples)
    # Sorted and counted by hand: `np.unique` of so many numbers takes many times longer.
    rows = np.sort(_mixed(features, examples.labels.view(np.uint64)))
    different = 1 + int(np.count_nonzero(rows[1:] != rows[:-1]))
    findings = []
    if repeated := len(examples) - different:
        text = (
            f"{counted(repeated, 'row')} the same as an earlier one in every feature and the label; "
            "kept."
        )
        findings.append(Finding("duplicate", None, text))
    values, codes = np.unique(features, return_inverse=True)
    if len(values) < different:
        groups = _Groups.of(codes, examples.labels)
        conflicting = int(groups.rows[groups.rows > groups.largest].sum())
        wrong = len(examples) - int(groups.largest.sum())
        text = (
            f"{conflicting:,} rows are alike in every feature to a row of another class, so that "
            f"from these columns at least {wrong:,} can't be told right; kept."
        )
        findings.append(Finding("conflict", None, text))
    return findings


@dataclass(frozen=True)
class _Groups:
    """Rows that have a value in common, and what classes they are.

    Attributes:
        rows: how many rows each group has, int64 (groups,), in the order of the values.
        largest: how many of them are its commonest class, int64 (groups,).
        commonest: that class, int64 (groups,).
    """

    rows: NDArray[np.int64]
    largest: NDArray[np.int64]
    commonest: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.int64], labels: NDArray[np.int64]) -> Self:
        """The groups of rows with one code, int64 (rows,), given their labels, int64 (rows,)."""
        classes = int(labels.max()) + 1
        # Pairs that occur, not a table of groups by classes, which may be too large.
        pairs, counts = np.unique(codes * classes + labels, return_counts=True)
        order = np.lexsort((-counts, pairs // classes))  # of each group, the commonest class first
        group, label = np.divmod(pairs[order], classes)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        return cls(np.add.reduceat(counts[order], starts), counts[order][starts], label[starts])


def _giveaways(schema: Schema, examples: Examples) -> list[Finding]:
    part = examples
    if len(examples) > LOOKED_AT:
        part = examples.take(np.linspace(0, len(examples) - 1, LOOKED_AT, dtype=np.int64))
    told = [
        *zip(schema.numbers, part.numbers.T, strict=True),
        *zip(schema.categories, part.categories.T, strict=True),
    ]
    return [
        Finding(
            "giveaway",
            feature.name,
            f"Column {feature.name!r} alone gives {schema.target!r} away in nearly every row: it "
            "may be a copy of the target, or come after it; leave it out if it will not be known "
            "when the model is asked.",
        )
        for feature, column in told
        if find_target_leakage(column, part.labels)
    ]


def find_target_leakage(column: NDArray[Any], labels: NDArray[np.int64]) -> bool:
    """Whether a column alone tells the class of nearly every row.

    By Goodman and Kruskal's lambda (1954): of the errors made by always saying the commonest class,
    the share that is avoided by saying each value's commonest class. Numbers that hardly repeat
    count as one value as long as, in their order, the class stays the same, and each change of it
    as an error, but for one from each class to the next: so a threshold gives away two classes, and
    a range each gives away more.

    Args:
        column: (rows,), float64 with NaN where missing, or str objects with "".
        labels: int64 (rows,), the class of each row.
    """
    minority = len(labels) - int(np.bincount(labels).max())
    if minority < FEW_OTHERS:
        return False
    if column.dtype == object:
        places = {text: place for place, text in enumerate(dict.fromkeys(column.tolist()))}
        codes = np.fromiter(map(places.__getitem__, column), np.int64, count=len(column))
    else:
        _, codes = np.unique(column, return_inverse=True)
    groups = _Groups.of(codes, labels)
    errors = len(labels) - int(groups.largest.sum())
    if len(groups.rows) * ROWS_A_VALUE > len(labels):
        if column.dtype == object:
            return False
        classes = len(np.unique(groups.commonest))
        errors += int(np.count_nonzero(np.diff(groups.commonest))) - (classes - 1)
    return errors < GIVEN_AWAY * minority


def _feature_hashes(examples: Examples) -> NDArray[np.uint64]:
    """A hash of each row's features, uint64 (rows,).

    Comparing a million rows by their 64 bits errs with a chance of 3 in 10^8, and is many times
    faster than sorting them by every column.
    """
    hashes = np.zeros(len(examples), np.uint64)
    for bits in (
        *(np.ascontiguousarray(column).view(np.uint64) for column in examples.numbers.T),
        *(_text_bits(column) for column in examples.categories.T),
    ):
        hashes = _mixed(hashes, bits)
    return hashes


def _mixed(hashes: NDArray[np.uint64], bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes with one column more in them."""
    mixed = (hashes ^ bits) * HASH_FACTOR
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _text_bits(column: NDArray[np.object_]) -> NDArray[np.uint64]:
    return np.fromiter(map(hash, column), np.int64, count=len(column)).view(np.uint64)


def _outliers(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    findings = []
    for feature, values in zip(schema.numbers, examples.numbers.T, strict=True):
        if feature.kind is Kind.BOOLEAN:
            continue
        median, places = far_out(values)
        if len(places):
            if feature.kind is Kind.DATETIME:
                cited, middle = _moments(table, values, places), moment_text(median)
            else:
                cited, middle = table.cite(feature.name, places), f"{median:g}"
            text = (
                f"Column {feature.name!r}: {counted(len(places), 'value')} more than {FAR_OUT} "
                f"spreads from the median, {middle}: {cited}; kept."
            )
            findings.append(Finding("outlier", feature.name, text))
    return findings


def _moments(table: Table, values: NDArray[np.float64], places: NDArray[np.int64]) -> str:
    """The first of the moments at ``places``, with rows; a typed cell may have no text of its own."""
    shown = [f"{moment_text(values[place])} (row {table.rows[place]})" for place in places[:SHOWN]]
    return listed(shown, len(places))


def far_out(values: NDArray[np.float64]) -> tuple[float, NDArray[np.int64]]:
    """The median of the values, float64 (rows,), and the places of those far out, farthest first.

    NaN is passed over; at least one value must be a number.
    """
    # Of the quarters, which is exact but for denormals: two values of 1e308 may lie further apart
    # than float64 can hold.
    quarters = values / 4
    known = quarters[~np.isnan(quarters)]
    median = float(np.median(known))
    spread = _interquartile_range(known) or _interquartile_range(known[known != median])
    if not spread:
        return 4 * median, np.empty(0, np.int64)
    distance = np.abs(quarters - median)
    with np.errstate(over="ignore"):  # then nothing is further out than infinity
        bound = FAR_OUT * np.float64(spread)
    places = np.flatnonzero(distance > bound)
    return 4 * median, places[np.argsort(-distance[places], kind="stable")]


def _interquartile_range(values: NDArray[np.float64]) -> float:
    return float(np.subtract(*np.quantile(values, [0.75, 0.25]))) if len(values) else 0.0
