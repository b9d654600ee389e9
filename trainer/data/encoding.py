"""Encodes the rows of a table by a schema as examples.

Findings, each with up to three rows:

    unparsable  cells that do not fit the kind of their column; they count as missing
    infinite    infinite numbers, or numbers beyond float64; they count as missing
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import TableError
from .cells.levels import Levels
from .cells.numbers import Numbers
from .column import find_type_problem, read_values
from .findings import Finding, pluralize
from .labels import LabeledRows, labeled_rows, quote_names
from .schema import Examples, Feature, Kind, Schema
from .table import Table


@dataclass(frozen=True)
class EncodedTable:
    """Examples of a table, and the findings of encoding."""

    examples: Examples
    findings: tuple[Finding, ...]


def encode(table: Table, schema: Schema) -> EncodedTable:
    """Return the examples of a table by a schema, which may come from another table.

    Columns outside the schema are ignored; unseen categories stay text. Rows without a label are
    dropped.

    Raises:
        TableError: if a column of the schema is absent or unreadable, no row has a label, or a label
            is unknown.
    """
    as_text = [feature.name for feature in schema.features if feature.kind is not Kind.NUMBER]
    rows = labeled_rows(table, schema.target, as_text)
    encoded = encode_rows(rows, schema)
    return EncodedTable(encoded.examples, (*rows.findings, *encoded.findings))


def encode_rows(rows: LabeledRows, schema: Schema) -> EncodedTable:
    """Return the examples of labeled rows by a schema.

    Raises:
        TableError: if a column of the schema is absent or unreadable, or a label is unknown.
    """
    for feature in schema.features:
        _check_type(rows.table, feature)
    numbers, findings = _encode_numbers(rows.table, schema.numbers)
    categories = _encode_categories(rows.table, schema.categories)
    labels = _encode_labels(rows, schema.classes)
    return EncodedTable(Examples(numbers, categories, labels), tuple(findings))


def _check_type(table: Table, feature: Feature) -> None:
    if problem := find_type_problem(table.column(feature.name).type, feature.kind):
        raise TableError(f"{problem}: convert the column", path=table.path, column=feature.name)


def _encode_numbers(
    table: Table, features: tuple[Feature, ...]
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Return numbers, booleans and datetimes, float64 (rows, features), and findings about them."""
    # In column order, as they are filled: saves a second copy of a large table.
    columns = np.empty((len(table), len(features)), np.float64, order="F")
    findings: list[Finding] = []
    for index, feature in enumerate(features):
        numbers = read_values(table.columns[feature.name], feature.kind, feature.format)
        columns[:, index] = numbers.values
        findings += _number_findings(table, feature, numbers)
    return columns, findings


def _encode_categories(table: Table, features: tuple[Feature, ...]) -> NDArray[np.object_]:
    """Return categories, str objects (rows, features)."""
    columns = np.empty((len(table), len(features)), np.object_, order="F")
    for index, feature in enumerate(features):
        levels = Levels.of(table.columns[feature.name])
        columns[:, index] = levels.per_row(levels.names, "")
    return columns


def _encode_labels(rows: LabeledRows, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the index of each row's label in ``classes``, int64 (rows,).

    Raises:
        TableError: if a label is unknown; names it and its row.
    """
    levels = rows.labels
    indices = {name: index for index, name in enumerate(classes)}
    of_level = np.array([indices.get(name, -1) for name in levels.names], np.int64)
    labels = levels.per_row(of_level, -1)
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        first = unknown[0]
        name = levels.names[levels.codes[first]]
        raise TableError(
            f"the label {name!r} is unknown, expected one of {quote_names(classes)}: correct the "
            "label or remove the row",
            path=rows.table.path,
            column=rows.target,
            row=int(rows.table.row_numbers[first]),
        )
    return labels


def _number_findings(table: Table, feature: Feature, numbers: Numbers) -> list[Finding]:
    """Return findings about cells that count as missing."""
    findings = []
    for rule, rows, one, several in (
        ("unparsable", numbers.unparsable, f"is not a {feature.kind}", f"are not {feature.kind}s"),
        ("infinite", numbers.infinite, "is infinite or too large", "are infinite or too large"),
    ):
        if len(rows):
            problem = f"{one} and counts" if len(rows) == 1 else f"{several} and count"
            text = (
                f"Column {feature.name!r}: {pluralize(len(rows), 'cell')} {problem} as missing: "
                f"{table.cite(feature.name, rows)}."
            )
            findings.append(Finding(rule, feature.name, text))
    return findings
