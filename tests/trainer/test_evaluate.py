"""``pigeonhole evaluate`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pigeonhole.trainer.__main__ import main
from pigeonhole.trainer.data.samples import SAMPLES, write_csv
from pigeonhole.trainer.run import train
from pigeonhole.trainer.settings import Settings


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluate") / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_csv(SAMPLES["bodymass"].make(200, np.random.default_rng(0)), stream)
    return path


@pytest.fixture(scope="module")
def model(people: Path) -> Path:
    usual = {"table": str(people), "target": "bodymass", "name": "people", "preset": "classic"}
    flags = {"models": str(people.parent / "models"), "epochs": "2", "hidden": "3"}
    trained = train(Settings.read({**usual, **flags, "report": "off"}))
    assert trained is not None
    return trained.path


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_evaluate_prints_the_scores_beside_those_at_export(model: Path, people: Path) -> None:
    ran = evaluate(model, people)
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert lines[0] == f"{people}: 200 labeled rows, predicted by {model}"
    assert [line.split("  ")[0] for line in lines if line.startswith(("this", "at "))] == [
        *("this table", "at export"),
    ]
    assert any(line.startswith("  95% from") for line in lines)
    assert any(line.startswith("true \\ predicted") for line in lines)


def test_evaluate_writes_a_report(model: Path, people: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ran = evaluate(model, people, "--report", report)
    assert ran.output.endswith(f"\nWrote {report}\n")
    text = report.read_text("utf-8")
    assert "Accuracy on 200 rows of this table: " in text
    assert '<h2 id="usage-title">Usage</h2>' in text


def test_target_option_names_the_class_column(model: Path, people: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(people.read_text("utf-8").replace("bodymass", "weight_class"), "utf-8")
    assert "column 'bodymass': the column does not exist" in evaluate(model, other).output
    assert evaluate(model, other, "--target", "weight_class").exit_code == 0


def test_invalid_input_prints_one_sentence_and_exits_with_2(
    model: Path, people: Path, tmp_path: Path
) -> None:
    no_table, no_folder = tmp_path / "none.csv", tmp_path / "none" / "report.html"
    for arguments, expected in (
        ((people, people), f"{people} is not an ONNX model"),
        ((model, no_table), f"{no_table}: the file does not exist"),
        ((model, people, "--report", no_folder), f"{no_folder} can't be written: No such file"),
    ):
        ran = evaluate(*arguments)
        assert ran.exit_code == 2
        assert f"Error: {expected}" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_report_must_be_an_html_file(model: Path, people: Path) -> None:
    before = model.read_bytes(), people.read_bytes()
    for file in (model, people):
        ran = evaluate(model, people, "--report", file)
        assert ran.exit_code == 2
        assert "--report: is " in ran.output
        assert "expected a name that ends in .html" in ran.output
    assert (model.read_bytes(), people.read_bytes()) == before
