"""Splits of tables."""

import csv
import gzip
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.splits import read_cells, split, stratified_test_rows
from benchmarks.quality.tables import TableError, TableFile


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(0, 5))
def test_a_fifth_of_each_class_is_for_testing_and_two_rows_stay_for_training(codes, seed):
    codes = np.array(codes)
    is_test = stratified_test_rows(codes, seed)
    for code, count in Counter(codes.tolist()).items():
        count_test = int(is_test[codes == code].sum())
        assert count_test == max(min(round(0.2 * count), count - 2), 0)
    assert np.array_equal(is_test, stratified_test_rows(codes, seed))


def test_both_files_together_are_the_table(table, small_split):
    header, *train = rows_of(small_split.train)
    test_header, *test = rows_of(small_split.test)
    assert header == test_header == ["size", "shape", "class"]
    assert sorted(train + test) == sorted(rows_of(table.path)[1:])
    assert small_split.labels.tolist() == [row[-1] for row in test]
    assert (small_split.train_rows, len(test), small_split.classes) == (32, 8, 2)


def test_split_depends_on_seed_and_table(table, small_split, tmp_path):
    other = split(table, 1, tmp_path / "splits")
    assert other.train.read_text("utf-8") != small_split.train.read_text("utf-8")
    table.path.write_text(table.path.read_text("utf-8") + "3.5,a,n\n", "utf-8")
    changed = split(table, 0, tmp_path / "splits")
    assert changed.digest != small_split.digest
    assert changed.train_rows + len(changed.labels) == 41


def test_dropped_columns_unlabeled_rows_and_single_rows_are_removed(tmp_path):
    file = tmp_path / "odd.csv"
    lines = ["id,kind,x", "1,a,1", "2,a,?", "3,b, NA", "4,b,2", "5,,3", "6,once,4", "7,N/A,5"]
    file.write_text("\n".join(lines), "utf-8")
    written = split(TableFile("odd", file, "kind", ("id",)), 0, tmp_path / "splits")
    assert rows_of(written.train) == [["x", "kind"], ["1", "a"], ["", "a"], ["", "b"], ["2", "b"]]
    assert len(written.labels) == 0


@pytest.mark.parametrize(("target", "drop"), [("clas", ()), ("class", ("sise",))])
def test_missing_column_is_rejected(table, tmp_path, target, drop):
    with pytest.raises(TableError, match="has no column"):
        split(TableFile("small", table.path, target, drop), 0, tmp_path / "splits")


def test_all_formats_of_a_table_read_alike(tmp_path):
    text = "n;flag;word\n1;true; a,b\n2.5;false;null\n"
    plain, compressed, parquet = (tmp_path / name for name in ("t.csv", "t.csv.gz", "t.parquet"))
    plain.write_text(text, "utf-8-sig")
    compressed.write_bytes(gzip.compress(text.encode()))
    columns = {"n": [1.0, 2.5], "flag": [True, False], "word": ["a,b", None]}
    pq.write_table(pa.table(columns), parquet)
    expected = {"n": ["1", "2.5"], "flag": ["true", "false"], "word": ["a,b", ""]}
    assert read_cells(plain) == read_cells(compressed) == read_cells(parquet) == expected


def test_ragged_table_is_rejected(tmp_path):
    file = tmp_path / "ragged.csv"
    file.write_text("a,b\n1,2\n3\n", "utf-8")
    with pytest.raises(TableError, match="can't be read"):
        read_cells(file)
