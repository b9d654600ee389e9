"""From a table to a schema and examples, by stated rules.

The rules stand where they are applied:

    trainer.data.table      what a table file must be, and names for columns without one
    trainer.data.text       which cells count as missing
    trainer.data.labels     which targets can be learned
    trainer.data.rules      which columns are left out, and what kind the others are
    trainer.data.encoding   rows without a label, cells that can't be read
    trainer.data.oddities   what is pointed out and kept
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trainer.data.columns import Column
from trainer.data.encoding import encode
from trainer.data.findings import Finding
from trainer.data.labels import class_names, labeled, twins
from trainer.data.oddities import oddities
from trainer.data.rules import understand
from trainer.data.schema import Examples, Schema
from trainer.data.table import Table
from trainer.errors import TableError


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


def clean(table: Table, target: str, drop: Collection[str] = ()) -> Cleaned:
    """Finds out what the columns of a table are, and reads its labeled rows accordingly.

    Args:
        table: the table to learn from.
        target: the column that holds the class names.
        drop: columns to leave out unseen.

    Raises:
        TableError: the target or a column to drop isn't there, the target can't be learned, or no
            column is left to learn from.
    """
    for name in drop:
        table.column(name)
    if target in drop:
        raise TableError("the target can't be dropped", path=table.path, column=target)
    rows, unlabeled = labeled(table, target)
    classes = class_names(rows, target)
    schema, left_out = _schema(rows, target, classes, drop)
    encoded = encode(rows, schema)
    return Cleaned(
        schema,
        encoded.examples,
        (
            *table.findings,
            *unlabeled,
            *twins(classes, target),
            *left_out,
            *encoded.findings,
            *oddities(rows, schema, encoded.examples),
        ),
    )


def _schema(
    table: Table, target: str, classes: tuple[str, ...], drop: Collection[str]
) -> tuple[Schema, list[Finding]]:
    """What the columns are, and which ones are left out."""
    features, findings = [], []
    for name in table.names:
        if name == target or name in drop:
            continue
        feature, found = understand(Column(name, table.columns[name]))
        findings += found
        if feature:
            features.append(feature)
    if not features:
        reasons = " ".join(finding.text for finding in findings)
        raise TableError(f"no column is left to learn from. {reasons}".strip(), path=table.path)
    return Schema(tuple(features), target, classes), findings
