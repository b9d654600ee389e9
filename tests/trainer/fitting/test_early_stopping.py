from __future__ import annotations

import math

import numpy as np
import pytest

from pigeonhole.trainer.fitting.early_stopping import CRITERIA, EarlyStopping, patience_from_half
from pigeonhole.trainer.fitting.temperature import calibrated_loss


def test_patience_counts_epochs_in_a_row_without_a_better_loss(network, epoch) -> None:
    stopping = EarlyStopping(network, patience=2)
    losses = [1.0, 0.9, 0.95, 0.8, 0.8, 0.85]
    answers = [stopping(epoch(i, loss)) for i, loss in enumerate(losses, 1)]
    assert answers == [False] * 5 + [True]
    assert stopping.best.number == 4
    assert stopping.exhausted


def test_patience_from_half_grows_with_the_epochs_done() -> None:
    patience = patience_from_half(20)
    assert [patience(number) for number in (1, 9)] == [math.inf] * 2
    assert [patience(number) for number in (10, 15, 20)] == pytest.approx([6, 9, 12])


@pytest.mark.parametrize(
    ("best", "last"),
    # The last epoch is the first from 10 on with 0.6 of all epochs since the best one.
    [(1, 10), (4, 10), (5, 13), (6, 15), (8, 20)],
)
def test_fit_is_not_stopped_in_the_first_half_of_its_epochs(
    network, epoch, best: int, last: int
) -> None:
    stopping = EarlyStopping(network, patience_from_half(20))
    stopped = [
        number for number in range(1, 21) if stopping(epoch(number, 1.0 + abs(number - best)))
    ]
    assert stopped[0] == last
    assert stopping.best.number == best


def test_decrease_below_min_delta_is_not_an_improvement(network, epoch) -> None:
    stopping = EarlyStopping(network, patience=2, min_delta=0.1)
    assert [stopping(epoch(i, loss)) for i, loss in ((1, 1.0), (2, 0.95), (3, 0.91))][-1]
    assert stopping.best.number == 1


def test_latest_epoch_and_best_epoch_are_known(network, epoch) -> None:
    stopping = EarlyStopping(network, patience=5)
    assert (stopping.latest, stopping.best) == (0, None)
    for number, loss in ((1, 1.0), (2, 0.5), (3, 0.7)):
        stopping(epoch(number, loss))
        assert stopping.latest == number
    assert stopping.best.number == 2


def test_restore_puts_back_the_best_weights_and_statistics(network, epoch) -> None:
    stopping = EarlyStopping(network, patience=5)
    for number, (loss, value) in enumerate(((1.0, 1), (0.5, 2), (0.7, 3)), 1):
        network.parameters.fill(value)
        network.statistics.fill(value)
        stopping(epoch(number, loss))
    stopping.restore()
    assert (network.parameters == 2).all()
    assert (network.statistics == 2).all()
    assert (network.layers[0].parameters["kernel"] == 2).all()  # layers hold views


def test_restore_before_an_epoch_has_ended_changes_nothing(network) -> None:
    before = network.parameters.copy()
    EarlyStopping(network, patience=5).restore()
    np.testing.assert_array_equal(network.parameters, before)


def test_patience_below_1_is_rejected(network) -> None:
    with pytest.raises(ValueError, match="patience is 0, expected at least 1"):
        EarlyStopping(network, patience=0)


def test_negative_min_delta_is_rejected(network) -> None:
    with pytest.raises(ValueError, match="min_delta is -1, expected at least 0"):
        EarlyStopping(network, patience=1, min_delta=-1)


@pytest.mark.parametrize("criterion", ["loss", "error"])
def test_epoch_without_a_validation_loss_is_rejected(network, epoch, criterion: str) -> None:
    stopping = EarlyStopping(network, 1, criterion=CRITERIA[criterion](network, np.array([0])))
    with pytest.raises(ValueError, match="fit with validation_data"):
        stopping(epoch(1, None, accuracy=None))


def test_each_criterion_chooses_its_own_epoch(network, epoch) -> None:
    y = np.array([0, 1, 1])
    # The first epoch has the lowest loss and the second the lowest error. The third has the lowest
    # calibrated loss: its probabilities rank the rows best, although they are far too cautious.
    epochs = [
        (epoch(1, 0.3, 0.5), [[0.6, 0.4], [0.6, 0.4], [0.4, 0.6]]),
        (epoch(2, 0.4, 1.0), [[0.51, 0.49], [0.2, 0.8], [0.49, 0.51]]),
        (epoch(3, 0.6, 0.9), [[0.51, 0.49], [0.49, 0.51], [0.49, 0.51]]),
    ]
    for name, best in (("loss", 1), ("error", 2), ("calibrated_loss", 3)):
        stopping = EarlyStopping(network, 9, criterion=CRITERIA[name](network, y))
        for figures, outputs in epochs:
            network.validation_outputs = np.array(outputs)
            stopping(figures)
        assert stopping.best.number == best, name


def test_calibrated_loss_is_computed_from_the_latest_outputs(network, epoch) -> None:
    y, outputs = np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]])
    criterion = CRITERIA["calibrated_loss"](network, y)
    for latest in (outputs, outputs[::-1]):
        network.validation_outputs = latest
        assert criterion(epoch(1, 9.0)) == calibrated_loss(latest, y)
