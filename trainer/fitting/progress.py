"""The progress bar of a fit: moves with every batch and shows the figures of the last epoch."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from ..network.sequential import Epoch

FORMAT = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}{postfix}]"
"""The remaining time is that of all epochs; early stopping may end the fit sooner."""


class Progress:
    """A callback and context manager that draws a progress bar on a terminal.

    Args:
        epochs: the largest number of epochs.
        rows: training rows of an epoch.
        stream: where to draw; nothing is drawn for None or a stream that is not a terminal.
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
        """Move the bar by a batch of ``rows``; tqdm limits how often it redraws."""
        self._bar.update(rows)

    def __call__(self, epoch: Epoch) -> bool:
        """Show the epoch's figures; return False, because the bar never stops a fit."""
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
        """Return the bar."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bar from the terminal."""
        self._bar.close()
