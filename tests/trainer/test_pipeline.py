from __future__ import annotations

import io
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from pigeonhole.trainer.data.schema import Examples, Schema
from pigeonhole.trainer.errors import SettingError, TableError
from pigeonhole.trainer.evaluation.threshold import best_threshold
from pigeonhole.trainer.fitting.fit import FitConfig
from pigeonhole.trainer.pipeline import (
    EPOCHS,
    LARGEST_BATCH,
    MOST_EPOCHS,
    SMALLEST_BATCH,
    FitResult,
    class_weights,
    fit_classifier,
    positive_class,
)

CLASSES = ("maybe", "no", "yes")


@pytest.fixture
def fit(brief, schema, examples):
    """Fits to 80 rows; what differs is given as flags."""

    def run(rows: Examples | None = None, validation: int = 0, **flags: str) -> FitResult:
        rng = np.random.default_rng(0)
        given = examples(80) if rows is None else rows
        return fit_classifier(brief(**flags), schema, given, validation, rng)

    return run


def test_without_weights_every_row_counts_the_same() -> None:
    assert class_weights("", np.array([0, 1, 2]), CLASSES) is None


def test_balanced_classes_weigh_the_same_whatever_their_rows() -> None:
    labels = np.repeat([0, 1, 2], [2, 6, 4])
    weights = class_weights("balanced", labels, CLASSES)
    assert weights == [12 / 3 / 2, 12 / 3 / 6, 12 / 3 / 4]
    assert np.array(weights)[labels].mean() == pytest.approx(1)


def test_a_class_without_a_row_has_a_weight_too() -> None:
    assert np.isfinite(class_weights("balanced", np.array([0, 0, 2]), CLASSES)).all()


@pytest.mark.parametrize(
    ("stated", "weights"),
    [
        ("yes=3", [1, 1, 3]),
        ("yes=3,maybe=0.5", [0.5, 1, 3]),
        (" yes = 3 , no=1e2", [1, 100, 3]),
    ],
)
def test_stated_weights_are_those_of_their_classes_and_1_of_the_others(stated, weights) -> None:
    assert class_weights(stated, np.array([0]), CLASSES) == weights


def test_a_class_name_may_hold_an_equals_sign() -> None:
    assert class_weights("a=b=2", np.array([0]), ("a", "a=b")) == [1, 2]


@pytest.mark.parametrize("stated", ["yes", "yes=", "YES=2", "yes=0", "yes=-1", "yes=nan", "yes=inf", "yes=2,", "=2"])  # fmt: skip
def test_weights_that_can_not_be_used_are_named_with_the_classes(stated: str) -> None:
    with pytest.raises(SettingError, match=r"--class-weight: has .*the classes are maybe, no, yes"):
        class_weights(stated, np.array([0]), CLASSES)


@pytest.mark.parametrize(
    ("labels", "flags", "place"),
    [
        ([0, 0, 1], {}, 1),
        ([0, 1, 1], {}, 0),
        ([0, 1], {}, 1),
        ([0, 0, 1], {"positive": "heavy"}, 0),
    ],
)
def test_the_positive_class_is_the_one_named_or_else_the_rarer(
    brief, labels, flags: dict[str, str], place: int
) -> None:
    settings = brief(threshold="f1", **flags)
    assert positive_class(settings, np.array(labels), ("heavy", "light")) == place


def test_a_threshold_of_three_classes_or_for_none_of_two_is_refused(brief) -> None:
    settings = brief(threshold="f1", positive="Light")
    with pytest.raises(SettingError, match="--threshold: is for two classes; there are 3"):
        positive_class(settings, np.array([0]), CLASSES)
    with pytest.raises(SettingError, match="'Light', expected one of heavy, light"):
        positive_class(settings, np.array([0]), ("heavy", "light"))


def test_class_weights_move_the_answers_to_their_class(fit) -> None:
    plain, weighted = (
        fit(class_weight=weight, epochs="20", calibrate="off") for weight in ("", "light=9")
    )
    rows = plain.learned
    chances = [out.classifier.probabilities(rows)[:, 1].mean() for out in (plain, weighted)]
    assert chances[1] > chances[0] + 0.1


@pytest.mark.parametrize("ensemble", ["1", "3"])
@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall@0.5"])
def test_a_threshold_is_best_on_the_rows_that_members_left_out(
    fit, ensemble: str, metric: str
) -> None:
    outcome = fit(threshold=metric, ensemble=ensemble)
    fitted, threshold = outcome.fitted, outcome.classifier.threshold
    assert (threshold.positive, threshold.metric) == (1, metric)
    chances = fitted.held_out[:, 1]
    assert threshold.value == best_threshold(metric, fitted.labels == 1, chances)


def test_a_network_alone_is_measured_by_a_fifth_and_fitted_to_the_others(fit) -> None:
    outcome = fit(ensemble="1")
    assert len(outcome.classifier.network.members) == 1
    assert (len(outcome.learned), len(outcome.fitted.labels)) == (64, 16)


@pytest.mark.parametrize(("ensemble", "left_out"), [("2", 16), ("5", 16), ("8", 10)])
def test_members_leave_out_parts_of_their_own_and_have_seen_all_together(
    fit, ensemble: str, left_out: int
) -> None:
    outcome = fit(ensemble=ensemble)
    members = int(ensemble)
    assert len(outcome.classifier.network.members) == members
    assert len(outcome.learned) == 80
    assert len(outcome.fitted.labels) == pytest.approx(members * left_out, abs=1)
    assert outcome.fitted.trained_on_all_rows


@pytest.mark.parametrize(("rows", "members"), [(4, 1), (20, 20)])
def test_a_tiny_table_has_fewer_members_and_it_is_said(
    brief, schema, examples, rows: int, members: int
) -> None:
    few = replace(examples(rows), labels=np.arange(rows) % 2)
    asked, lines = "2" if rows == 4 else "50", []
    settings, rng = brief(ensemble=asked), np.random.default_rng(0)
    outcome = fit_classifier(settings, schema, few, 0, rng, lines.append)
    assert len(outcome.fitted.networks) == members
    (line,) = [line for line in lines if "too few" in line]
    assert f"to stop {asked} networks by: {members} network" in line


@pytest.mark.parametrize("ensemble", ["1", "2"])
def test_rows_that_are_only_for_choosing_are_seen_by_no_encoder(
    fit, examples, ensemble: str
) -> None:
    rows = examples(80)
    rows.numbers[60:] = 1e9
    rows.categories[60:] = "never seen"
    outcome = fit(rows, validation=20, ensemble=ensemble)
    assert len(outcome.learned) == 60
    assert outcome.classifier.preprocessor.numeric.center[0] < 100
    levels = outcome.classifier.preprocessor.categorical.vocabularies[0].levels
    assert set(levels) == {"red", "blue"}
    assert not outcome.fitted.trained_on_all_rows


def test_a_refit_has_seen_the_rows_for_choosing_too(fit) -> None:
    outcome = fit(validation=20, ensemble="1", refit="on")
    assert len(outcome.learned) == 80
    assert len(outcome.fitted.labels) == 20
    assert outcome.fitted.trained_on_all_rows


@pytest.mark.parametrize(
    ("rows", "epochs", "batch_size"),
    # A fifth is left out: 400, 4,000 and 16,000 rows are fitted to.
    [
        (500, MOST_EPOCHS, SMALLEST_BATCH),
        (5_000, EPOCHS, 64),
        (20_000, round(EPOCHS * 0.5**0.5), LARGEST_BATCH),
    ],
)
def test_epochs_and_batch_size_that_are_left_open_follow_from_the_table(
    fit, examples, rows: int, epochs: int, batch_size: int
) -> None:
    left_open = {"epochs": "0", "batch_size": "0"}
    outcome = fit(examples(rows), patience="1", hidden="", ensemble="1", **left_open)
    assert (outcome.plan.epochs, outcome.plan.batch_size) == (epochs, batch_size)


def test_stated_epochs_and_batch_size_are_kept(fit) -> None:
    plan = fit(epochs="2", batch_size="7", patience="3", select="error").plan
    assert plan == FitConfig(epochs=2, batch_size=7, patience=3, select="error")


def test_the_same_generator_gives_the_same_classifier(fit, examples) -> None:
    first, second = (fit(threshold="f1") for _ in range(2))
    rows = examples(30, seed=1)
    for one, other in zip(
        first.classifier.network.members, second.classifier.network.members, strict=True
    ):
        np.testing.assert_array_equal(one.parameters, other.parameters)
    np.testing.assert_array_equal(
        first.classifier.probabilities(rows), second.classifier.probabilities(rows)
    )
    assert first.classifier.threshold == second.classifier.threshold


def test_rows_that_nothing_can_be_learned_from_are_refused(fit, schema, brief) -> None:
    rng = np.random.default_rng(0)
    colors = np.array([[""]] * 8, object)
    rows = Examples(np.empty((8, 0)), colors, np.arange(8) % 2)
    described = Schema(schema.features[1:], schema.target, schema.classes)
    with pytest.raises(TableError, match="no row to fit has any category to learn from"):
        fit_classifier(brief(), described, rows, 0, rng)


def test_too_few_rows_to_leave_any_out_are_refused(fit, examples) -> None:
    rows = replace(examples(2), labels=np.array([0, 1]))
    with pytest.raises(TableError, match="no row is left to stop by; give more rows"):
        fit(rows)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"ensemble": "1"}, "the weights are those of epoch {best}; temperature {t:.2f}"),
        ({"ensemble": "3"}, "epoch {best} (the first of 3 members); temperature {t:.2f}"),
        (
            {"ensemble": "1", "refit": "on", "calibrate": "off"},
            "epoch {best} of a second fit to all of these rows",
        ),
    ],
)
def test_what_was_fitted_is_said(brief, schema, examples, flags: dict[str, str], said: str) -> None:
    lines: list[str] = []
    rng = np.random.default_rng(0)
    outcome = fit_classifier(brief(**flags), schema, examples(80), 0, rng, lines.append)
    (line,) = [line for line in lines if line.startswith("Fitted ")]
    best, t = outcome.fitted.histories[0].best_epoch, outcome.fitted.temperatures[0]
    assert line.endswith(said.format(best=best, t=t))
    assert "Fitted 3 epochs in" in line
    assert "ended by all epochs" in line


class Impatient(io.StringIO):
    """A terminal whose user presses Ctrl-C as soon as it shows a loss."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if "loss=" in text:
            os.kill(os.getpid(), signal.SIGINT)
        return len(text)


def test_an_interrupted_refit_is_not_said_to_be_one(brief, schema, examples) -> None:
    lines: list[str] = []
    endless = {"epochs": "1000000", "patience": "1000000", "ensemble": "1", "refit": "on"}
    fitting = (brief(**endless), schema, examples(80), 0, np.random.default_rng(0))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = fit_classifier(*fitting, lines.append, Impatient())
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.fitted.interrupted
    (line,) = [line for line in lines if line.startswith("Fitted ")]
    assert "ended by interruption" in line
    assert "second fit" not in line
