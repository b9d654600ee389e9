"""Infers the schema of labeled rows: the classes, and the kind of each column."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..errors import TableError
from .column import Column, find_type_problem
from .column_rules import infer_feature
from .findings import Finding
from .labels import LabeledRows, case_variants, class_names
from .schema import Feature, Kind, Schema
from .table import Table

MIN_VALID = 0.5
"""Share of filled cells that must fit a kind that the user set; the others count as missing. An
inferred kind needs more, but the user knows the table."""

EXPECTED_CELLS = {
    Kind.NUMBER: "plain decimal numbers",
    Kind.BOOLEAN: "true and false",
    Kind.DATETIME: "dates or times in one format, such as 2024-05-01T13:45",
}


@dataclass(frozen=True)
class InferredSchema:
    """The schema of a table, and the findings of its inference."""

    schema: Schema
    findings: tuple[Finding, ...]


def check_settings(
    table: Table, target: str, drop: Collection[str], kinds: Mapping[str, Kind]
) -> None:
    """Check that the settings of columns fit the table and each other.

    Raises:
        TableError: if a column does not exist, the target is dropped, or a kind is set for the target
            or for a dropped column.
    """
    for name in (*drop, *kinds):
        table.column(name)
    if target in drop:
        raise TableError(
            "the target can't be dropped: name another column with --drop",
            path=table.path,
            column=target,
        )
    for name, kind in kinds.items():
        if name == target or name in drop:
            reason = "the target is always a class" if name == target else "the column is dropped"
            raise TableError(
                f"the kind can't be set to {kind}, because {reason}: remove the kind",
                path=table.path,
                column=name,
            )


def infer_schema(
    rows: LabeledRows, drop: Collection[str], kinds: Mapping[str, Kind]
) -> InferredSchema:
    """Return the schema of labeled rows.

    Args:
        rows: the labeled rows.
        drop: columns to leave out.
        kinds: kinds that the user set, by column; the others are inferred.

    Raises:
        TableError: if the target is rejected, cells don't fit a set kind, or no column is left.
    """
    classes = class_names(rows)
    features, findings = _infer_features(rows, drop, kinds)
    if not features:
        reasons = " ".join(finding.text for finding in findings)
        raise TableError(
            f"no column is left to learn from: add a column. {reasons}".strip(),
            path=rows.table.path,
        )
    schema = Schema(tuple(features), rows.target, classes)
    return InferredSchema(schema, (*case_variants(classes, rows.target), *findings))


def _infer_features(
    rows: LabeledRows, drop: Collection[str], kinds: Mapping[str, Kind]
) -> tuple[list[Feature], list[Finding]]:
    """Return the features, and the findings about every column."""
    table = rows.table
    features, findings = [], []
    for name in table.names:
        if name == rows.target or name in drop:
            continue
        column = Column(name, table.columns[name], kinds.get(name))
        if column.user_kind:
            _check_kind(table, column)
        feature, about_column = infer_feature(column)
        findings += about_column
        if feature:
            features.append(feature)
    return features, findings


def _check_kind(table: Table, column: Column) -> None:
    """Check the cells of a column against the kind that the user set.

    Raises:
        TableError: if their type does not fit, or more than half of the filled cells do not.
    """
    if problem := find_type_problem(column.type, column.kind):
        raise TableError(
            f"{problem}: convert the column or set another kind",
            path=table.path,
            column=column.name,
        )
    if column.kind is Kind.CATEGORY:
        return
    invalid = column.values.unparsable
    if len(invalid) > (1 - MIN_VALID) * column.filled:
        raise TableError(
            f"expected {EXPECTED_CELLS[column.kind]}, but {len(invalid):,} of {column.filled:,} filled "
            f"cells are not: {table.cite(column.name, invalid)}. Correct them or set another kind",
            path=table.path,
            column=column.name,
        )
