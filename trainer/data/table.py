"""A table file in memory, before anyone has said what its columns mean."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainer.data.delimited import read_delimited
from trainer.data.findings import SHOWN, Finding, listed
from trainer.data.parquet import read_parquet
from trainer.data.text import category_text
from trainer.errors import TableError

PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Table:
    """The columns of one file, and where each row stands in it.

    Attributes:
        path: the file as the user named it.
        columns: one pyarrow column per column of the file; a missing cell is null. From CSV every
            column is text; from Parquet columns keep their types.
        rows: int64 (rows,), the row numbers a person would look for: the header of a CSV file is
            row 1 and blank lines don't count; the first row of a Parquet file is row 1.
        findings: what was found while reading.
    """

    path: str
    columns: pa.Table
    rows: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()

    @classmethod
    def numbered(cls, path: str, columns: pa.Table, first_row: int = 2) -> Self:
        """A table whose rows are numbered on from ``first_row``."""
        return cls(path, columns, np.arange(columns.num_rows, dtype=np.int64) + first_row)

    @property
    def names(self) -> list[str]:
        """The column names, in the order of the file."""
        return list(self.columns.column_names)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.ChunkedArray[Any]:
        """The cells of one column.

        Raises:
            TableError: there is no such column; names the one that may have been meant.
        """
        if name in self.names:
            return self.columns[name]
        folded = {known.casefold(): known for known in self.names}
        near = difflib.get_close_matches(name.casefold(), folded, n=1)
        advice = (
            f"did you mean {folded[near[0]]!r}?"
            if near
            else f"the columns are {listed(self.names[:20], len(self.names))}"
        )
        raise TableError(f"there is no such column; {advice}", path=self.path, column=name)

    def cite(self, name: str, places: NDArray[np.int64]) -> str:
        """The first of a column's cells at ``places``, with rows: "57 (row 13) and 2 more"."""
        cells = self.columns[name]
        shown = [
            f"{category_text(cells[int(place)].as_py())} (row {self.rows[place]})"
            for place in places[:SHOWN]
        ]
        return listed(shown, len(places))

    def where(self, mask: NDArray[np.bool_]) -> Self:
        """The rows where ``mask``, bool (rows,), is true; they keep their row numbers."""
        if mask.all():
            return self  # spares a second copy of a large table
        return replace(self, columns=self.columns.filter(pa.array(mask)), rows=self.rows[mask])


def read_table(path: str | Path) -> Table:
    """Reads a CSV or Parquet file.

    CSV: comma, semicolon, tab or pipe, whichever the file uses; quoted cells; UTF-8 with or
    without a byte order mark; plain or gzip. Parquet is known by its first bytes, not its name.
    Text cells are trimmed, and those listed in ``trainer.data.text.MISSING`` are missing.

    Raises:
        TableError: the file can't be opened, is no table, is damaged, has no rows, or has two
            columns of one name.
    """
    name = str(path)
    opening = _opening(name)
    if opening.startswith(ZIP_MAGIC):
        raise TableError(
            "this is a zip archive or an Excel workbook; save the sheet as CSV", path=name
        )
    if opening == PARQUET_MAGIC:
        return _named(Table.numbered(name, read_parquet(name), first_row=1))
    if name.endswith(".parquet"):
        raise TableError("this is not a Parquet file, whatever its name says", path=name)
    cells, commas = read_delimited(name)
    table = Table.numbered(name, cells, first_row=2)
    findings = tuple(
        Finding("decimal-comma", column, f"Column {column!r} is read with decimal commas.")
        for column in commas
    )
    return _named(replace(table, findings=findings))


def _opening(path: str) -> bytes:
    """The first four bytes, which tell the format."""
    try:
        with Path(path).open("rb") as file:
            opening = file.read(4)
    except FileNotFoundError:
        raise TableError("there is no such file", path=path) from None
    except IsADirectoryError:
        raise TableError("this is a directory, not a table file", path=path) from None
    except OSError as error:
        raise TableError(f"the file can't be opened: {error.strerror}", path=path) from error
    if not opening:
        raise TableError("the file is empty", path=path)
    return opening


def _named(table: Table) -> Table:
    """The table with trimmed, unique column names, if it has any rows."""
    if not len(table):
        raise TableError("the table has a header but no rows", path=table.path)
    given = [name.strip() for name in table.names]
    for name, count in Counter(filter(None, given)).items():
        if count > 1:
            raise TableError(
                f"{count} columns have this name; give each its own", path=table.path, column=name
            )
    names = [name or _position_name(place, given) for place, name in enumerate(given, start=1)]
    findings = tuple(
        Finding("unnamed", name, f"Column {place} has no name; it is called {name!r} here.")
        for place, name in enumerate(names, start=1)
        if not given[place - 1]
    )
    findings = (*table.findings, *findings)
    return replace(table, columns=table.columns.rename_columns(names), findings=findings)


def _position_name(place: int, taken: list[str]) -> str:
    name = f"column_{place}"
    while name in taken:
        name += "_"
    return name
