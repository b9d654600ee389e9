"""The target column: rows with a label, and the names of the classes.

A target is rejected if it has

    - fewer than two classes, or a class with a single row;
    - more than 1,000 classes;
    - at least 20 rows, and more classes than half the rows;
    - more than 20 classes that are decimals.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..errors import TableError
from .cells.levels import Levels
from .cells.numbers import NUMBER
from .column import is_readable
from .findings import MAX_CITED, Finding, join_first, pluralize
from .table import Table

MAX_CLASSES = 1000
MAX_DECIMAL_CLASSES = 20
FEW_ROWS = 20


@dataclass(frozen=True)
class LabeledRows:
    """The rows of a table that have a label.

    Attributes:
        table: these rows; they keep their row numbers.
        target: the column with the class names.
        labels: the cells of the target.
        findings: about the rows without a label.
    """

    table: Table
    target: str
    labels: Levels
    findings: tuple[Finding, ...] = ()


def labeled_rows(table: Table, target: str, as_text: Collection[str] = ()) -> LabeledRows:
    """Return the rows with a label.

    Args:
        table: the table.
        target: the column with the class names.
        as_text: further columns whose text is needed, even if the table holds them as numbers.

    Raises:
        TableError: if the target does not exist, has an unsupported type, or has no label at all.
    """
    table = table.with_text([target, *as_text])
    _check_type(table, target)
    levels = Levels.of(table.columns[target])
    has_label = levels.codes >= 0
    if has_label.all():
        return LabeledRows(table, target, levels)
    if not has_label.any():
        raise TableError(
            "no row has a label: fill in the column or choose another target",
            path=table.path,
            column=target,
        )
    dropped = table.row_numbers[~has_label]
    text = (
        f"Dropped {pluralize(len(dropped), 'row')} without a label in {target!r}: row "
        f"{join_first(dropped[:MAX_CITED].tolist(), len(dropped))}. Empty cells, NA, ? and None are "
        "missing."
    )
    labels = Levels(levels.names, levels.codes[has_label])
    finding = Finding("unlabeled", target, text)
    return LabeledRows(table.filter(has_label), target, labels, (finding,))


def _check_type(table: Table, target: str) -> None:
    type_ = table.column(target).type
    if not is_readable(type_):
        raise TableError(
            f"the type is {type_}, expected text, numbers or booleans as class names: convert the "
            "column or choose another target",
            path=table.path,
            column=target,
        )


def class_names(rows: LabeledRows) -> tuple[str, ...]:
    """Return the classes, sorted by value if all are numbers, else as text.

    Raises:
        TableError: if the target is rejected.
    """
    levels = rows.labels
    numeric = bool(levels.matching(NUMBER).all())
    if problem := _too_few(levels) or _too_many(levels, numeric=numeric) or _too_rare(levels):
        raise TableError(problem, path=rows.table.path, column=rows.target)
    return tuple(sorted(levels.names, key=(lambda name: (float(name), name)) if numeric else None))


def case_variants(classes: Sequence[str], target: str) -> list[Finding]:
    """Return a finding about classes that differ only in case."""
    variants: dict[str, list[str]] = {}
    for name in classes:
        variants.setdefault(name.casefold(), []).append(name)
    groups = [" and ".join(map(repr, names)) for names in variants.values() if len(names) > 1]
    if not groups:
        return []
    text = (
        f"Classes of {target!r} differ only in case and stay separate: "
        f"{join_first(groups[:MAX_CITED], len(groups))}. Spell them alike if they are the same class."
    )
    return [Finding("case", target, text)]


def _too_few(levels: Levels) -> str | None:
    if len(levels.names) > 1:
        return None
    return (
        f"every row has the class {levels.names[0]!r}, expected at least two classes: add rows of "
        "another class or choose another target"
    )


def _too_many(levels: Levels, *, numeric: bool) -> str | None:
    classes, rows = len(levels.names), len(levels.codes)
    decimal = numeric and any(not float(name).is_integer() for name in levels.names)
    if not (
        classes > MAX_CLASSES
        or (rows >= FEW_ROWS and classes > rows / 2)
        or (decimal and classes > MAX_DECIMAL_CLASSES)
    ):
        return None
    advice = (
        "they look like a number to predict (regression): cut it into ranges and name the ranges"
        if numeric
        else "they look like names or free text: choose another target"
    )
    return f"{classes:,} distinct values in {rows:,} rows are too many classes; {advice}"


def _too_rare(levels: Levels) -> str | None:
    rare = levels.names[levels.counts() == 1]
    if not len(rare):
        return None
    subject = (
        f"the class {rare[0]!r} has" if len(rare) == 1 else f"the classes {quote_names(rare)} have"
    )
    return (
        f"{subject} a single row, expected at least two: collect more rows, merge the class with "
        "another, or remove the row"
    )


def quote_names(names: Sequence[str]) -> str:
    """Return the first five names in quotes, and the number of the others."""
    return join_first([repr(name) for name in names[:5]], len(names))
