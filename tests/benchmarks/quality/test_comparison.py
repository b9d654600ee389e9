"""The comparison of methods, and its report."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.quality.__main__ import main
from benchmarks.quality.comparison import measure, report
from benchmarks.quality.methods import Limits
from benchmarks.quality.records import Records


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "runs")


def measure_all(split, methods, records, again=()):
    lines = []
    failures = measure([split], methods, records, limits=Limits(1), again=again, log=lines.append)
    return failures, lines


def test_second_call_measures_only_missing_results(small_split, method, records):
    one, other = method("one"), method("other")
    measure_all(small_split, [one], records)
    measure_all(small_split, [one, other], records)
    assert (one.fits, other.fits) == (1, 1)


@pytest.mark.parametrize("again", ["one --fast", "one"])
def test_named_method_is_measured_again(small_split, method, records, again):
    one = method("one --fast")
    for _ in range(2):
        measure_all(small_split, [one], records, again=[again])
    assert one.fits == 2


def test_failure_of_a_method_is_reported_and_the_others_go_on(
    small_split, method, records, tmp_path
):
    broken, working = method("broken", error="last words"), method("working")
    failures, lines = measure_all(small_split, [broken, working], records)
    assert [record.label for record in failures] == ["broken"]
    assert lines[0] == "small, seed 0, broken: failed, last words"
    assert lines[1].startswith("small, seed 0, working: accuracy 0.5")
    report([small_split], [broken, working], records, failures).write(tmp_path)
    page = (tmp_path / "quality.md").read_text("utf-8")
    assert "## Failures" in page
    assert "last words" in page
    content = json.loads((tmp_path / "quality.json").read_text("utf-8"))
    assert [line["label"] for line in content["summary"]] == ["working"]
    assert (tmp_path / "quality.svg").read_text("utf-8").lstrip().startswith("<?xml")


def test_page_compares_with_peers_and_shows_the_target(small_split, method, records, tmp_path):
    methods = [method(name) for name in ("pigeonhole", "realmlp-td-s", "hist-gradient-boosting")]
    measure_all(small_split, methods, records)
    report([small_split], methods, records, []).write(tmp_path)
    page = (tmp_path / "quality.md").read_text("utf-8")
    assert "## Against RealMLP-TD-S" in page
    assert "## Against HistGradientBoosting" in page
    # The whole process took 2 s, the peer's fit 1 s.
    assert "`pigeonhole`: 2.000, not met" in page


def test_trainer_is_scored_by_its_model_file(table, tmp_path):
    flags = ["--only", "pigeonhole", "--flags", "--epochs 2 --report off", "--seeds", "1"]
    out = tmp_path / "out"
    result = CliRunner().invoke(main, [str(table.path.parent), *flags, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "small, seed 0, pigeonhole --epochs 2 --report off: accuracy" in result.output
    (record,) = Records(out / "runs")
    assert record.facts["file_bytes"] > 0
    assert 0 < record.log_loss < 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "perceptron"], "unknown method 'perceptron'"),
        (["--tables", "big"], "no table 'big'"),
    ],
)
def test_unknown_name_is_reported_in_one_sentence(table, flags, message):
    result = CliRunner().invoke(main, [str(table.path.parent), *flags])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert message in result.output
