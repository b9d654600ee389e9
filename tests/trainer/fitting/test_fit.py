from __future__ import annotations

import io
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from pigeonhole.trainer.errors import TrainingError
from pigeonhole.trainer.fitting.early_stopping import EarlyStopping
from pigeonhole.trainer.fitting.fit import FitConfig, fit_network
from pigeonhole.trainer.fitting.history import ALL_EPOCHS, CALLBACK, INTERRUPTION, PATIENCE, History
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.optimizers import SGD
from pigeonhole.trainer.network.sequential import Epoch, Sequential

PLAN = FitConfig(epochs=30, batch_size=16, patience=5)


@pytest.fixture
def fit(network, clouds):
    """Fits the network; what differs from a usual small fit is given by name."""

    def run(plan: FitConfig = PLAN, **given) -> History:
        rng = np.random.default_rng(1)
        return fit_network(network, clouds(64, 2), clouds(200, 3), plan, rng, **given)

    return run


def test_a_fit_stops_by_patience_with_the_weights_of_its_best_epoch(fit, network, clouds) -> None:
    history = fit(replace(PLAN, epochs=200))
    assert history.stopped_by == PATIENCE
    assert len(history.loss) == history.best_epoch + 5
    best = history.best_epoch - 1
    assert history.validation_loss[best] == history.validation_loss.min()
    loss, accuracy = network.evaluate(*clouds(200, 3))
    assert loss == pytest.approx(history.validation_loss[best])
    assert accuracy == history.validation_accuracy[best]


def test_without_a_patience_of_its_own_a_plan_waits_for_half_of_its_epochs(fit) -> None:
    history = fit(replace(PLAN, epochs=40, patience=0))
    assert history.stopped_by == PATIENCE
    assert len(history.loss) >= 20
    assert len(history.loss) - history.best_epoch >= 0.6 * len(history.loss)


def test_a_fit_through_all_epochs_ends_with_its_best_weights_too(fit, network, clouds) -> None:
    history = fit(replace(PLAN, patience=30))
    assert history.stopped_by == ALL_EPOCHS
    assert len(history.loss) == 30
    assert history.best_epoch < 30
    loss, _ = network.evaluate(*clouds(200, 3))
    assert loss == pytest.approx(history.validation_loss.min())


def test_the_plan_says_by_which_figure_the_epoch_is_chosen(fit, network, clouds) -> None:
    history = fit(replace(PLAN, patience=30, select="error"))
    assert history.best_epoch == history.validation_accuracy.argmax() + 1
    assert history.best_epoch != history.validation_loss.argmin() + 1
    assert network.evaluate(*clouds(200, 3))[1] == history.validation_accuracy.max()


def test_an_early_stopping_of_ones_own_goes_before_the_plans(fit, network) -> None:
    stopping = EarlyStopping(network, patience=1)
    history = fit(stopping=stopping)
    assert len(history.loss) == stopping.best.number + 1 == history.best_epoch + 1


def test_rows_that_are_not_named_are_not_fitted_to(network, clouds) -> None:
    class Noting(Dense):
        """A layer that notes the first input of what it is trained with."""

        def forward(self, x, training):
            if training:
                seen.update(x[:, 0].tolist())
            return super().forward(x, training)

    seen: set[float] = set()
    network = Sequential([Noting(4, input_shape=(6,)), Dense(2, "softmax")])
    network.compile()
    (x, y), rows = clouds(64, 2), np.array([5, 3, 60])
    x[:, 0] = np.arange(64)
    plan = replace(PLAN, epochs=2)
    fit_network(network, (x, y), clouds(20, 3), plan, np.random.default_rng(0), rows=rows)
    assert seen == {3, 5, 60}


def test_a_callback_may_stop_a_fit(fit) -> None:
    history = fit(callbacks=(lambda epoch: epoch.number == 2,))
    assert (history.stopped_by, len(history.loss)) == (CALLBACK, 2)


def test_ctrl_c_ends_a_fit_with_the_best_weights_so_far(fit, network, clouds, ctrl_c) -> None:
    def interrupt(epoch: Epoch) -> bool:
        if epoch.number == 4:
            ctrl_c()
        return False

    history = fit(callbacks=(interrupt,))
    assert history.stopped_by == INTERRUPTION
    assert len(history.loss) == 4
    loss, _ = network.evaluate(*clouds(200, 3))
    assert loss == pytest.approx(history.validation_loss[history.best_epoch - 1])
    assert loss == pytest.approx(history.validation_loss.min())


def test_a_halt_ends_a_fit_like_ctrl_c(fit, network, clouds) -> None:
    halt = Event()

    def interrupt(epoch: Epoch) -> bool:
        if epoch.number == 4:
            halt.set()
        return False

    history = fit(callbacks=(interrupt,), halt=halt)
    assert (history.stopped_by, len(history.loss)) == (INTERRUPTION, 4)
    assert network.evaluate(*clouds(200, 3))[0] == pytest.approx(history.validation_loss.min())
    with pytest.raises(KeyboardInterrupt):  # there is nothing to end with
        fit(halt=halt)


def test_ctrl_c_before_the_first_epoch_has_ended_is_passed_on(clouds, ctrl_c) -> None:
    class Impatient(Dense):
        def backward(self, gradient, needs_input):
            ctrl_c()
            return super().backward(gradient, needs_input)

    network = Sequential([Impatient(4, input_shape=(6,)), Dense(2, "softmax")])
    network.compile()
    with pytest.raises(KeyboardInterrupt):
        fit_network(network, clouds(20, 0), clouds(20, 1), PLAN, np.random.default_rng(0))


def test_a_fit_that_diverges_leaves_the_best_weights_behind(fit, network) -> None:
    kept = []

    def ruin(epoch: Epoch) -> bool:
        kept.append(network.parameters.copy())
        network.parameters.fill(np.nan)
        return False

    with pytest.raises(TrainingError, match=r"lower the learning rate, which is 0\.02"):
        fit(callbacks=(ruin,))
    np.testing.assert_array_equal(network.parameters, kept[0])


def test_a_learning_rate_far_too_high_is_named(clouds) -> None:
    network = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(2)])
    network.compile(SGD(1e12), loss="mean_squared_error")
    with pytest.raises(TrainingError, match=r"lower the learning rate, which is 1e\+12"):
        fit_network(network, clouds(64, 2), clouds(64, 3), PLAN, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_history(clouds) -> None:
    def once() -> History:
        network = Sequential([Dense(8, "relu", input_shape=(6,)), Dense(2, "softmax")])
        network.compile("adam")
        plan = replace(PLAN, epochs=3)
        return fit_network(network, clouds(64, 2), clouds(64, 3), plan, np.random.default_rng(5))

    first, second = once(), once()
    np.testing.assert_array_equal(first.loss, second.loss)
    np.testing.assert_array_equal(first.validation_loss, second.validation_loss)


def test_progress_is_drawn_on_a_terminal_alone(fit, terminal) -> None:
    stream = io.StringIO()
    for place in (stream, terminal):
        fit(replace(PLAN, epochs=3), stream=place)
    assert stream.getvalue() == ""
    assert "epoch 0/3" in terminal.getvalue()
