"""The tables of a folder."""

from pathlib import Path

import pytest

from benchmarks.quality.tables import TableError, tables_in


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "large.csv").write_text("a,b\n1,2\n3,4\n", "utf-8")
    (tmp_path / "little.csv").write_text("a,b\n1,2\n", "utf-8")
    (tmp_path / "notes.md").write_text("text", "utf-8")
    return tmp_path


def write_targets(folder: Path, text: str) -> None:
    (folder / "targets.toml").write_text(text, "utf-8")


def test_tables_are_sorted_by_size_with_their_targets(folder):
    write_targets(folder, '[large]\ntarget = "a"\ndrop = ["b"]\n')
    little, large = tables_in(folder)
    assert (little.name, little.target, little.drop) == ("little", None, ())
    assert (large.name, large.target, large.drop) == ("large", "a", ("b",))


def test_only_requested_tables_are_returned(folder):
    assert [table.name for table in tables_in(folder, only=["large"])] == ["large"]


@pytest.mark.parametrize(
    ("targets", "only", "message"),
    [
        ('[lorge]\ntarget = "a"\n', [], "no table 'lorge'"),
        ("", ["lorge"], "no table 'lorge'"),
        ('[large]\ntargets = "a"\n', [], "only the keys target and drop"),
        ("[large\n", [], "can't be read"),
    ],
)
def test_unknown_table_or_key_is_rejected(folder, targets, only, message):
    write_targets(folder, targets)
    with pytest.raises(TableError, match=message):
        tables_in(folder, only=only)


def test_folder_without_tables_is_rejected(tmp_path):
    with pytest.raises(TableError, match="has no table"):
        tables_in(tmp_path)


def test_missing_file_of_targets_is_rejected(folder):
    with pytest.raises(TableError, match="can't be read"):
        tables_in(folder, folder / "other.toml")
