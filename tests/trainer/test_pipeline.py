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
    TrainingRows,
    class_weights,
    fit_classifier,
    positive_class,
)

CLASSES = ("maybe", "no", "yes")


@pytest.fixture
def fit(settings_for, schema, examples):
    """Fits to 80 rows, with the usual settings changed by flags."""

    def run(rows: Examples | None = None, validation: int = 0, **flags: str) -> FitResult:
        rng = np.random.default_rng(0)
        training = TrainingRows(examples(80) if rows is None else rows, validation)
        return fit_classifier(settings_for(**flags), schema, training, rng)

    return run


def test_no_class_weights_by_default() -> None:
    assert class_weights("", np.array([0, 1, 2]), CLASSES) is None


def test_balanced_weights_give_each_class_the_same_total() -> None:
    labels = np.repeat([0, 1, 2], [2, 6, 4])
    weights = class_weights("balanced", labels, CLASSES)
    assert weights == [12 / 3 / 2, 12 / 3 / 6, 12 / 3 / 4]
    assert np.array(weights)[labels].mean() == pytest.approx(1)


def test_class_without_rows_has_a_finite_weight() -> None:
    assert np.isfinite(class_weights("balanced", np.array([0, 0, 2]), CLASSES)).all()


@pytest.mark.parametrize(
    ("stated", "weights"),
    [
        ("yes=3", [1, 1, 3]),
        ("yes=3,maybe=0.5", [0.5, 1, 3]),
        (" yes = 3 , no=1e2", [1, 100, 3]),
    ],
)
def test_classes_without_a_stated_weight_weigh_1(stated, weights) -> None:
    assert class_weights(stated, np.array([0]), CLASSES) == weights


def test_class_name_may_contain_an_equals_sign() -> None:
    assert class_weights("a=b=2", np.array([0]), ("a", "a=b")) == [1, 2]


@pytest.mark.parametrize("stated", ["yes", "yes=", "YES=2", "yes=0", "yes=-1", "yes=nan", "yes=inf", "yes=2,", "=2"])  # fmt: skip
def test_invalid_class_weights_are_rejected_with_the_classes(stated: str) -> None:
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
def test_positive_class_is_the_named_one_or_the_rarer(
    settings_for, labels, flags: dict[str, str], place: int
) -> None:
    settings = settings_for(threshold="f1", **flags)
    assert positive_class(settings, np.array(labels), ("heavy", "light")) == place


def test_threshold_of_three_classes_is_rejected(settings_for) -> None:
    settings = settings_for(threshold="f1")
    with pytest.raises(SettingError, match="--threshold: is for two classes; this table has 3"):
        positive_class(settings, np.array([0]), CLASSES)


def test_unknown_positive_class_is_rejected(settings_for) -> None:
    settings = settings_for(threshold="f1", positive="Light")
    with pytest.raises(SettingError, match="'Light', expected one of heavy, light"):
        positive_class(settings, np.array([0]), ("heavy", "light"))


def test_class_weight_raises_the_probability_of_its_class(fit) -> None:
    plain, weighted = (
        fit(class_weight=weight, epochs="20", calibrate="off") for weight in ("", "light=9")
    )
    rows = plain.preprocessing_rows
    means = [one.classifier.probabilities(rows)[:, 1].mean() for one in (plain, weighted)]
    assert means[1] > means[0] + 0.1


@pytest.mark.parametrize("ensemble", ["1", "3"])
@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall@0.5"])
def test_threshold_is_best_on_the_held_out_rows(fit, ensemble: str, metric: str) -> None:
    result = fit(threshold=metric, ensemble=ensemble)
    fitted, threshold = result.fitted, result.classifier.threshold
    assert (threshold.positive, threshold.metric) == (1, metric)
    probabilities = fitted.held_out[:, 1]
    assert threshold.value == best_threshold(metric, fitted.labels == 1, probabilities)


def test_single_network_holds_out_a_fifth(fit) -> None:
    result = fit(ensemble="1")
    assert len(result.classifier.network.members) == 1
    assert (len(result.preprocessing_rows), len(result.fitted.labels)) == (64, 16)


@pytest.mark.parametrize(("ensemble", "held_out"), [("2", 16), ("5", 16), ("8", 10)])
def test_members_hold_out_different_parts_and_see_all_rows_together(
    fit, ensemble: str, held_out: int
) -> None:
    result = fit(ensemble=ensemble)
    members = int(ensemble)
    assert len(result.classifier.network.members) == members
    assert len(result.preprocessing_rows) == 80
    assert len(result.fitted.labels) == pytest.approx(members * held_out, abs=1)
    assert result.fitted.trained_on_all_rows


@pytest.mark.parametrize(("rows", "members"), [(4, 1), (20, 20)])
def test_tiny_table_has_fewer_members_and_the_output_says_so(
    settings_for, schema, examples, rows: int, members: int
) -> None:
    few = replace(examples(rows), labels=np.arange(rows) % 2)
    size, lines = "2" if rows == 4 else "50", []
    settings, rng = settings_for(ensemble=size), np.random.default_rng(0)
    result = fit_classifier(settings, schema, TrainingRows(few), rng, lines.append)
    assert len(result.fitted.networks) == members
    (line,) = [line for line in lines if "Too few" in line]
    assert f"Too few rows for {size} validation parts; fitting {members} network" in line


@pytest.mark.parametrize("ensemble", ["1", "2"])
def test_preprocessor_does_not_see_the_validation_rows(fit, examples, ensemble: str) -> None:
    rows = examples(80)
    rows.numbers[60:] = 1e9
    rows.categories[60:] = "never seen"
    result = fit(rows, validation=20, ensemble=ensemble)
    assert len(result.preprocessing_rows) == 60
    assert result.classifier.preprocessor.numeric.center[0] < 100
    levels = result.classifier.preprocessor.categorical.vocabularies[0].levels
    assert set(levels) == {"red", "blue"}
    assert not result.fitted.trained_on_all_rows


def test_preprocessor_of_a_refit_sees_the_validation_rows(fit) -> None:
    result = fit(validation=20, ensemble="1", refit="on")
    assert len(result.preprocessing_rows) == 80
    assert len(result.fitted.labels) == 20
    assert result.fitted.trained_on_all_rows


@pytest.mark.parametrize(
    ("rows", "epochs", "batch_size"),
    # A fifth is held out: the training rows are 400, 4,000 and 16,000.
    [
        (500, MOST_EPOCHS, SMALLEST_BATCH),
        (5_000, EPOCHS, 64),
        (20_000, round(EPOCHS * 0.5**0.5), LARGEST_BATCH),
    ],
)
def test_automatic_epochs_and_batch_size_follow_the_number_of_rows(
    fit, examples, rows: int, epochs: int, batch_size: int
) -> None:
    automatic = {"epochs": "0", "batch_size": "0"}
    result = fit(examples(rows), patience="1", hidden="", ensemble="1", **automatic)
    assert (result.config.epochs, result.config.batch_size) == (epochs, batch_size)


def test_stated_configuration_is_kept(fit) -> None:
    config = fit(epochs="2", batch_size="7", patience="3", select="error").config
    assert config == FitConfig(epochs=2, batch_size=7, patience=3, select="error")


def test_same_generator_gives_the_same_classifier(fit, examples) -> None:
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


def test_rows_without_a_category_to_learn_from_are_rejected(fit, schema, settings_for) -> None:
    rng = np.random.default_rng(0)
    colors = np.array([[""]] * 8, object)
    rows = Examples(np.empty((8, 0)), colors, np.arange(8) % 2)
    described = Schema(schema.features[1:], schema.target, schema.classes)
    with pytest.raises(TableError, match="no training row has a category to learn from"):
        fit_classifier(settings_for(), described, TrainingRows(rows), rng)


def test_table_without_validation_rows_is_rejected(fit, examples) -> None:
    rows = replace(examples(2), labels=np.array([0, 1]))
    with pytest.raises(TableError, match="no row is left for validation; give more rows"):
        fit(rows)


@pytest.mark.parametrize(
    ("flags", "end"),
    [
        ({"ensemble": "1"}, "; best epoch {best}; temperature {t:.2f}"),
        ({"ensemble": "3"}, "; best epoch {best} (first of 3 networks); temperature {t:.2f}"),
        (
            {"ensemble": "1", "refit": "on", "calibrate": "off"},
            "; best epoch {best}, refitted to all rows",
        ),
    ],
)
def test_output_summarizes_the_fit(
    settings_for, schema, examples, flags: dict[str, str], end: str
) -> None:
    lines: list[str] = []
    rng = np.random.default_rng(0)
    training = TrainingRows(examples(80))
    result = fit_classifier(settings_for(**flags), schema, training, rng, lines.append)
    (line,) = [line for line in lines if line.startswith("Fitted ")]
    best, t = result.fitted.histories[0].best_epoch, result.fitted.temperatures[0]
    assert line.endswith(end.format(best=best, t=t))
    assert "Fitted 3 epochs in" in line
    assert "stopped by the epoch limit" in line


class InterruptingTerminal(io.StringIO):
    """A terminal whose user presses Ctrl-C as soon as it shows a loss."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if "loss=" in text:
            os.kill(os.getpid(), signal.SIGINT)
        return len(text)


def test_output_of_an_interrupted_refit_does_not_claim_a_refit(
    settings_for, schema, examples
) -> None:
    lines: list[str] = []
    endless = {"epochs": "1000000", "patience": "1000000", "ensemble": "1", "refit": "on"}
    training = TrainingRows(examples(80))
    fitting = (settings_for(**endless), schema, training, np.random.default_rng(0))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = fit_classifier(*fitting, lines.append, InterruptingTerminal())
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.fitted.interrupted
    (line,) = [line for line in lines if line.startswith("Fitted ")]
    assert "stopped by interruption" in line
    assert "refitted" not in line
