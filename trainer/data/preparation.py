"""The way of a table to schema, examples and findings, from top to bottom.

step      module          rules
read      table           what a table file must be; names of unnamed columns
cells.text      which cells are missing
infer     labels          which targets are accepted
column_rules    which columns are left out, and the kinds of the others
encode    encoding        rows without a label, invalid cells
examine   quality         what is reported and kept
split     stratified      see `trainer.pipeline`
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..errors import TableError
from .column import Column, is_readable
from .column_rules import infer_feature
from .encoding import encode
from .findings import Finding
from .labels import case_variants, class_names, imbalance, labeled
from .quality import quality_findings
from .schema import Examples, Kind, Schema
from .table import Table


@dataclass(frozen=True)
class Prepared:
    """A table after all steps.

    Attributes:
        schema: features and classes.
        examples: the labeled rows, in the order of the table.
        findings: in the order of the steps.
    """

    schema: Schema
    examples: Examples
    findings: tuple[Finding, ...]


MIN_VALID = 0.5
"""Share of filled cells that must fit the kind that the user set; the others count as missing. An
inferred kind needs more, but the user knows the table."""


def prepare(
    table: Table,
    target: str,
    drop: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> Prepared:
    """Return schema, examples and findings of a table.

    Args:
        table: the table.
        target: the column with the class names.
        drop: columns to leave out.
        kinds: kinds that the user set, by column; the others are inferred.

    Raises:
        TableError: if a named column does not exist, the target is not accepted, cells don't fit a
            set kind, or no column is left.
    """
    given = dict(kinds or {})
    for name in (*drop, *given):
        table.column(name)
    if target in drop:
        raise TableError(
            "the target can't be dropped: name another column with --drop",
            path=table.path,
            column=target,
        )
    for name, kind in given.items():
        if name == target or name in drop:
            reason = "the target is always a class" if name == target else "the column is dropped"
            raise TableError(
                f"the kind can't be set to {kind}: {reason}", path=table.path, column=name
            )
    # The table may hold 007 as a number.
    as_text = [name for name, kind in given.items() if kind is not Kind.NUMBER]
    table, unlabeled = labeled(table.as_written([target, *as_text]), target)
    classes = class_names(table, target)
    schema, left_out = _schema(table, target, classes, drop, given)
    encoded = encode(table, schema)
    return Prepared(
        schema,
        encoded.examples,
        (
            *table.findings,
            *unlabeled,
            *case_variants(classes, target),
            *imbalance(encoded.examples.labels, classes, target),
            *left_out,
            *encoded.findings,
            *quality_findings(table, schema, encoded.examples),
        ),
    )


def _schema(
    table: Table,
    target: str,
    classes: tuple[str, ...],
    drop: Collection[str],
    given: Mapping[str, Kind],
) -> tuple[Schema, list[Finding]]:
    """Return the schema, and the findings about each column."""
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
    """Check the cells of a column against the kind that the user set.

    Raises:
        TableError: if their type is another, or more than half of them do not fit.
    """
    kind = column.kind
    if not is_readable(column.type, kind):
        raise TableError(
            f"the type is {column.type}, expected values of kind {kind}",
            path=table.path,
            column=column.name,
        )
    if kind is Kind.CATEGORY:
        return
    others = column.values.unparsable
    if len(others) > (1 - MIN_VALID) * column.filled:
        raise TableError(
            f"expected {EXPECTED[kind]}, but {len(others):,} of {column.filled:,} filled cells "
            f"are not: {table.cite(column.name, others)}",
            path=table.path,
            column=column.name,
        )


EXPECTED = {
    Kind.NUMBER: "plain decimal numbers",
    Kind.BOOLEAN: "true and false",
    Kind.DATETIME: "dates or times in one spelling, such as 2024-05-01T13:45",
}
"""Expected cells of a kind."""
