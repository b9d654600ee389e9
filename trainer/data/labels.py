"""The target column: class names, and a label for each row.

A target is refused, with advice, when there is nothing to tell apart or nothing to learn from:

    - fewer than two classes, or a class with a single row
    - more than 1,000 classes; from 20 rows on, more classes than half the rows; or more than 20
      classes that are numbers with decimals: that is a quantity to predict, or a name
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

MOST_CLASSES = 1000
MOST_DECIMAL_CLASSES = 20
FEW_ROWS = 20

RARE = 0.05
"""The share below which a class is pointed out as rare..."""

EVEN = 0.5
"""...if it has less than half of the rows that it would have if all classes had as many."""


def labeled(table: Table, target: str) -> tuple[Table, list[Finding]]:
    """The rows that have a label, and a finding if there are others.

    Raises:
        TableError: no such column, its type can't name classes, or no row has a label.
    """
    kind = table.column(target).type
    if not is_readable(kind):
        raise TableError(
            f"its type is {kind}; class names are text, whole numbers or booleans",
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
        f"Dropped {counted(len(dropped), 'row')} without a label in {target!r}, which is one that "
        f"is empty or NA, ?, None and the like: row "
        f"{listed(dropped[:SHOWN].tolist(), len(dropped))}."
    )
    return table.where(has_label), [Finding("unlabeled", target, text)]


def twins(classes: Sequence[str], target: str) -> list[Finding]:
    """A finding for classes that only case tells apart: more often a slip than a meaning."""
    spelled: dict[str, list[str]] = {}
    for name in classes:
        spelled.setdefault(name.casefold(), []).append(name)
    alike = [" and ".join(map(repr, names)) for names in spelled.values() if len(names) > 1]
    if not alike:
        return []
    text = (
        f"Classes of {target!r} that only case tells apart are kept apart: "
        f"{listed(alike[:SHOWN], len(alike))}; spell them alike if they are one."
    )
    return [Finding("case", target, text)]


def imbalance(labels: NDArray[np.int64], classes: Sequence[str], target: str) -> list[Finding]:
    """A finding for a class so rare that a classifier may do well and never name it.

    Args:
        labels: int64 (rows,), places in ``classes``.
        classes: the class names.
        target: the column they come from.
    """
    counts = np.bincount(labels, minlength=len(classes))
    rarest = int(counts.argmin())
    share = counts[rarest] / len(labels)
    # Of many classes each is rare, without being rarer than the others.
    if share >= RARE or share * len(classes) >= EVEN:
        return []
    threshold = " and --threshold" if len(classes) == 2 else ""  # noqa: PLR2004 - yes or no
    text = (
        f"The class {classes[rarest]!r} has {counted(int(counts[rarest]), 'row')} of "
        f"{len(labels):,} ({share:.1%}): accuracy says little about it; see --class-weight "
        f"balanced{threshold}."
    )
    return [Finding("imbalance", target, text)]


def class_names(table: Table, target: str) -> tuple[str, ...]:
    """The classes of a table, sorted: by value if all are numbers, else as text.

    Raises:
        TableError: the classes can't be learned.
    """
    levels = _levels(table, target)
    numeric = bool(levels.matching(NUMBER).all())
    if problem := (
        _too_few(levels, target) or _too_many(levels, numeric=numeric) or _too_rare(levels)
    ):
        raise TableError(problem, path=table.path, column=target)
    return tuple(sorted(levels.names, key=(lambda name: (float(name), name)) if numeric else None))


def labels_of(table: Table, target: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The place of each row's label in ``classes``: int64 (rows,).

    Raises:
        TableError: a label is missing or none of the classes; names it and its row.
    """
    levels = _levels(table, target)
    places = {name: place for place, name in enumerate(classes)}
    labels = levels.spread(np.array([places.get(name, -1) for name in levels.names], np.int64), -1)
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        first = unknown[0]
        raise TableError(
            f"{levels.names[levels.codes[first]]!r} is none of the classes {_quoted(classes)}",
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
        f"every row has the class {levels.names[0]!r}, and a classifier needs two to tell apart; "
        f"add rows of another class, or choose another target than {target!r}"
    )


def _too_many(levels: Levels, *, numeric: bool) -> str | None:
    classes, rows = len(levels.names), len(levels.codes)
    decimal = numeric and any(not float(name).is_integer() for name in levels.names)
    if not (
        classes > MOST_CLASSES
        or (rows >= FEW_ROWS and classes > rows / 2)
        or (decimal and classes > MOST_DECIMAL_CLASSES)
    ):
        return None
    reading = (
        "a number to predict (regression); cut it into ranges and name those"
        if numeric
        else "a name or a free text; choose another target"
    )
    return f"{classes:,} different values in {rows:,} rows are no classes, but look like {reading}"


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
        f"{subject} a single row, too few to learn from and to test on; collect more rows, merge "
        "with another class, or remove the rows"
    )


def _quoted(names: Sequence[str]) -> str:
    return listed([repr(name) for name in names[:5]], len(names))
