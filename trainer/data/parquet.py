"""Parquet files, read into columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainer.data.text import tidy
from trainer.errors import TableError


def read_parquet(path: str) -> pa.Table:
    """The columns of a Parquet file, with their types.

    Dictionary columns are decoded, text columns are trimmed and their missing tokens made null as
    in a CSV file, and a NaN is null.

    Raises:
        TableError: the file is damaged.
    """
    try:
        columns = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"the Parquet file is damaged: {error}", path=path) from error
    return pa.Table.from_arrays(
        [_plain(column) for column in columns.columns], names=columns.column_names
    )


def _plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if _is_text(column.type):
        return tidy(column.cast(pa.string()))
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
