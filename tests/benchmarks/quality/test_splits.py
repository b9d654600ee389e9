"""Promises of benchmarks.quality.splits."""

import csv
import gzip
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.splits import held_out, read_cells, split
from benchmarks.quality.tables import TableFile, TargetsRefused


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(0, 5))
def test_each_class_is_tested_on_a_fifth_and_learned_from_two_rows_at_least(codes, seed):
    codes = np.array(codes)
    tested = held_out(codes, seed)
    for code, count in Counter(codes.tolist()).items():
        taken = int(tested[codes == code].sum())
        assert taken == max(min(round(0.2 * count), count - 2), 0)
    assert np.array_equal(tested, held_out(codes, seed))


def test_both_parts_together_are_the_table(table, small_split):
    header, *train = rows_of(small_split.train)
    test_header, *test = rows_of(small_split.test)
    assert header == test_header == ["size", "shape", "class"]
    assert sorted(train + test) == sorted(rows_of(table.path)[1:])
    assert small_split.labels.tolist() == [row[-1] for row in test]
    assert (small_split.train_rows, len(test), small_split.classes) == (32, 8, 2)


def test_a_seed_gives_its_own_split_and_a_changed_table_another(table, small_split, tmp_path):
    other = split(table, 1, tmp_path / "splits")
    assert other.train.read_text("utf-8") != small_split.train.read_text("utf-8")
    table.path.write_text(table.path.read_text("utf-8") + "3.5,a,n\n", "utf-8")
    changed = split(table, 0, tmp_path / "splits")
    assert changed.digest != small_split.digest
    assert changed.train_rows + len(changed.labels) == 41


def test_dropped_columns_unlabeled_rows_and_single_classes_are_left_out(tmp_path):
    file = tmp_path / "odd.csv"
    lines = ["id,kind,x", "1,a,1", "2,a,?", "3,b, NA", "4,b,2", "5,,3", "6,once,4", "7,N/A,5"]
    file.write_text("\n".join(lines), "utf-8")
    made = split(TableFile("odd", file, "kind", ("id",)), 0, tmp_path / "splits")
    assert rows_of(made.train) == [["x", "kind"], ["1", "a"], ["", "a"], ["", "b"], ["2", "b"]]
    assert len(made.labels) == 0


@pytest.mark.parametrize(("target", "drop"), [("clas", ()), ("class", ("sise",))])
def test_a_column_that_is_not_there_is_refused(table, tmp_path, target, drop):
    with pytest.raises(TargetsRefused, match="no column called"):
        split(TableFile("small", table.path, target, drop), 0, tmp_path / "splits")


def test_all_forms_of_a_table_read_alike(tmp_path):
    text = "n;flag;word\n1;true; a,b\n2.5;false;null\n"
    plain, packed, typed = (tmp_path / name for name in ("t.csv", "t.csv.gz", "t.parquet"))
    plain.write_text(text, "utf-8-sig")
    packed.write_bytes(gzip.compress(text.encode()))
    columns = {"n": [1.0, 2.5], "flag": [True, False], "word": ["a,b", None]}
    pq.write_table(pa.table(columns), typed)
    expected = {"n": ["1", "2.5"], "flag": ["true", "false"], "word": ["a,b", ""]}
    assert read_cells(plain) == read_cells(packed) == read_cells(typed) == expected


def test_a_ragged_table_is_refused(tmp_path):
    file = tmp_path / "ragged.csv"
    file.write_text("a,b\n1,2\n3\n", "utf-8")
    with pytest.raises(TargetsRefused, match="can't be read"):
        read_cells(file)
