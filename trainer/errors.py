"""What can go wrong in a training run, in the words of the one who started it.

The tree, each with when it is raised:

    TrainerError           anything that ends a run with one sentence and exit code 2
      TableError           a table that can't be read or learnt from; knows file, column and row
      SettingError         a setting that can't be used; knows its name
      TrainingError        the fit itself failed (a loss that is no number)
      ExportError          the exported file does not say what the network says

Each carries what it knows as attributes.
"""

from __future__ import annotations


class TrainerError(Exception):
    """A run that can't go on; the message is one sentence for the person who started it."""


class TableError(TrainerError):
    """A table that can't be read, or can't be learnt from.

    Args:
        message: what is wrong and what to do about it, one sentence.
        path: the file as the user named it.
        column: the column's name, where one is to blame.
        row: the row in the file, where one is to blame; the header is row 1.
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
    """A setting that can't be used; ``setting`` is its name."""

    def __init__(self, setting: str, message: str) -> None:
        self.setting = setting
        super().__init__(f"{setting}: {message}")


class TrainingError(TrainerError):
    """A fit that broke down; the message says which setting to lower."""


class ExportError(TrainerError):
    """An exported file that disagrees with the network it was made from, or is no valid ONNX."""
