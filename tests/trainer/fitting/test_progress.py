from __future__ import annotations

import io

from pigeonhole.trainer.fitting.progress import Progress
from pigeonhole.trainer.network.sequential import Epoch


def test_stream_that_is_not_a_terminal_stays_empty() -> None:
    stream = io.StringIO()
    with Progress(epochs=4, rows=10, stream=stream) as progress:
        progress.advance(10)
    assert stream.getvalue() == ""


def test_without_a_stream_nothing_is_drawn(capsys) -> None:
    with Progress(epochs=4, rows=10, stream=None) as progress:
        progress.advance(10)
        assert progress(Epoch(1, 0.5, 0.25, 0.875, 0.01, 0.1)) is False
    assert capsys.readouterr() == ("", "")


def test_terminal_shows_epoch_losses_accuracy_and_remaining_time(terminal) -> None:
    with Progress(epochs=4, rows=10, stream=terminal) as progress:
        progress.advance(10)
        assert progress(Epoch(1, 0.5, 0.25, 0.875, 0.01, 0.1)) is False
        progress._bar.refresh()
    drawn = terminal.getvalue()
    assert "epoch 0/4" in drawn
    last = drawn[drawn.rindex("epoch 1/4") :]
    assert "loss=0.5000, validation loss=0.2500, accuracy=0.8750" in last
    assert " 25% [" in last
    assert "<" in last
