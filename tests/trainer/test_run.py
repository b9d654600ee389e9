from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pigeonhole.trainer.data.encoding import encode
from pigeonhole.trainer.data.preparation import prepare
from pigeonhole.trainer.data.stratified import stratified_split
from pigeonhole.trainer.data.table import read_table
from pigeonhole.trainer.errors import SettingError, TableError, TrainingError
from pigeonhole.trainer.evaluation.scores import Scores, score
from pigeonhole.trainer.evaluation.tables import scores_table
from pigeonhole.trainer.export.parity import ExportedModel
from pigeonhole.trainer.run import Trained, train
from pigeonhole.trainer.settings import Settings

Row = tuple[str, str, str]

Fit = Callable[..., Trained]


def rows_of(count: int, seed: int = 0) -> list[Row]:
    """Return rows of weight, color and class; the class depends on both."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        weight, color = rng.normal(60, 10), rng.choice(["red", "green", "blue"])
        heavy = weight + 8 * (color == "red") > 62
        rows.append((f"{weight:.1f}", str(color), "heavy" if heavy else "light"))
    return rows


def write(path: Path, rows: list[Row], header: str = "weight,color,size") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", "utf-8")
    return path


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Runs the trainer on a table or on rows, and publishes into a temporary folder."""

    def run(table: Path | list[Row], **flags: Any) -> Trained:
        if isinstance(table, list):
            table = write(tmp_path / "table.csv", table)
        usual = {"table": str(table), "target": "size", "name": "m", "epochs": "4"}
        usual |= {"models": str(tmp_path / "models"), "hidden": "8", "report": "off"}
        trained = train(Settings.read({**usual, **flags}))
        assert trained is not None
        return trained

    return run


def metadata(trained: Trained) -> dict[str, Any]:
    entries = ExportedModel(trained.path.read_bytes()).metadata
    return {key: json.loads(text) for key, text in entries.items()}


def graph(trained: Trained) -> bytes:
    model = onnx.load_model_from_string(trained.path.read_bytes())
    return model.graph.SerializeToString(deterministic=True)


def assert_equal_except_for_the_evaluation(left: Trained, right: Trained) -> None:
    assert graph(left) == graph(right)
    one, two = metadata(left), metadata(right)
    for key in ("signature", "reference", "golden"):
        assert one[key] == two[key]
    assert one["evaluation"] != two["evaluation"]
    np.testing.assert_array_equal(left.history.loss, right.history.loss)
    np.testing.assert_array_equal(left.history.validation_loss, right.history.validation_loss)


def test_fit_does_not_see_the_test_rows(fit: Fit) -> None:
    rows = rows_of(200)
    labels = np.array([row[2] == "light" for row in rows]).astype(np.int64)
    _, tested = stratified_split(labels, 0.2, np.random.default_rng(0))
    changed = list(rows)
    for place in tested:
        changed[place] = ("1e12", f"never seen {place % 3}", rows[place][2])
    before, after = fit(rows), fit(changed)
    assert_equal_except_for_the_evaluation(before, after)
    signature = metadata(after)["signature"]["features"]
    assert signature[0]["maximum"] < 1000
    assert set(signature[1]["categories"]) == {"red", "green", "blue"}


def test_fit_does_not_see_the_test_table(fit: Fit, tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", rows_of(100))
    plain = write(tmp_path / "plain.csv", rows_of(30, seed=1))
    odd = write(tmp_path / "odd.csv", [("-1e300", "never seen", "light"), ("", "", "heavy")])
    runs = [fit(table, test=str(test), name=test.stem) for test in (plain, odd)]
    assert_equal_except_for_the_evaluation(*runs)
    assert [run.scores.rows for run in runs] == [30, 2]


def test_validation_table_is_not_fitted_to(fit: Fit, tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", rows_of(100))
    odd = write(tmp_path / "odd.csv", [("1e9", "never seen", "light"), ("-1e9", "", "heavy")])
    trained = fit(table, validation=str(odd))
    found = metadata(trained)
    assert found["training"]["rows"] == {"training": 80, "validation": 2, "test": 20}
    weight, color = found["signature"]["features"]
    assert -1000 < weight["minimum"] < weight["maximum"] < 1000
    assert "never seen" not in color["categories"]
    assert found["reference"]["rows"] == 80


def test_every_row_is_fitted_to_if_test_and_validation_have_tables(
    fit: Fit, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{n}.csv", rows_of(n, seed=n)) for n in (60, 21, 13)]
    trained = fit(paths[0], validation=str(paths[1]), test=str(paths[2]))
    assert metadata(trained)["training"]["rows"] == {"training": 60, "validation": 21, "test": 13}
    assert trained.scores.rows == 13


def test_same_seed_gives_the_same_bytes(fit: Fit) -> None:
    rows = rows_of(120)
    flags = {"dropout": "0.2", "batch_normalization": "on"}
    first = fit(rows, name="first", **flags)
    again = fit(rows, name="again", **flags)
    other = fit(rows, name="other", seed="1", **flags)
    assert first.path.read_bytes() == again.path.read_bytes()
    assert graph(first) != graph(other)


def test_printed_and_recorded_scores_are_those_of_the_file(fit: Fit, tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", rows_of(150))
    test = write(tmp_path / "test.csv", rows_of(40, seed=2))
    output: list[str] = []
    flags = {"table": str(table), "test": str(test), "target": "size", "name": "m", "epochs": "4"}
    flags |= {"hidden": "8", "report": "off"}
    trained = train(Settings.read({**flags, "models": str(tmp_path / "models")}), output.append)
    assert trained is not None
    schema = prepare(read_table(table), "size").schema
    examples = encode(read_table(test), schema).examples
    _, probabilities = ExportedModel(trained.path.read_bytes()).run(examples)
    computed = score(examples.labels, probabilities)
    assert figures(computed) == figures(trained.scores)
    written = metadata(trained)["evaluation"]
    assert written["test"] == figures(computed)
    assert written["baselines"].keys() == trained.baselines.keys()
    for name, line in written["baselines"].items():
        assert line == {k: v for k, v in figures(trained.baselines[name]).items() if k in line}
    assert scores_table({"m": computed, **trained.baselines}) in output
    assert output[-2] == "\nThe scores are rough, because the test has only 40 rows."


def figures(scores: Scores) -> dict[str, Any]:
    return vars(scores) | {"confusion": scores.confusion.tolist()}


def test_findings_about_the_test_table_name_the_table(fit: Fit, tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", rows_of(80))
    test = write(tmp_path / "test.csv", [*rows_of(9, seed=3), ("oops", "red", "light")])
    trained = fit(table, test=str(test))
    (found,) = [finding for finding in trained.findings if "oops" in finding.text]
    assert found.text.startswith(f"{test}: Column 'weight'")


def test_class_of_two_rows_is_fitted_and_scored(fit: Fit) -> None:
    rows = [*rows_of(100), ("300", "red", "giant"), ("310", "blue", "giant")]
    trained = fit(rows)
    found = metadata(trained)
    assert found["signature"]["classes"] == ["giant", "heavy", "light"]
    assert trained.scores.confusion[0].sum() == 1
    assert found["reference"]["classes"]["giant"] > 0


@pytest.mark.parametrize("rows", [5, 6, 9])
def test_tiny_table_is_fitted(fit: Fit, rows: int) -> None:
    tiny = [(str(n), "red" if n % 3 else "blue", "ab"[n % 2]) for n in range(rows)]
    trained = fit(tiny)
    assert trained.scores.rows >= 2
    assert metadata(trained)["training"]["rows"]["training"] >= 2


def test_table_too_small_for_three_parts_is_rejected(fit: Fit, tmp_path: Path) -> None:
    tiny = [(str(n), "red" if n % 3 else "blue", "ab"[n % 2]) for n in range(4)]
    with pytest.raises(TableError, match="no row is left for validation"):
        fit(tiny)
    assert not (tmp_path / "models").exists()
    table = write(tmp_path / "stop.csv", tiny[::-1])
    assert fit(tiny, validation=str(table)).scores.rows == 2


@pytest.mark.parametrize("column", ["weight", "color"])
def test_one_column_is_enough(fit: Fit, column: str) -> None:
    trained = fit(rows_of(100), drop=["weight" if column == "color" else "color"])
    found = metadata(trained)
    assert [feature["name"] for feature in found["signature"]["features"]] == [column]
    (declared,) = onnx.load_model_from_string(trained.path.read_bytes()).graph.input
    assert declared.name == ("numbers" if column == "weight" else "categories")


def test_150_classes_are_fitted(fit: Fit) -> None:
    rows = [(f"{n % 150}.{n // 150}", "red", f"class {n % 150:03}") for n in range(750)]
    trained = fit(rows)
    found = metadata(trained)
    assert len(found["signature"]["classes"]) == 150
    assert len(found["golden"]) == 10
    assert np.array(found["evaluation"]["test"]["confusion"]).shape == (150, 150)
    assert trained.scores.rows == 150


def sparse(place_in_test: bool, count: int = 40) -> list[Row]:
    """Return rows of which one has a color: a test row or a training row."""
    labels = np.arange(count) % 2
    rest, tested = stratified_split(labels, 0.2, np.random.default_rng(0))
    colored = int((tested if place_in_test else rest)[0])
    return [
        (f"{n * n % 17}", "red" if n == colored else "", "ab"[label])
        for n, label in enumerate(labels)
    ]


def test_level_that_only_test_rows_have_is_unknown(fit: Fit) -> None:
    trained = fit(sparse(place_in_test=True))
    color = metadata(trained)["signature"]["features"][1]
    assert color == {"name": "color", "kind": "category", "required": False, "categories": {}}


def test_table_whose_only_level_is_in_test_rows_is_rejected(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no training row has a category to learn from"):
        fit(sparse(place_in_test=True), drop=["weight"])
    assert not (tmp_path / "models").exists()


def test_numbers_of_any_size_are_fitted(fit: Fit) -> None:
    rng = np.random.default_rng(0)
    for scale, start in ((1e300, 0), (1e-300, 0), (1, 1e15)):
        rows = []
        for number in range(200):
            value = (number % 2 - 0.5) * 40 + rng.normal()
            rows.append((repr(start + scale * value), "red", "ab"[number % 2]))
        assert fit(rows, epochs="20").scores.accuracy == 1


def test_diverging_fit_publishes_nothing(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(
            rows_of(100),
            preset="classic",
            optimizer="sgd",
            learning_rate="100",
            activation="linear",
            hidden="64,64",
        )
    assert not (tmp_path / "models").exists()


def test_metadata_holds_no_paths(fit: Fit) -> None:
    facts = metadata(fit(rows_of(60), batch_size="0"))["training"]
    assert facts["settings"]["batch_size"] == 16  # the automatic value
    assert facts["settings"]["hidden"] == [8]
    assert facts["settings"]["preset"] == "default"
    assert not {"table", "test", "validation", "models", "name"} & set(facts["settings"])


class Terminal(io.StringIO):
    """A terminal whose user presses Ctrl-C as soon as it shows a loss."""

    pressed = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if "loss=" in text and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)
        return len(text)


FITS = {
    "members": {"ensemble": "2"},
    "alone": {"ensemble": "1"},
    "refit": {"ensemble": "1", "refit": "on"},
    "side by side": {"ensemble": "2", "hidden": "128"},
    "classic": {"preset": "classic"},
}


@pytest.mark.parametrize("flags", FITS.values(), ids=FITS)
@pytest.mark.parametrize("keep", [False, True])
def test_interrupted_run_publishes_only_if_asked_to(
    tmp_path: Path, keep: bool, flags: dict[str, str]
) -> None:
    table = write(tmp_path / "table.csv", rows_of(100))
    stated = {"table": str(table), "target": "size", "name": "m", "hidden": "8", "report": "off"}
    stated |= {"models": str(tmp_path / "models"), "epochs": "1000000", "patience": "1000000"}
    settings = Settings.read(stated | flags)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        trained = train(settings, progress=Terminal(), keep_interrupted=lambda: keep)
    finally:
        signal.signal(signal.SIGINT, before)
    if not keep:
        assert trained is None
        assert not (tmp_path / "models").exists()
        return
    assert trained is not None
    assert trained.history.stopped_by == "interruption"
    assert trained.path.exists()


def test_interrupted_cross_validation_publishes_nothing(tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", rows_of(100))
    stated = {"table": str(table), "target": "size", "name": "m", "hidden": "8", "cv": "2"}
    stated |= {"models": str(tmp_path / "models"), "epochs": "1000000", "patience": "1000000"}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(Settings.read(stated), progress=Terminal(), keep_interrupted=lambda: True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "flags",
    [
        {"ensemble": "1", "refit": "on"},
        {"ensemble": "5"},
        {"ensemble": "3", "hidden": "128"},
        {"ensemble": "1", "refit": "on", "hidden": "128"},
        {"threshold": "f1", "class_weight": "balanced", "cv": "2"},
    ],
)
def test_same_seed_gives_the_same_bytes_in_all_kinds_of_fits(
    fit: Fit, flags: dict[str, str]
) -> None:
    first, again = (fit(rows_of(80), name=name, **flags) for name in ("first", "again"))
    assert first.path.read_bytes() == again.path.read_bytes()


def test_threshold_is_in_the_file_and_in_its_scores(fit: Fit) -> None:
    # This threshold predicts its class for nearly every row.
    trained = fit(rows_of(150), threshold="recall@0", positive="light")
    found = metadata(trained)
    threshold = found["signature"]["threshold"]
    assert (threshold["class"], threshold["metric"]) == ("light", "recall@0")
    assert threshold["value"] == float(np.float32(threshold["value"]))
    assert trained.scores.confusion[1, 1] >= trained.scores.confusion[1, 0]
    for line in found["golden"]:
        expected = "light" if line["probabilities"]["light"] >= threshold["value"] else "heavy"
        assert line["label"] == expected


def test_threshold_for_three_classes_publishes_nothing(fit: Fit, tmp_path: Path) -> None:
    rows = [*rows_of(60), *[("300", "red", "giant")] * 5]
    with pytest.raises(SettingError, match="--threshold: is for two classes; this table has 3"):
        fit(rows, threshold="f1")
    assert not (tmp_path / "models").exists()


def test_cross_validation_is_in_the_file_beside_the_scores(fit: Fit) -> None:
    rows = rows_of(100)
    plain, validated = fit(rows, name="plain"), fit(rows, name="validated", cv="3")
    found = metadata(validated)["evaluation"]
    assert set(found["cross_validation"]) == {
        *("accuracy", "balanced_accuracy", "log_loss", "macro_f1", "roc_auc"),
        *("expected_calibration_error", "brier_score"),
    }
    for line in found["cross_validation"].values():
        assert set(line) == {"mean", "spread"}
    assert "cross_validation" not in metadata(plain)["evaluation"]
    assert plain.scores.rows == validated.scores.rows == 20


def test_temperature_of_each_member_is_in_the_file(fit: Fit) -> None:
    calibrated, bare = fit(rows_of(80), ensemble="3"), fit(rows_of(80), calibrate="off")
    temperatures = metadata(calibrated)["evaluation"]["temperatures"]
    assert len(temperatures) == 3
    assert all(t > 0 for t in temperatures)
    assert metadata(bare)["evaluation"]["temperatures"] == [1.0, 1.0]


def test_single_column_of_many_levels_is_fitted(fit: Fit) -> None:
    # The column is embedded, so the baselines have no inputs.
    rows = [("", f"color {n % 40}", "ab"[n % 40 < 20]) for n in range(400)]
    trained = fit(rows, drop=["weight"], epochs="20", report="on")
    assert trained.scores.accuracy > 0.9
    assert set(trained.baselines) == {"commonest class"}


def test_report_is_written_unless_it_is_turned_off(fit: Fit) -> None:
    with_report, without = fit(rows_of(60), name="a", report="on"), fit(rows_of(60), name="b")
    assert (with_report.path.parent / "report.html").exists()
    assert not (without.path.parent / "report.html").exists()
    assert with_report.path.read_bytes() == without.path.read_bytes()


@pytest.mark.parametrize("part", ["test", "validation"])
def test_copy_of_the_training_table_is_rejected_as_part(
    fit: Fit, tmp_path: Path, part: str
) -> None:
    copy = write(tmp_path / "copy.csv", rows_of(60))
    with pytest.raises(SettingError, match=f"--{part}: is .*which holds the training rows"):
        fit(rows_of(60), **{part: str(copy)})
    assert not (tmp_path / "models").exists()


def test_output_has_the_scores_without_the_threshold(tmp_path: Path) -> None:
    table = write(tmp_path / "table.csv", rows_of(120))
    output: list[str] = []
    flags = {"table": str(table), "target": "size", "name": "m", "preset": "classic"}
    flags |= {"epochs": "3", "threshold": "f1", "report": "off"}
    assert train(Settings.read({**flags, "models": str(tmp_path / "models")}), output.append)
    assert any("\nwithout the threshold " in text for text in output)
