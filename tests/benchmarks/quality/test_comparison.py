"""Promises of benchmarks.quality.comparison, and of the page that it writes."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.quality.__main__ import main
from benchmarks.quality.comparison import measure, report
from benchmarks.quality.records import Records


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "runs")


def ask(split, methods, records, again=()):
    said = []
    failures = measure(
        [split], methods, records, limit_s=1, threads=0, again=again, say=said.append
    )
    return failures, said


def test_a_second_call_asks_only_for_what_is_missing(small_split, method, records):
    one, other = method("one"), method("other")
    ask(small_split, [one], records)
    ask(small_split, [one, other], records)
    assert (one.asked, other.asked) == (1, 1)


@pytest.mark.parametrize("again", ["one --fast", "one"])
def test_a_method_that_is_named_is_asked_again(small_split, method, records, again):
    one = method("one --fast")
    for _ in range(2):
        ask(small_split, [one], records, again=[again])
    assert one.asked == 2


def test_a_method_that_fails_is_told_and_the_others_go_on(small_split, method, records, tmp_path):
    broken, whole = method("broken", error="last words"), method("whole")
    failures, said = ask(small_split, [broken, whole], records)
    assert [record.label for record in failures] == ["broken"]
    assert said[0] == "small, seed 0, broken: no answer, last words"
    assert said[1].startswith("small, seed 0, whole: accuracy 0.5")
    report([small_split], [broken, whole], records, failures, tmp_path, said.append)
    page = (tmp_path / "quality.md").read_text("utf-8")
    assert "## No answer" in page
    assert "last words" in page
    content = json.loads((tmp_path / "quality.json").read_text("utf-8"))
    assert [line["label"] for line in content["summary"]] == ["whole"]
    assert (tmp_path / "quality.svg").read_text("utf-8").lstrip().startswith("<?xml")


def test_the_page_compares_with_the_peers_and_states_the_bar(
    small_split, method, records, tmp_path
):
    methods = [method(name) for name in ("pigeonhole", "realmlp-td-s", "hist-gradient-boosting")]
    ask(small_split, methods, records)
    report([small_split], methods, records, [], tmp_path, lambda _line: None)
    page = (tmp_path / "quality.md").read_text("utf-8")
    assert "## Against RealMLP-TD-S" in page
    assert "## Against HistGradientBoosting" in page
    # The whole process took 2 s, the other's fit alone 1 s.
    assert "`pigeonhole`: 2.000, missed" in page


def test_the_trainers_command_is_scored_by_its_file(table, tmp_path):
    # Takes seconds, for it is a whole fit by the command line.
    flags = ["--only", "pigeonhole", "--flags", "--epochs 2 --report off", "--seeds", "1"]
    out = tmp_path / "out"
    done = CliRunner().invoke(main, [str(table.path.parent), *flags, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "small, seed 0, pigeonhole --epochs 2 --report off: accuracy" in done.output
    (record,) = Records(out / "runs")
    assert record.facts["file_bytes"] > 0
    assert 0 < record.log_loss < 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "perceptron"], "no method is called 'perceptron'"),
        (["--tables", "big"], "no table called 'big'"),
    ],
)
def test_a_name_that_is_none_is_one_sentence(table, flags, message):
    done = CliRunner().invoke(main, [str(table.path.parent), *flags])
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert message in done.output
