"""From a table to schema, examples and findings, one step after the other.

Each step takes the result of the step before:

    step      modules                        result
    read      table, files, cells            Table
              labels                         LabeledRows
    infer     schema_inference, column_rules InferredSchema
    encode    encoding                       EncodedTable
    examine   quality                        findings
    split     stratified, called by the fit  row indices of the parts
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .encoding import encode_rows
from .findings import Finding
from .labels import labeled_rows
from .quality import examine
from .schema import Examples, Kind, Schema
from .schema_inference import check_settings, infer_schema
from .table import Table


@dataclass(frozen=True)
class PreparedTable:
    """A table after all steps.

    Attributes:
        schema: features and classes.
        examples: the labeled rows, in the order of the table.
        findings: in the order of the steps.
    """

    schema: Schema
    examples: Examples
    findings: tuple[Finding, ...]


def prepare(
    table: Table,
    target: str,
    drop: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> PreparedTable:
    """Return schema, examples and findings of a table.

    Args:
        table: the table.
        target: the column with the class names.
        drop: columns to leave out.
        kinds: kinds that the user set, by column; the others are inferred.

    Raises:
        TableError: if a named column does not exist, the target is rejected, cells don't fit a set
            kind, or no column is left.
    """
    kinds = kinds or {}
    check_settings(table, target, drop, kinds)
    # The table may hold 007 as a number.
    as_text = [name for name, kind in kinds.items() if kind is not Kind.NUMBER]
    rows = labeled_rows(table, target, as_text)
    inferred = infer_schema(rows, drop, kinds)
    encoded = encode_rows(rows, inferred.schema)
    quality = examine(rows.table, inferred.schema, encoded.examples)
    return PreparedTable(
        inferred.schema,
        encoded.examples,
        (*table.findings, *rows.findings, *inferred.findings, *encoded.findings, *quality),
    )
