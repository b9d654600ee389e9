"""Findings about the quality of the examples; no row is changed.

    missing     number of missing cells, and the columns with most of them
    duplicate   rows equal to an earlier one in every feature and the label
    conflict    rows equal in every feature, but with different labels
    giveaway    target leakage: a column that alone gives the class, with less than 1 % of the errors
                of always answering the commonest class
    outlier     values more than 8 spreads from the median of their column. The spread is the
                interquartile range; if that is 0, the range of the values other than the median

Eight spreads are wide on purpose: 11 standard deviations of a normal distribution. Skewed measures
such as income reach them in a few rows; mistakes such as meters for centimeters go far beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .cells.datetimes import datetime_text
from .findings import SHOWN, Finding, counted, listed
from .schema import Examples, Kind, Schema
from .table import Table

OUTLIER_SPREADS = 8

LEAKAGE_ROWS = 20_000
"""Rows of the sample for target leakage."""

MAX_LEAKAGE_ERRORS = 0.01
"""Share of the commonest class's errors below which a column leaks the target."""

MIN_MINORITY = 20
"""Rows outside the commonest class; with fewer, leakage may be chance."""

ROWS_PER_VALUE = 10
"""Mean number of rows per distinct value that tells its commonest class."""

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: odd, well mixed bits


def quality_findings(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    """Return findings about the examples of a table; their rows must correspond."""
    return [
        *_missing(schema, examples),
        *_repeated(examples),
        *_leakage(schema, examples),
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
    """Return findings about rows with equal features, with equal and with different labels."""
    features = _feature_hashes(examples)
    # Sorted and counted here, because `np.unique` takes many times longer.
    rows = np.sort(_mixed(features, examples.labels.view(np.uint64)))
    different = 1 + int(np.count_nonzero(rows[1:] != rows[:-1]))
    findings = []
    if repeated := len(examples) - different:
        text = f"{counted(repeated, 'row')} equal to an earlier row in every feature and the label; kept."
        findings.append(Finding("duplicate", None, text))
    values, codes = np.unique(features, return_inverse=True)
    if len(values) < different:
        groups = _Groups.of(codes, examples.labels)
        conflicting = int(groups.rows[groups.rows > groups.largest].sum())
        wrong = len(examples) - int(groups.largest.sum())
        text = (
            f"{conflicting:,} rows equal a row of another class in every feature; kept. With these "
            f"columns at least {counted(wrong, 'row')} can't be classified correctly."
        )
        findings.append(Finding("conflict", None, text))
    return findings


@dataclass(frozen=True)
class _Groups:
    """Rows grouped by a value, with their classes.

    Attributes:
        rows: rows per group, int64 (groups,), in the order of the values.
        largest: rows of the group's commonest class, int64 (groups,).
        commonest: that class, int64 (groups,).
    """

    rows: NDArray[np.int64]
    largest: NDArray[np.int64]
    commonest: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.int64], labels: NDArray[np.int64]) -> Self:
        """Return the groups by code, int64 (rows,), with the labels, int64 (rows,)."""
        classes = int(labels.max()) + 1
        # Only pairs that occur, because a table of groups by classes may be too large.
        pairs, counts = np.unique(codes * classes + labels, return_counts=True)
        order = np.lexsort((-counts, pairs // classes))  # the commonest class first in each group
        group, label = np.divmod(pairs[order], classes)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        return cls(np.add.reduceat(counts[order], starts), counts[order][starts], label[starts])


def _leakage(schema: Schema, examples: Examples) -> list[Finding]:
    part = examples
    if len(examples) > LEAKAGE_ROWS:
        part = examples.take(np.linspace(0, len(examples) - 1, LEAKAGE_ROWS, dtype=np.int64))
    columns = [
        *zip(schema.numbers, part.numbers.T, strict=True),
        *zip(schema.categories, part.categories.T, strict=True),
    ]
    return [
        Finding(
            "giveaway",
            feature.name,
            f"Column {feature.name!r} alone gives {schema.target!r} in nearly every row (target "
            "leakage). Drop it if it will not be known at prediction time.",
        )
        for feature, column in columns
        if leaks_target(column, part.labels)
    ]


def leaks_target(column: NDArray[Any], labels: NDArray[np.int64]) -> bool:
    """Return whether a column alone gives the class of nearly every row.

    Goodman and Kruskal's lambda (1954): the share of errors of the commonest class that each value's
    commonest class avoids. Numbers that hardly repeat are sorted, and each change of the class counts
    as an error, except one per pair of neighboring classes: a threshold leaks two classes, and ranges
    leak more.

    Args:
        column: (rows,), float64 with NaN where missing, or str objects with "".
        labels: int64 (rows,), the class of each row.
    """
    minority = len(labels) - int(np.bincount(labels).max())
    if minority < MIN_MINORITY:
        return False
    if column.dtype == object:
        places = {text: place for place, text in enumerate(dict.fromkeys(column.tolist()))}
        codes = np.fromiter(map(places.__getitem__, column), np.int64, count=len(column))
    else:
        _, codes = np.unique(column, return_inverse=True)
    groups = _Groups.of(codes, labels)
    errors = len(labels) - int(groups.largest.sum())
    if len(groups.rows) * ROWS_PER_VALUE > len(labels):
        if column.dtype == object:
            return False
        classes = len(np.unique(groups.commonest))
        errors += int(np.count_nonzero(np.diff(groups.commonest))) - (classes - 1)
    return errors < MAX_LEAKAGE_ERRORS * minority


def _feature_hashes(examples: Examples) -> NDArray[np.uint64]:
    """Return a hash of each row's features, uint64 (rows,).

    Two of a million rows collide with a probability of 3 in 10^8. Hashing is many times faster than
    sorting by every column.
    """
    hashes = np.zeros(len(examples), np.uint64)
    for bits in (
        *(np.ascontiguousarray(column).view(np.uint64) for column in examples.numbers.T),
        *(_text_bits(column) for column in examples.categories.T),
    ):
        hashes = _mixed(hashes, bits)
    return hashes


def _mixed(hashes: NDArray[np.uint64], bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes with a further column mixed in."""
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
        median, places = find_outliers(values)
        if len(places):
            if feature.kind is Kind.DATETIME:
                cited, middle = _cite_datetimes(table, values, places), datetime_text(median)
            else:
                cited, middle = table.cite(feature.name, places), f"{median:g}"
            text = (
                f"Column {feature.name!r}: {counted(len(places), 'value')} more than {OUTLIER_SPREADS} "
                f"spreads from the median {middle}: {cited}; kept."
            )
            findings.append(Finding("outlier", feature.name, text))
    return findings


def _cite_datetimes(table: Table, values: NDArray[np.float64], places: NDArray[np.int64]) -> str:
    """Return the first datetimes at ``places`` with their rows; typed cells have no text."""
    shown = [
        f"{datetime_text(values[place])} (row {table.rows[place]})" for place in places[:SHOWN]
    ]
    return listed(shown, len(places))


def find_outliers(values: NDArray[np.float64]) -> tuple[float, NDArray[np.int64]]:
    """Return the median of values, float64 (rows,), and the rows of outliers, farthest first.

    NaN is ignored; at least one value must be a number.
    """
    # Computed on quarters, because the distance of two values of 1e308 overflows float64.
    quarters = values / 4
    known = quarters[~np.isnan(quarters)]
    median = float(np.median(known))
    spread = _interquartile_range(known) or _interquartile_range(known[known != median])
    if not spread:
        return 4 * median, np.empty(0, np.int64)
    distance = np.abs(quarters - median)
    with np.errstate(over="ignore"):  # then no value is an outlier
        bound = OUTLIER_SPREADS * np.float64(spread)
    places = np.flatnonzero(distance > bound)
    return 4 * median, places[np.argsort(-distance[places], kind="stable")]


def _interquartile_range(values: NDArray[np.float64]) -> float:
    return float(np.subtract(*np.quantile(values, [0.75, 0.25]))) if len(values) else 0.0
