"""The target column: class names, and a label per row.

A target is rejected, with advice, if it has

    - fewer than two classes, or a class with a single row;
    - more than 1,000 classes; more classes than half the rows, from 20 rows on; or more than 20
      classes that are decimals: then it is a quantity or a name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import TableError
from .cells.levels import Levels
from .cells.numbers import NUMBER
from .column import is_readable
from .findings import SHOWN, Finding, counted, listed
from .table import Table

MAX_CLASSES = 1000
MAX_DECIMAL_CLASSES = 20
FEW_ROWS = 20

RARE = 0.05
"""A class with a smaller share of the rows is reported as rare..."""

EVEN = 0.5
"""...if it has less than half of an even share."""


def labeled(table: Table, target: str) -> tuple[Table, list[Finding]]:
    """Return the rows with a label, and a finding about the others.

    Raises:
        TableError: if the column does not exist, has an unsupported type, or has no label at all.
    """
    kind = table.column(target).type
    if not is_readable(kind):
        raise TableError(
            f"the type is {kind}, expected text, integers or booleans as class names",
            path=table.path,
            column=target,
        )
    has_label = _levels(table, target).codes >= 0
    dropped = table.rows[~has_label]
    if not len(dropped):
        return table, []
    if not has_label.any():
        raise TableError("no row has a label", path=table.path, column=target)
    text = (
        f"Dropped {counted(len(dropped), 'row')} without a label in {target!r}: row "
        f"{listed(dropped[:SHOWN].tolist(), len(dropped))}. Empty cells, NA, ? and None are missing."
    )
    return table.where(has_label), [Finding("unlabeled", target, text)]


def case_variants(classes: Sequence[str], target: str) -> list[Finding]:
    """Return a finding about classes that differ only in case."""
    spelled: dict[str, list[str]] = {}
    for name in classes:
        spelled.setdefault(name.casefold(), []).append(name)
    alike = [" and ".join(map(repr, names)) for names in spelled.values() if len(names) > 1]
    if not alike:
        return []
    text = (
        f"Classes of {target!r} differ only in case and stay separate: "
        f"{listed(alike[:SHOWN], len(alike))}. Spell them alike if they are the same class."
    )
    return [Finding("case", target, text)]


def imbalance(labels: NDArray[np.int64], classes: Sequence[str], target: str) -> list[Finding]:
    """Return a finding about a rare class, which a good accuracy may hide.

    Args:
        labels: int64 (rows,), indices of ``classes``.
        classes: the class names.
        target: their column.
    """
    counts = np.bincount(labels, minlength=len(classes))
    rarest = int(counts.argmin())
    share = counts[rarest] / len(labels)
    # With many classes each is rare, but not rarer than the others.
    if share >= RARE or share * len(classes) >= EVEN:
        return []
    threshold = " and --threshold" if len(classes) == 2 else ""  # noqa: PLR2004 - yes or no
    text = (
        f"The class {classes[rarest]!r} has {counted(int(counts[rarest]), 'row')} of "
        f"{len(labels):,} ({share:.1%}). The accuracy says little about it; see --class-weight "
        f"balanced{threshold}."
    )
    return [Finding("imbalance", target, text)]


def class_names(table: Table, target: str) -> tuple[str, ...]:
    """Return the classes of a table, sorted by value if all are numbers, else as text.

    Raises:
        TableError: if the target is not accepted.
    """
    levels = _levels(table, target)
    numeric = bool(levels.matching(NUMBER).all())
    if problem := (
        _too_few(levels, target) or _too_many(levels, numeric=numeric) or _too_rare(levels)
    ):
        raise TableError(problem, path=table.path, column=target)
    return tuple(sorted(levels.names, key=(lambda name: (float(name), name)) if numeric else None))


def labels_of(table: Table, target: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the index of each row's label in ``classes``, int64 (rows,).

    Raises:
        TableError: if a label is missing or unknown; names it and its row.
    """
    levels = _levels(table, target)
    places = {name: place for place, name in enumerate(classes)}
    labels = levels.per_row(np.array([places.get(name, -1) for name in levels.names], np.int64), -1)
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        first = unknown[0]
        raise TableError(
            f"the label {levels.names[levels.codes[first]]!r} is unknown, expected {_quoted(classes)}",
            path=table.path,
            column=target,
            row=int(table.rows[first]),
        )
    return labels


def _levels(table: Table, target: str) -> Levels:
    return Levels.of(table.columns[target])


def _too_few(levels: Levels, target: str) -> str | None:
    if len(levels.names) > 1:
        return None
    return (
        f"every row has the class {levels.names[0]!r}, but a classifier needs two classes: "
        f"add rows of another class, or choose another target than {target!r}"
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
    reading = (
        "a number to predict (regression): cut it into ranges and name them"
        if numeric
        else "a name or free text: choose another target"
    )
    return f"{classes:,} distinct values in {rows:,} rows are too many classes; this looks like {reading}"


def _too_rare(levels: Levels) -> str | None:
    rare = levels.names[levels.counts() == 1]
    if not len(rare):
        return None
    subject = (
        f"the class {rare[0]!r} has"
        if len(rare) == 1
        else f"the classes {_quoted(list(rare))} have"
    )
    return (
        f"{subject} a single row, expected at least two, to learn from and to test on: collect more "
        "rows, merge it with another class, or remove the row"
    )


def _quoted(names: Sequence[str]) -> str:
    return listed([repr(name) for name in names[:5]], len(names))
