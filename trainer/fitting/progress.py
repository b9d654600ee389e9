"""The progress bar: moves with every batch, with the figures that tell how it is going."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from ..network.sequential import Epoch

FORMAT = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}{postfix}]"
"""The time left is what all epochs would take: patience may end them sooner."""


class Progress:
    """A callback that draws a bar while it is entered; quiet where the stream is no terminal.

    Args:
        epochs: how many there are at most.
        rows: training rows, each seen once an epoch.
        stream: where it is drawn; nowhere where None.
    """

    def __init__(self, epochs: int, rows: int, stream: TextIO | None) -> None:
        self._epochs = epochs
        self._bar = tqdm(
            total=epochs * rows,
            desc=self._description(0),
            bar_format=FORMAT,
            file=stream,
            disable=stream is None or not stream.isatty(),
            dynamic_ncols=True,
            leave=False,
        )

    def advance(self, rows: int) -> None:
        """Move on by a batch; a redraw waits until one is due."""
        self._bar.update(rows)

    def __call__(self, epoch: Epoch) -> bool:
        """Show an epoch's figures; never asks to stop."""
        figures = {"loss": f"{epoch.loss:.4f}"}
        if epoch.validation_loss is not None:
            figures["validation loss"] = f"{epoch.validation_loss:.4f}"
            figures["accuracy"] = f"{epoch.validation_accuracy:.4f}"
        self._bar.set_description_str(self._description(epoch.number), refresh=False)
        self._bar.set_postfix(figures, refresh=False)
        return False

    def _description(self, finished: int) -> str:
        return f"epoch {finished}/{self._epochs}"

    def __enter__(self) -> Self:
        """Show the bar."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away, whatever ended the fit."""
        self._bar.close()
