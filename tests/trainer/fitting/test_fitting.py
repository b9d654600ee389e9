from __future__ import annotations

import io

import numpy as np
import pytest

from trainer.errors import TrainingError
from trainer.fitting.early_stopping import EarlyStopping
from trainer.fitting.history import History
from trainer.fitting.loop import ALL_EPOCHS, CALLBACK, INTERRUPTION, PATIENCE, fit_network
from trainer.fitting.progress import Progress
from trainer.network.layers import BatchNormalization, Dense
from trainer.network.optimizers import SGD, Adam
from trainer.network.sequential import Epoch, Sequential


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def epoch(number: int, validation_loss: float | None) -> Epoch:
    return Epoch(number, 1.0, validation_loss, 0.5, 0.01, 0.1)


def clouds(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds: few rows are soon overfitted."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    return rng.normal(size=(rows, 6)) + 0.4 * y[:, None], y


@pytest.fixture
def network() -> Sequential:
    layers = [Dense(32, "relu", input_shape=(6,)), BatchNormalization(), Dense(2, "softmax")]
    made = Sequential(layers)
    made.compile(Adam(0.02))
    made.build(np.random.default_rng(0))
    return made


@pytest.fixture
def fit(network):
    """Fits the network; what differs from a usual small fit is given by name."""

    def run(**given) -> History:
        arguments = {"epochs": 30, "batch_size": 16, "patience": 5, "stream": io.StringIO()}
        rng = np.random.default_rng(1)
        return fit_network(network, clouds(64, 2), clouds(200, 3), rng=rng, **arguments | given)

    return run


def test_patience_counts_epochs_in_a_row_without_a_better_loss(network) -> None:
    stopping = EarlyStopping(network, patience=2)
    losses = [1.0, 0.9, 0.95, 0.8, 0.8, 0.85]
    answers = [stopping(epoch(i, loss)) for i, loss in enumerate(losses, 1)]
    assert answers == [False] * 5 + [True]
    assert stopping.best.number == 4
    assert stopping.exhausted


def test_a_gain_below_min_delta_is_none(network) -> None:
    stopping = EarlyStopping(network, patience=2, min_delta=0.1)
    assert [stopping(epoch(i, loss)) for i, loss in ((1, 1.0), (2, 0.95), (3, 0.91))][-1]
    assert stopping.best.number == 1


def test_restore_puts_back_the_best_weights_and_statistics(network) -> None:
    stopping = EarlyStopping(network, patience=5)
    for number, (loss, value) in enumerate(((1.0, 1), (0.5, 2), (0.7, 3)), 1):
        network.parameters.fill(value)
        network.statistics.fill(value)
        stopping(epoch(number, loss))
    stopping.restore()
    assert (network.parameters == 2).all()
    assert (network.statistics == 2).all()
    assert (network.layers[0].parameters["kernel"] == 2).all()  # the layers see it


def test_restore_before_an_epoch_has_ended_changes_nothing(network) -> None:
    before = network.parameters.copy()
    EarlyStopping(network, patience=5).restore()
    np.testing.assert_array_equal(network.parameters, before)


def test_early_stopping_refuses_what_it_can_not_work_with(network) -> None:
    with pytest.raises(ValueError, match="patience is 0, expected at least 1"):
        EarlyStopping(network, patience=0)
    with pytest.raises(ValueError, match="min_delta is -1, expected at least 0"):
        EarlyStopping(network, patience=1, min_delta=-1)
    stopping = EarlyStopping(network, patience=1)
    stopping(epoch(1, None))
    with pytest.raises(ValueError, match="fit with validation_data"):
        stopping(epoch(2, None))


def test_a_history_is_the_epochs_as_named_arrays() -> None:
    history = History.of([epoch(1, 0.5), epoch(2, None)], best_epoch=1, stopped_by=PATIENCE)
    np.testing.assert_array_equal(history.validation_loss, [0.5, np.nan])
    for name in ("loss", "validation_accuracy", "learning_rate", "seconds"):
        assert getattr(history, name).shape == (2,)


def test_a_fit_stops_by_patience_with_the_weights_of_its_best_epoch(fit, network) -> None:
    history = fit(epochs=200)
    assert history.stopped_by == PATIENCE
    assert len(history.loss) == history.best_epoch + 5
    best = history.best_epoch - 1
    assert history.validation_loss[best] == history.validation_loss.min()
    loss, accuracy = network.evaluate(*clouds(200, 3))
    assert loss == pytest.approx(history.validation_loss[best])
    assert accuracy == history.validation_accuracy[best]


def test_a_fit_through_all_epochs_ends_with_its_best_weights_too(fit, network) -> None:
    history = fit(patience=30)
    assert history.stopped_by == ALL_EPOCHS
    assert len(history.loss) == 30
    assert history.best_epoch < 30
    loss, _ = network.evaluate(*clouds(200, 3))
    assert loss == pytest.approx(history.validation_loss.min())


def test_a_callback_may_stop_a_fit(fit) -> None:
    history = fit(callbacks=(lambda epoch: epoch.number == 2,))
    assert (history.stopped_by, len(history.loss)) == (CALLBACK, 2)


def test_ctrl_c_ends_a_fit_with_the_best_weights_so_far(fit, network) -> None:
    def interrupt(epoch: Epoch) -> bool:
        if epoch.number == 4:
            raise KeyboardInterrupt
        return False

    history = fit(callbacks=(interrupt,))
    assert history.stopped_by == INTERRUPTION
    assert len(history.loss) == 4
    loss, _ = network.evaluate(*clouds(200, 3))
    assert loss == pytest.approx(history.validation_loss[history.best_epoch - 1])
    assert loss == pytest.approx(history.validation_loss.min())


def test_ctrl_c_before_the_first_epoch_has_ended_is_passed_on(network) -> None:
    class Impatient(Dense):
        def backward(self, gradient, needs_input):
            raise KeyboardInterrupt

    layers = [Impatient(4, input_shape=(6,)), Dense(2, "softmax")]
    network = Sequential(layers)
    network.compile()
    with pytest.raises(KeyboardInterrupt):
        fit_network(
            *(network, clouds(20, 0), clouds(20, 1)),
            epochs=3,
            batch_size=10,
            patience=2,
            rng=np.random.default_rng(0),
            stream=io.StringIO(),
        )


def test_a_fit_that_diverges_leaves_the_best_weights_behind(fit, network) -> None:
    kept = []

    def ruin(epoch: Epoch) -> bool:
        kept.append(network.parameters.copy())
        network.parameters.fill(np.nan)
        return False

    with pytest.raises(TrainingError, match=r"lower the learning rate, which is 0\.02"):
        fit(callbacks=(ruin,))
    np.testing.assert_array_equal(network.parameters, kept[0])


def test_a_learning_rate_far_too_high_is_named() -> None:
    network = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(2)])
    network.compile(SGD(1e12), loss="mean_squared_error")
    with pytest.raises(TrainingError, match=r"lower the learning rate, which is 1e\+12"):
        fit_network(
            *(network, clouds(64, 2), clouds(64, 3)),
            epochs=20,
            batch_size=16,
            patience=5,
            rng=np.random.default_rng(0),
            stream=io.StringIO(),
        )


def test_the_same_seed_gives_the_same_history(network) -> None:
    def once() -> History:
        network = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(2, "softmax")])
        network.compile("adam")
        rng = np.random.default_rng(5)
        return fit_network(
            *(network, clouds(64, 2), clouds(64, 3)),
            epochs=3,
            batch_size=16,
            patience=5,
            rng=rng,
            stream=io.StringIO(),
        )

    first, second = once(), once()
    np.testing.assert_array_equal(first.loss, second.loss)
    np.testing.assert_array_equal(first.validation_loss, second.validation_loss)


def test_progress_is_quiet_where_there_is_no_terminal(fit) -> None:
    stream = io.StringIO()
    fit(stream=stream, epochs=3)
    assert stream.getvalue() == ""


def test_progress_shows_epoch_losses_accuracy_and_time_left_on_a_terminal() -> None:
    stream = Terminal()
    with Progress(epochs=4, rows=10, stream=stream) as progress:
        progress.advance(10)
        assert progress(Epoch(1, 0.5, 0.25, 0.875, 0.01, 0.1)) is False
        progress._bar.refresh()
    drawn = stream.getvalue()
    assert "epoch 0/4" in drawn
    last = drawn[drawn.rindex("epoch 1/4") :]
    assert "loss=0.5000, validation loss=0.2500, accuracy=0.8750" in last
    assert " 25% [" in last
    assert "<" in last


def test_progress_reaches_its_end_with_the_last_row_of_the_last_epoch(fit) -> None:
    stream = Terminal()
    fit(stream=stream, epochs=3)
    assert "epoch 0/3" in stream.getvalue()
