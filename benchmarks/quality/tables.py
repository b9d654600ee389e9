"""The tables of a folder, and which column of each is to be told from the others."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".csv.gz", ".parquet")


class TargetsRefused(Exception):
    """A file of targets can't be used, or names what is not there."""


@dataclass(frozen=True)
class TableFile:
    """One table to compare on.

    Attributes:
        name: of the file, without its suffix.
        path: where it is.
        target: the column of classes; None for the last one.
        drop: columns that no method gets.
    """

    name: str
    path: Path
    target: str | None = None
    drop: tuple[str, ...] = ()


def tables_in(
    folder: Path, targets: Path | None = None, only: Sequence[str] = ()
) -> list[TableFile]:
    """The tables of a folder, the smallest file first.

    Args:
        folder: holds CSV and Parquet files.
        targets: a TOML file with a section for each table that needs one, ``[name]``, with
            ``target`` and ``drop``; ``targets.toml`` in the folder where None.
        only: names of the tables that are wanted; all where empty.

    Raises:
        TargetsRefused: the file of targets can't be read or has other keys, a name that is wanted
            is not there, or there is no table at all.
    """
    stated = _stated(targets or folder / "targets.toml", needed=targets is not None)
    found = {name: path for path in sorted(folder.iterdir()) if (name := _table_name(path))}
    for name in (*stated, *only):
        if name not in found:
            raise TargetsRefused(f"{folder} has no table called {name!r}")
    chosen = sorted(only or found, key=lambda name: (found[name].stat().st_size, name))
    if not chosen:
        raise TargetsRefused(
            f"{folder} has no table, which is a file that ends in .csv or .parquet"
        )
    return [
        TableFile(name, found[name], facts.get("target"), tuple(facts.get("drop", ())))
        for name in chosen
        for facts in (stated.get(name, {}),)
    ]


def _table_name(path: Path) -> str | None:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return None


def _stated(file: Path, *, needed: bool) -> dict[str, dict[str, Any]]:
    if not needed and not file.is_file():
        return {}
    try:
        stated = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TargetsRefused(f"{file} can't be read: {error}") from None
    for name, facts in stated.items():
        if not isinstance(facts, dict) or set(facts) - {"target", "drop"}:
            raise TargetsRefused(f"{file}: [{name}] may have a target and a drop, nothing else")
    return stated
