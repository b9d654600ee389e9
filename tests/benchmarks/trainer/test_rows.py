"""Generated rows."""

import csv

import numpy as np
import pyarrow.parquet as pq

from benchmarks.trainer import rows


def test_generated_numbers_have_a_signal(tmp_path):
    x_file, y_file = rows.numbers(3000, tmp_path)
    x, y = np.load(x_file), np.load(y_file)
    assert (x.shape, x.dtype, y.dtype) == ((3000, 54), np.float32, np.int64)
    assert set(y) == set(range(7))
    # Predicting the class of the nearest mean beats predicting the largest class.
    means = np.stack([x[:2000][y[:2000] == label].mean(axis=0) for label in range(7)])
    nearest = ((x[2000:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == y[2000:]).mean() > 1.2 * np.bincount(y).max() / len(y)


def test_initial_weights_are_reproducible_and_in_order(tmp_path):
    first = np.load(rows.initial_weights((4, 3), tmp_path))
    again = np.load(rows.initial_weights((4, 3), tmp_path))
    shapes = [first[name].shape for name in sorted(first.files)]
    assert shapes == [(54, 4), (4,), (4, 3), (3,), (3, 7), (7,)]
    assert all(np.array_equal(first[name], again[name]) for name in first.files)


def test_census_has_numbers_categories_and_missing_cells(tmp_path):
    with rows.census(400, tmp_path).open(encoding="utf-8", newline="") as file:
        header, *cells = csv.reader(file)
    assert len(header) == 15
    assert {row[-1] for row in cells} == {"high", "low"}
    assert any("?" in row for row in cells)


def test_wide_table_is_the_same_in_both_formats(tmp_path):
    csv_file, parquet_file = rows.wide(50, 3, tmp_path)
    with csv_file.open(encoding="utf-8", newline="") as file:
        _, *cells = csv.reader(file)
    stored = pq.read_table(parquet_file).to_pydict()
    assert [float(row[1]) for row in cells] == stored["x2"]
    assert [row[-1] for row in cells] == stored["class"]
