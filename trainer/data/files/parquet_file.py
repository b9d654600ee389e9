"""Parquet files, read into columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import TableError
from ..cells.text import tidy

BUFFER_BYTES = 2**16
"""How much of a file is read at a time; by itself pyarrow reads all that a column takes."""


def read_parquet(path: str) -> pa.Table:
    """The columns of a Parquet file, with their types.

    Dictionary columns are decoded, text columns are trimmed and their missing tokens made null as
    in a CSV file, and a NaN is null.

    Raises:
        TableError: the file is damaged.
    """
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            names = file.schema_arrow.names
            columns = [_plain(_column(file, name)) for name in names]
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"the Parquet file is damaged: {error}", path=path) from error
    return pa.Table.from_arrays(columns, names=names)


def _column(file: pq.ParquetFile, name: str) -> pa.ChunkedArray[Any]:
    """One column; what lies between the file and its cells is gone before the next is read."""
    # By the name "a" pyarrow finds a column "a.b" too, as if that were part of a struct.
    found = file.read(columns=[name], use_threads=False)
    return found.columns[found.column_names.index(name)]


def _plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if _is_text(column.type):
        return tidy(column.cast(pa.string()))
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        column = pc.if_else(pc.is_nan(column), None, column)
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
