"""Parquet files as columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import TableError
from ..cells.text import tidy

BUFFER_BYTES = 2**16
"""Size of a read; by default pyarrow reads a whole column at once."""


def read_parquet(path: str) -> pa.Table:
    """Return the columns of a Parquet file with their types.

    Dictionaries are decoded, text is trimmed with missing tokens as nulls as in CSV, and NaN is null.

    Raises:
        TableError: if the file is damaged.
    """
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            names = file.schema_arrow.names
            columns = [_plain(_column(file, name)) for name in names]
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"the Parquet file is damaged: {error}", path=path) from error
    return pa.Table.from_arrays(columns, names=names)


def _column(file: pq.ParquetFile, name: str) -> pa.ChunkedArray[Any]:
    """Return one column; its buffers are freed before the next column is read."""
    # For the name "a" pyarrow also returns a column "a.b", as if it were part of a struct.
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
