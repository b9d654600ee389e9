from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import pytest

from pigeonhole.trainer.errors import TrainingError
from pigeonhole.trainer.fitting.fit import FitConfig, NetworkFit, SplitRows
from pigeonhole.trainer.fitting.history import (
    CALLBACK,
    EPOCH_LIMIT,
    INTERRUPTION,
    PATIENCE,
    History,
)
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.optimizers import SGD
from pigeonhole.trainer.network.sequential import Epoch, Sequential

CONFIG = FitConfig(epochs=30, batch_size=16, patience=5)


@pytest.fixture
def rows(clouds) -> SplitRows:
    """64 training rows and 200 validation rows."""
    (x, y), (validation_x, validation_y) = clouds(64, 2), clouds(200, 3)
    return SplitRows(
        np.vstack([x, validation_x]),
        np.concatenate([y, validation_y]),
        np.arange(64),
        np.arange(64, 264),
    )


@pytest.fixture
def fit(network, rows) -> Callable[..., NetworkFit]:
    """Prepares a fit of the network; other arguments by name."""

    def prepare(config: FitConfig = CONFIG, network: Sequential = network, **more: Any):
        return NetworkFit(network, rows, config, np.random.default_rng(1), **more)

    return prepare


def test_fit_stops_by_patience_with_the_weights_of_its_best_epoch(fit, network, rows) -> None:
    history = fit(replace(CONFIG, epochs=200)).run()
    assert history.stopped_by == PATIENCE
    assert len(history.loss) == history.best_epoch + 5
    best = history.best_epoch - 1
    assert history.validation_loss[best] == history.validation_loss.min()
    loss, accuracy = network.evaluate(*rows.validation_rows)
    assert loss == pytest.approx(history.validation_loss[best])
    assert accuracy == history.validation_accuracy[best]


def test_default_patience_waits_for_half_of_the_epochs(fit) -> None:
    history = fit(replace(CONFIG, epochs=40, patience=0)).run()
    assert history.stopped_by == PATIENCE
    assert len(history.loss) >= 20
    assert len(history.loss) - history.best_epoch >= 0.6 * len(history.loss)


def test_fit_through_all_epochs_ends_with_its_best_weights(fit, network, rows) -> None:
    history = fit(replace(CONFIG, patience=30)).run()
    assert history.stopped_by == EPOCH_LIMIT
    assert len(history.loss) == 30
    assert history.best_epoch < 30
    loss, _ = network.evaluate(*rows.validation_rows)
    assert loss == pytest.approx(history.validation_loss.min())


def test_configured_criterion_chooses_the_epoch(fit, network, rows) -> None:
    history = fit(replace(CONFIG, patience=30, select="error")).run()
    assert history.best_epoch == history.validation_accuracy.argmax() + 1
    assert history.best_epoch != history.validation_loss.argmin() + 1
    assert network.evaluate(*rows.validation_rows)[1] == history.validation_accuracy.max()


def test_stopping_of_a_fit_knows_its_best_epoch(fit) -> None:
    prepared = fit()
    assert prepared.stopping.best is None
    history = prepared.run()
    assert prepared.stopping.best.number == history.best_epoch


def test_fit_trains_on_training_rows_only(clouds) -> None:
    class Recording(Dense):
        """A layer that records the first input of its training rows."""

        def forward(self, x, training):
            if training:
                recorded.update(x[:, 0].tolist())
            return super().forward(x, training)

    recorded: set[float] = set()
    network = Sequential([Recording(4, input_shape=(6,)), Dense(2, "softmax")])
    network.compile()
    x, y = clouds(64, 2)
    x[:, 0] = np.arange(64)
    rows = SplitRows(x, y, np.array([5, 3, 60]), np.arange(6, 40))
    NetworkFit(network, rows, replace(CONFIG, epochs=2), np.random.default_rng(0)).run()
    assert recorded == {3, 5, 60}


def test_callback_stops_a_fit(fit) -> None:
    history = fit(callbacks=(lambda epoch: epoch.number == 2,)).run()
    assert (history.stopped_by, len(history.loss)) == (CALLBACK, 2)


def test_ctrl_c_ends_a_fit_with_the_best_weights_so_far(fit, network, rows, ctrl_c) -> None:
    def interrupt(epoch: Epoch) -> bool:
        if epoch.number == 4:
            ctrl_c()
        return False

    history = fit(callbacks=(interrupt,)).run()
    assert history.stopped_by == INTERRUPTION
    assert len(history.loss) == 4
    loss, _ = network.evaluate(*rows.validation_rows)
    assert loss == pytest.approx(history.validation_loss[history.best_epoch - 1])
    assert loss == pytest.approx(history.validation_loss.min())


def test_halt_ends_a_fit_like_ctrl_c(fit, network, rows) -> None:
    halt = Event()

    def interrupt(epoch: Epoch) -> bool:
        if epoch.number == 4:
            halt.set()
        return False

    history = fit(callbacks=(interrupt,)).run(halt)
    assert (history.stopped_by, len(history.loss)) == (INTERRUPTION, 4)
    loss, _ = network.evaluate(*rows.validation_rows)
    assert loss == pytest.approx(history.validation_loss.min())


def test_halt_before_the_end_of_the_first_epoch_raises(fit) -> None:
    halt = Event()
    halt.set()
    with pytest.raises(KeyboardInterrupt):
        fit().run(halt)


def test_ctrl_c_before_the_end_of_the_first_epoch_is_passed_on(fit, ctrl_c) -> None:
    class Interrupted(Dense):
        def backward(self, gradient, needs_input):
            ctrl_c()
            return super().backward(gradient, needs_input)

    network = Sequential([Interrupted(4, input_shape=(6,)), Dense(2, "softmax")])
    network.compile()
    with pytest.raises(KeyboardInterrupt):
        fit(network=network).run()


def test_diverging_fit_leaves_the_best_weights_in_the_network(fit, network) -> None:
    snapshots = []

    def ruin(_epoch: Epoch) -> bool:
        snapshots.append(network.parameters.copy())
        network.parameters.fill(np.nan)
        return False

    with pytest.raises(TrainingError, match=r"lower the learning rate, which is 0\.02"):
        fit(callbacks=(ruin,)).run()
    np.testing.assert_array_equal(network.parameters, snapshots[0])


def test_divergence_error_names_the_learning_rate(fit) -> None:
    network = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(2)])
    network.compile(SGD(1e12), loss="mean_squared_error")
    with pytest.raises(TrainingError, match=r"lower the learning rate, which is 1e\+12"):
        fit(network=network).run()


def test_same_seed_gives_the_same_history(fit) -> None:
    def run() -> History:
        network = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(2, "softmax")])
        network.compile("adam")
        return fit(replace(CONFIG, epochs=3), network).run()

    first, second = run(), run()
    np.testing.assert_array_equal(first.loss, second.loss)
    np.testing.assert_array_equal(first.validation_loss, second.validation_loss)


def test_progress_is_drawn_only_on_a_terminal(fit, terminal) -> None:
    stream = io.StringIO()
    for place in (stream, terminal):
        fit(replace(CONFIG, epochs=3), stream=place).run()
    assert stream.getvalue() == ""
    assert "epoch 0/3" in terminal.getvalue()
