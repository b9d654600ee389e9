"""A small network, clouds to fit it to, and Ctrl-C as a terminal sends it."""

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
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def epoch():
    """(number, validation loss) -> an epoch that came to this."""

    def make(number: int, validation_loss: float | None, accuracy: float | None = 0.5) -> Epoch:
        return Epoch(number, 1.0, validation_loss, accuracy, 0.01, 0.1)

    return make


@pytest.fixture
def clouds() -> Callable[[int, int], Rows]:
    """(rows, seed) -> two overlapping clouds: few rows are soon overfitted."""

    def make(rows: int, seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, rows)
        return rng.normal(size=(rows, 6)) + 0.4 * y[:, None], y

    return make


@pytest.fixture
def network() -> Sequential:
    layers = [Dense(32, "relu", input_shape=(6,)), BatchNormalization(), Dense(2, "softmax")]
    made = Sequential(layers)
    made.compile(Adam(0.02))
    made.build(np.random.default_rng(0))
    return made


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C, from whatever thread, and waits there until it has been heard.

    A signal that comes in the instant before its thread falls asleep on a lock doesn't wake it: so
    it is pressed again, as people do, and what was heard already is not heard twice.
    """
    heard = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not heard.is_set():
            heard.set()
            signal.default_int_handler(number, frame)

    def press() -> None:
        heard.clear()
        os.kill(os.getpid(), signal.SIGINT)  # to the process: its main thread hears it
        if threading.current_thread() is not threading.main_thread():
            for _ in range(60):
                if heard.wait(1):
                    break
                os.kill(os.getpid(), signal.SIGINT)
            assert heard.is_set()
            time.sleep(0.02)  # for what follows from it

    before = signal.signal(signal.SIGINT, interrupt)
    yield press
    signal.signal(signal.SIGINT, before)
