"""Findings about the quality of the examples; no row is changed.

    imbalance   the rarest class, if it has less than 5 % of the rows and less than half an even share
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
from .findings import MAX_CITED, Finding, join_first, pluralize
from .schema import Examples, Kind, Schema
from .table import Table

RARE_SHARE = 0.05
EVEN_SHARE = 0.5
"""A class is rare below this part of an even share of the rows."""

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


def examine(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    """Return findings about the examples of a table.

    Args:
        table: cites cells; its rows correspond to the examples.
        schema: of the examples.
        examples: at least one row.
    """
    return [
        *find_imbalance(examples.labels, schema),
        *_find_missing(schema, examples),
        *_find_repeated_rows(examples),
        *_find_leaks(schema, examples),
        *_find_column_outliers(table, schema, examples),
    ]


def find_imbalance(labels: NDArray[np.int64], schema: Schema) -> list[Finding]:
    """Return a finding about a rare class, which a good accuracy may hide.

    Args:
        labels: int64 (rows,), indices of the schema's classes.
        schema: names target and classes.
    """
    classes = schema.classes
    counts = np.bincount(labels, minlength=len(classes))
    rarest = int(counts.argmin())
    share = counts[rarest] / len(labels)
    # With many classes each is rare, but not rarer than the others.
    if share >= RARE_SHARE or share * len(classes) >= EVEN_SHARE:
        return []
    threshold = " and --threshold" if len(classes) == 2 else ""  # noqa: PLR2004 - yes or no
    text = (
        f"The class {classes[rarest]!r} has {pluralize(int(counts[rarest]), 'row')} of "
        f"{len(labels):,} ({share:.1%}). The accuracy says little about it; see --class-weight "
        f"balanced{threshold}."
    )
    return [Finding("imbalance", schema.target, text)]


def _find_missing(schema: Schema, examples: Examples) -> list[Finding]:
    is_missing = np.hstack([np.isnan(examples.numbers), examples.categories == ""])
    counts = is_missing.sum(axis=0)
    if not counts.any():
        return []
    names = [feature.name for feature in (*schema.numbers, *schema.categories)]
    most = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    columns = [f"{names[column]!r} {counts[column]:,}" for column in most[:MAX_CITED]]
    text = (
        f"{pluralize(counts.sum(), 'cell')} missing in {pluralize(is_missing.any(axis=1).sum(), 'row')} "
        f"of {len(examples):,}: {join_first(columns, len(most))}."
    )
    return [Finding("missing", None, text)]


def _find_repeated_rows(examples: Examples) -> list[Finding]:
    """Return findings about rows with equal features, with equal and with different labels."""
    features = _feature_hashes(examples)
    distinct = _count_distinct(_mix(features, examples.labels.view(np.uint64)))
    findings = []
    if repeated := len(examples) - distinct:
        verb = "equals" if repeated == 1 else "equal"
        text = (
            f"{pluralize(repeated, 'row')} {verb} an earlier row in every feature and the label. "
            "Repeated rows are kept."
        )
        findings.append(Finding("duplicate", None, text))
    values, codes = np.unique(features, return_inverse=True)
    if len(values) < distinct:
        findings.append(_conflict(_Groups.of(codes, examples.labels)))
    return findings


def _count_distinct(hashes: NDArray[np.uint64]) -> int:
    """Return the number of distinct values; `np.unique` would take many times longer."""
    ordered = np.sort(hashes)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def _conflict(groups: _Groups) -> Finding:
    """Return a finding about rows that equal a row of another class."""
    conflicting = int(groups.rows[groups.rows > groups.largest].sum())
    wrong = int((groups.rows - groups.largest).sum())
    text = (
        f"{conflicting:,} rows equal a row of another class in every feature. At least "
        f"{pluralize(wrong, 'row')} can't be classified correctly with these columns. The rows are kept."
    )
    return Finding("conflict", None, text)


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


def _find_leaks(schema: Schema, examples: Examples) -> list[Finding]:
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
        if find_target_leakage(column, part.labels)
    ]


def find_target_leakage(column: NDArray[Any], labels: NDArray[np.int64]) -> bool:
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
    groups = _Groups.of(_value_codes(column), labels)
    errors = len(labels) - int(groups.largest.sum())
    if len(groups.rows) * ROWS_PER_VALUE > len(labels):
        if column.dtype == object:
            return False
        classes = len(np.unique(groups.commonest))
        errors += int(np.count_nonzero(np.diff(groups.commonest))) - (classes - 1)
    return errors < MAX_LEAKAGE_ERRORS * minority


def _value_codes(column: NDArray[Any]) -> NDArray[np.int64]:
    """Return a code per row, int64 (rows,), equal for equal values; numbers keep their order."""
    if column.dtype == object:
        codes = {text: code for code, text in enumerate(dict.fromkeys(column.tolist()))}
        return np.fromiter(map(codes.__getitem__, column), np.int64, count=len(column))
    return np.unique(column, return_inverse=True)[1]


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
        hashes = _mix(hashes, bits)
    return hashes


def _mix(hashes: NDArray[np.uint64], bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes with a further column mixed in."""
    mixed = (hashes ^ bits) * HASH_FACTOR
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _text_bits(column: NDArray[np.object_]) -> NDArray[np.uint64]:
    return np.fromiter(map(hash, column), np.int64, count=len(column)).view(np.uint64)


def _find_column_outliers(table: Table, schema: Schema, examples: Examples) -> list[Finding]:
    findings = []
    for feature, values in zip(schema.numbers, examples.numbers.T, strict=True):
        if feature.kind is Kind.BOOLEAN:
            continue
        median, rows = find_outliers(values)
        if not len(rows):
            continue
        if feature.kind is Kind.DATETIME:
            cells, middle = _cite_datetimes(table, values, rows), datetime_text(median)
        else:
            cells, middle = table.cite(feature.name, rows), f"{median:g}"
        text = (
            f"Column {feature.name!r} has {pluralize(len(rows), 'value')} more than {OUTLIER_SPREADS} "
            f"spreads from the median {middle}: {cells}. Outliers are kept."
        )
        findings.append(Finding("outlier", feature.name, text))
    return findings


def _cite_datetimes(table: Table, values: NDArray[np.float64], rows: NDArray[np.int64]) -> str:
    """Return the first datetimes of ``rows`` with their row numbers; typed cells have no text."""
    cited = [
        f"{datetime_text(values[row])} (row {table.row_numbers[row]})" for row in rows[:MAX_CITED]
    ]
    return join_first(cited, len(rows))


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
    outliers = np.flatnonzero(distance > bound)
    return 4 * median, outliers[np.argsort(-distance[outliers], kind="stable")]


def _interquartile_range(values: NDArray[np.float64]) -> float:
    return float(np.subtract(*np.quantile(values, [0.75, 0.25]))) if len(values) else 0.0
