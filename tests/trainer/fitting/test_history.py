from __future__ import annotations

import numpy as np

from pigeonhole.trainer.fitting.history import PATIENCE, History


def test_history_holds_each_figure_of_the_epochs_as_an_array(epoch) -> None:
    history = History.of([epoch(1, 0.5), epoch(2, None)], best_epoch=1, stopped_by=PATIENCE)
    np.testing.assert_array_equal(history.validation_loss, [0.5, np.nan])
    for name in ("loss", "validation_accuracy", "learning_rate", "seconds"):
        assert getattr(history, name).shape == (2,)
