"""The progress bar: a step an epoch, with the figures that tell whether it is going well."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from trainer.network.sequential import Epoch


class Progress:
    """A callback that draws a bar while it is entered; quiet where the stream is no terminal.

    Args:
        epochs: how many there are at most.
        stream: where it is drawn.
    """

    def __init__(self, epochs: int, stream: TextIO) -> None:
        quiet = not stream.isatty()
        self._bar = tqdm(total=epochs, unit="epoch", file=stream, disable=quiet, leave=False)

    def __call__(self, epoch: Epoch) -> bool:
        """Move on by one; never asks to stop."""
        figures = {"loss": f"{epoch.loss:.4f}"}
        if epoch.validation_loss is not None:
            figures["validation loss"] = f"{epoch.validation_loss:.4f}"
            figures["accuracy"] = f"{epoch.validation_accuracy:.4f}"
        self._bar.set_postfix(figures, refresh=False)
        self._bar.update()
        return False

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
