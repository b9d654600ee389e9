"""From a table to a schema and examples, by stated rules.

The rules stand where they are applied:

    trainer.data.table      what a table file must be, and names for columns without one
    trainer.data.cells.text       which cells count as missing
    trainer.data.labels     which targets can be learned
    trainer.data.column_rules      which columns are left out, and what kind the others are
    trainer.data.encoding   rows without a label, cells that can't be read
    trainer.data.quality   what is pointed out and kept
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..errors import TableError
from .column import Column, is_readable
from .column_rules import infer_feature
from .encoding import encode
from .findings import Finding
from .labels import class_names, imbalance, labeled, twins
from .quality import oddities
from .schema import Examples, Kind, Schema
from .table import Table


@dataclass(frozen=True)
class Cleaned:
    """What a table was found to hold.

    Attributes:
        schema: what each column is.
        examples: the labeled rows, in the order of the table.
        findings: what was found, and what was done about it, in the order it was done.
    """

    schema: Schema
    examples: Examples
    findings: tuple[Finding, ...]


FITTING = 0.5
"""The share of filled cells that must be read for a column to be of the kind it is said to be; the
others count as missing. That is less than what is asked of a guess: who says so knows the table."""


def clean(
    table: Table,
    target: str,
    drop: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> Cleaned:
    """Finds out what the columns of a table are, and reads its labeled rows accordingly.

    Args:
        table: the table to learn from.
        target: the column that holds the class names.
        drop: columns to leave out unseen.
        kinds: what the values of some columns are, by the columns' names; the others are looked at.

    Raises:
        TableError: the target, a column to drop or one of ``kinds`` isn't there, the target can't
            be learned, a column's cells don't fit its given kind, or no column is left to learn
            from.
    """
    given = dict(kinds or {})
    for name in (*drop, *given):
        table.column(name)
    if target in drop:
        raise TableError("the target can't be dropped", path=table.path, column=target)
    for name, kind in given.items():
        if name == target or name in drop:
            what = "the target, which is always a class" if name == target else "dropped"
            raise TableError(f"it can't be a {kind}: it is {what}", path=table.path, column=name)
    # A table may hold as numbers what is written 007.
    spelled = [name for name, kind in given.items() if kind is not Kind.NUMBER]
    table, unlabeled = labeled(table.as_written([target, *spelled]), target)
    classes = class_names(table, target)
    schema, left_out = _schema(table, target, classes, drop, given)
    encoded = encode(table, schema)
    return Cleaned(
        schema,
        encoded.examples,
        (
            *table.findings,
            *unlabeled,
            *twins(classes, target),
            *imbalance(encoded.examples.labels, classes, target),
            *left_out,
            *encoded.findings,
            *oddities(table, schema, encoded.examples),
        ),
    )


def _schema(
    table: Table,
    target: str,
    classes: tuple[str, ...],
    drop: Collection[str],
    given: Mapping[str, Kind],
) -> tuple[Schema, list[Finding]]:
    """What the columns are, and which ones are left out."""
    features, findings = [], []
    for name in table.names:
        if name == target or name in drop:
            continue
        column = Column(name, table.columns[name], given.get(name))
        if column.given:
            _check_fit(table, column)
        feature, found = infer_feature(column)
        findings += found
        if feature:
            features.append(feature)
    if not features:
        reasons = " ".join(finding.text for finding in findings)
        raise TableError(f"no column is left to learn from. {reasons}".strip(), path=table.path)
    return Schema(tuple(features), target, classes), findings


def _check_fit(table: Table, column: Column) -> None:
    """Holds the cells of a column against the kind they are said to be.

    Raises:
        TableError: they are of another type, or more than half are something else.
    """
    kind = column.kind
    if not is_readable(column.type, kind):
        raise TableError(
            f"its type is {column.type}, and values of kind {kind} are expected",
            path=table.path,
            column=column.name,
        )
    if kind is Kind.CATEGORY:
        return
    others = column.values.unparsable
    if len(others) > (1 - FITTING) * column.filled:
        raise TableError(
            f"{EXPECTED[kind]} are expected, but {len(others):,} of {column.filled:,} filled cells "
            f"are none: {table.cite(column.name, others)}",
            path=table.path,
            column=column.name,
        )


EXPECTED = {
    Kind.NUMBER: "plain decimal numbers",
    Kind.BOOLEAN: "true and false",
    Kind.DATETIME: "dates or times such as 2024-05-01T13:45, all in one spelling,",
}
"""What the cells of a kind look like."""
