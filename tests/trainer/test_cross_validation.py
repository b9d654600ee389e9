from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from pigeonhole.trainer.cross_validation import cross_validate, mean_and_spread
from pigeonhole.trainer.errors import SettingError
from pigeonhole.trainer.evaluation.scores import score


def test_every_row_is_scored_once(settings_for, schema, examples) -> None:
    rows = examples(50)
    folds = cross_validate(settings_for(cv="3"), schema, rows, np.random.default_rng(0))
    assert [fold.rows for fold in folds] == [17, 17, 16]
    confusion = sum(fold.confusion for fold in folds)
    assert confusion.sum(axis=1).tolist() == np.bincount(rows.labels).tolist()


def test_fold_is_scored_by_a_fit_without_it(settings_for, schema, examples) -> None:
    # Each row has its own color, so a fit can't learn anything about the held-out rows.
    rng = np.random.default_rng(0)
    rows = replace(examples(40), labels=rng.permutation(np.arange(40) % 2))
    rows.numbers[:] = 0
    rows.categories[:, 0] = [f"color {place}" for place in range(40)]
    folds = cross_validate(settings_for(cv="4", epochs="30"), schema, rows, rng)
    assert np.mean([fold.accuracy for fold in folds]) < 0.75


def test_same_seed_gives_the_same_scores(settings_for, schema, examples) -> None:
    first, second = (
        cross_validate(settings_for(cv="2"), schema, examples(40), np.random.default_rng(3))
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert one.log_loss == other.log_loss


def test_threshold_of_each_fit_decides(settings_for, schema, examples) -> None:
    flags = {"cv": "2", "threshold": "recall@0", "positive": "light", "epochs": "1"}
    for fold in cross_validate(
        settings_for(**flags), schema, examples(60), np.random.default_rng(0)
    ):
        assert fold.confusion[1, 1] >= 0.8 * fold.confusion[1].sum()


def test_more_folds_than_rows_are_rejected(settings_for, schema, examples) -> None:
    with pytest.raises(SettingError, match="--cv: is 21, expected at most 20"):
        cross_validate(settings_for(cv="21"), schema, examples(20), np.random.default_rng(0))


def test_ctrl_c_ends_the_cross_validation(settings_for, schema, examples) -> None:
    class Terminal:
        """A terminal whose user presses Ctrl-C as soon as it shows a loss."""

        def isatty(self) -> bool:
            return True

        def flush(self) -> None:
            """Do nothing, because nothing is buffered."""

        def write(self, text: str) -> int:
            if "loss=" in text:
                os.kill(os.getpid(), signal.SIGINT)
            return len(text)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = settings_for(cv="2", epochs="1000000", patience="1000000", ensemble="1")
    try:
        with pytest.raises(KeyboardInterrupt):
            cross_validate(settings, schema, examples(60), np.random.default_rng(0), Terminal())
    finally:
        signal.signal(signal.SIGINT, before)


def test_mean_and_spread_by_hand() -> None:
    p = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    folds = [score(np.array(labels), p) for labels in ([0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1])]
    found = mean_and_spread(folds)
    # 4, 3 and 2 of 4 are right: mean 3/4; spread sqrt((1/16 + 0 + 1/16) / 2) = 1/4
    assert found["accuracy"] == pytest.approx((0.75, 0.25))
    losses = [fold.log_loss for fold in folds]
    mean = sum(losses) / 3
    spread = math.sqrt(sum((loss - mean) ** 2 for loss in losses) / 2)
    assert found["log_loss"] == pytest.approx((mean, spread))
    assert np.isnan(found["roc_auc"]).all()  # the last fold has one class
    assert not {"rows", "confusion"} & set(found)
