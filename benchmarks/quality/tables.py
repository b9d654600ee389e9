"""The tables of a folder, with their class columns."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".csv.gz", ".parquet")


class TableError(Exception):
    """A table or a file of targets can't be used."""


@dataclass(frozen=True)
class TableFile:
    """A table to compare on.

    Attributes:
        name: file name without its suffix.
        path: path of the file.
        target: class column; None for the last column.
        drop: columns that are removed.
    """

    name: str
    path: Path
    target: str | None = None
    drop: tuple[str, ...] = ()


def tables_in(
    folder: Path, targets: Path | None = None, only: Sequence[str] = ()
) -> list[TableFile]:
    """Return the tables of a folder, the smallest file first.

    Args:
        folder: folder of CSV and Parquet files.
        targets: TOML file with optional sections ``[table]``, each with ``target`` and ``drop``;
            ``targets.toml`` in the folder if None.
        only: names of tables; all if empty.

    Raises:
        TableError: the file of targets can't be read or has unknown keys, a table is missing, or
            the folder has no table.
    """
    sections = _read_targets(targets or folder / "targets.toml", required=targets is not None)
    files = {name: path for path in sorted(folder.iterdir()) if (name := _table_name(path))}
    for name in (*sections, *only):
        if name not in files:
            raise TableError(f"{folder} has no table {name!r}; it has {', '.join(files)}")
    chosen = sorted(only or files, key=lambda name: (files[name].stat().st_size, name))
    if not chosen:
        raise TableError(f"{folder} has no table; expected files that end in {', '.join(SUFFIXES)}")
    return [
        TableFile(name, files[name], facts.get("target"), tuple(facts.get("drop", ())))
        for name in chosen
        for facts in (sections.get(name, {}),)
    ]


def _table_name(path: Path) -> str | None:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return None


def _read_targets(file: Path, *, required: bool) -> dict[str, dict[str, Any]]:
    if not required and not file.is_file():
        return {}
    try:
        sections = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TableError(f"{file} can't be read: {error}") from None
    for name, facts in sections.items():
        if not isinstance(facts, dict) or set(facts) - {"target", "drop"}:
            raise TableError(
                f"{file}: section [{name}] is not valid; expected only the keys target and drop"
            )
    return sections
