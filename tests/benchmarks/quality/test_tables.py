"""Promises of benchmarks.quality.tables."""

from pathlib import Path

import pytest

from benchmarks.quality.tables import TargetsRefused, tables_in


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "large.csv").write_text("a,b\n1,2\n3,4\n", "utf-8")
    (tmp_path / "little.csv").write_text("a,b\n1,2\n", "utf-8")
    (tmp_path / "notes.md").write_text("no table", "utf-8")
    return tmp_path


def write_targets(folder: Path, text: str) -> None:
    (folder / "targets.toml").write_text(text, "utf-8")


def test_tables_come_smallest_first_with_what_is_said_of_them(folder):
    write_targets(folder, '[large]\ntarget = "a"\ndrop = ["b"]\n')
    little, large = tables_in(folder)
    assert (little.name, little.target, little.drop) == ("little", None, ())
    assert (large.name, large.target, large.drop) == ("large", "a", ("b",))


def test_only_the_wanted_tables_come(folder):
    assert [table.name for table in tables_in(folder, only=["large"])] == ["large"]


@pytest.mark.parametrize(
    ("targets", "only", "message"),
    [
        ('[lorge]\ntarget = "a"\n', [], "no table called 'lorge'"),
        ("", ["lorge"], "no table called 'lorge'"),
        ('[large]\ntargets = "a"\n', [], "a target and a drop, nothing else"),
        ("[large\n", [], "can't be read"),
    ],
)
def test_a_name_or_key_that_is_none_is_refused(folder, targets, only, message):
    write_targets(folder, targets)
    with pytest.raises(TargetsRefused, match=message):
        tables_in(folder, only=only)


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(TargetsRefused, match="has no table"):
        tables_in(tmp_path)


def test_a_file_of_targets_that_is_named_must_be_there(folder):
    with pytest.raises(TargetsRefused, match="can't be read"):
        tables_in(folder, folder / "other.toml")
