"""The errors of a training run.

TrainerError           any error that ends a run with one sentence and exit code 2
TableError           a table can't be read or learned from; knows file, column and row
SettingError         a setting is invalid; knows its name
TrainingError        a fit diverged: a loss or weight is not finite
ExportError          a model file is invalid, can't be written, or differs from the network
"""

from __future__ import annotations


class TrainerError(Exception):
    """An error that ends a run; the message is one sentence for the user."""


class TableError(TrainerError):
    """A table that can't be read or learned from.

    Args:
        message: what is wrong and what to do, one sentence.
        path: the file, as the user named it.
        column: the column's name, if the error is about one column.
        row: the row in the file, if the error is about one row; the header is row 1.
    """

    def __init__(
        self, message: str, *, path: str, column: str | None = None, row: int | None = None
    ) -> None:
        self.path, self.column, self.row = path, column, row
        places = [path]
        if row is not None:
            places.append(f"row {row}")
        if column is not None:
            places.append(f"column {column!r}")
        super().__init__(f"{', '.join(places)}: {message}")


class SettingError(TrainerError):
    """An invalid setting; ``setting`` is its flag, or its place in a settings file."""

    def __init__(self, setting: str, message: str) -> None:
        self.setting = setting
        super().__init__(f"{setting}: {message}")


class TrainingError(TrainerError):
    """A fit that diverged; the message says which setting to lower."""


class ExportError(TrainerError):
    """A model file that is invalid, can't be read or written, or differs from its network."""
