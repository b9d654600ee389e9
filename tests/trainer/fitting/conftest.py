"""A small network, overlapping clouds of rows, and Ctrl-C as a terminal sends it."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest

from pigeonhole.trainer.network.layers import BatchNormalization, Dense
from pigeonhole.trainer.network.optimizers import Adam
from pigeonhole.trainer.network.sequential import Epoch, Sequential

Rows = tuple[np.ndarray, np.ndarray]


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def epoch():
    """Makes an epoch of a number, a validation loss and a validation accuracy."""

    def make(number: int, validation_loss: float | None, accuracy: float | None = 0.5) -> Epoch:
        return Epoch(number, 1.0, validation_loss, accuracy, 0.01, 0.1)

    return make


@pytest.fixture
def clouds() -> Callable[[int, int], Rows]:
    """Makes two overlapping clouds of so many rows: few rows are soon overfitted."""

    def make(rows: int, seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, rows)
        return rng.normal(size=(rows, 6)) + 0.4 * y[:, None], y

    return make


@pytest.fixture
def network() -> Sequential:
    layers = [Dense(32, "relu", input_shape=(6,)), BatchNormalization(), Dense(2, "softmax")]
    network = Sequential(layers)
    network.compile(Adam(0.02))
    network.build(np.random.default_rng(0))
    return network


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C from any thread, and waits there until the main thread has received it.

    A signal that arrives just before the main thread falls asleep on a lock does not wake it. So the
    fixture sends the signal again, as people do; the handler ignores repeated signals.
    """
    received = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not received.is_set():
            received.set()
            signal.default_int_handler(number, frame)

    def press() -> None:
        received.clear()
        os.kill(os.getpid(), signal.SIGINT)  # Python runs the handler in the main thread
        if threading.current_thread() is not threading.main_thread():
            for _ in range(60):
                if received.wait(1):
                    break
                os.kill(os.getpid(), signal.SIGINT)
            assert received.is_set()
            time.sleep(0.02)  # time for the main thread to halt the fits

    before = signal.signal(signal.SIGINT, interrupt)
    yield press
    signal.signal(signal.SIGINT, before)
