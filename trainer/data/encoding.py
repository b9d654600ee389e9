"""Encodes a table by a schema as examples.

Findings, each with up to three rows:

    unlabeled   rows without a label, which are dropped
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
from .column import is_readable, read_values
from .findings import Finding, counted
from .labels import labeled, labels_of
from .schema import Examples, Feature, Kind, Schema
from .table import Table


@dataclass(frozen=True)
class Encoded:
    """Examples of a table, and the findings of encoding."""

    examples: Examples
    findings: tuple[Finding, ...]


def encode(table: Table, schema: Schema) -> Encoded:
    """Return the examples of a table by a schema, which may come from another table.

    Columns outside the schema are ignored; unseen categories stay text.

    Raises:
        TableError: if a column of the schema is absent or unreadable, no row has a label, or a label
            is unknown.
    """
    as_text = [feature.name for feature in schema.features if feature.kind is not Kind.NUMBER]
    table = table.as_written([schema.target, *as_text])
    for feature in schema.features:
        _check_readable(table, feature)
    labeled_table, findings = labeled(table, schema.target)
    numbers, found = _number_columns(labeled_table, schema.numbers)
    examples = Examples(
        numbers=numbers,
        categories=_category_columns(labeled_table, schema.categories),
        labels=labels_of(labeled_table, schema.target, schema.classes),
    )
    return Encoded(examples, (*findings, *found))


def _check_readable(table: Table, feature: Feature) -> None:
    kind = table.column(feature.name).type
    if not is_readable(kind, feature.kind):
        raise TableError(
            f"the type is {kind}, expected values of kind {feature.kind}",
            path=table.path,
            column=feature.name,
        )


def _number_columns(
    table: Table, features: tuple[Feature, ...]
) -> tuple[NDArray[np.float64], list[Finding]]:
    # In column order, as they are filled: saves a second copy of a large table.
    columns = np.empty((len(table), len(features)), np.float64, order="F")
    findings: list[Finding] = []
    for place, feature in enumerate(features):
        numbers = read_values(table.columns[feature.name], feature.kind, feature.format)
        columns[:, place] = numbers.values
        findings += _number_findings(table, feature, numbers)
    return columns, findings


def _category_columns(table: Table, features: tuple[Feature, ...]) -> NDArray[np.object_]:
    columns = np.empty((len(table), len(features)), np.object_, order="F")
    for place, feature in enumerate(features):
        levels = Levels.of(table.columns[feature.name])
        columns[:, place] = levels.per_row(levels.names, "")
    return columns


def _number_findings(table: Table, feature: Feature, numbers: Numbers) -> list[Finding]:
    reasons = {
        "unparsable": (numbers.unparsable, f"not a {feature.kind}"),
        "infinite": (numbers.infinite, "infinite or too large"),
    }
    return [
        Finding(
            rule,
            feature.name,
            f"Column {feature.name!r}: {counted(len(places), 'cell')} {reason}, counted as missing: "
            f"{table.cite(feature.name, places)}.",
        )
        for rule, (places, reason) in reasons.items()
        if len(places)
    ]
