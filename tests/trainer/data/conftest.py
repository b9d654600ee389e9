from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pigeonhole.trainer.data.cells.text import tidy
from pigeonhole.trainer.data.table import Table


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a file, table.csv by default, from text or bytes."""

    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def table() -> Callable[..., Table]:
    """Return a function that makes a table: lists of str are text as from CSV, arrays keep types."""

    def make(**columns) -> Table:
        cells = {
            name: tidy(pa.array(values)) if isinstance(values, list) else values
            for name, values in columns.items()
        }
        return Table.from_columns("table.csv", pa.table(cells))

    return make
