import numpy as np
import pytest

from trainer.data.cleaning import clean
from trainer.data.oddities import far_out


def texts(values) -> list[str]:
    return [str(value) for value in values]


def found(table, rule) -> list[str]:
    findings = clean(table, "y").findings
    return [finding.text for finding in findings if finding.rule == rule]


def test_a_value_far_from_the_median_is_named_with_its_row(table):
    heights = [160 + i % 20 for i in range(40)]
    heights[12] = 57
    [text] = found(table(x=texts(heights), y=["a", "b"] * 20), "outlier")
    assert "'x': 1 value more than 8 spreads from the median" in text
    assert "57 (row 14); kept" in text


def test_the_farthest_values_are_named_first(table):
    values = [i % 20 for i in range(60)]
    values[5], values[6], values[7], values[8] = 500, -900, 700, 300
    [text] = found(table(x=texts(values), y=["a", "b"] * 30), "outlier")
    assert "-900 (row 8), 700 (row 9), 500 (row 7) and 1 more" in text


def test_bell_curves_have_nothing_far_out():
    assert not len(far_out(np.random.default_rng(0).normal(size=100_000))[1])


def test_where_most_values_are_the_same_the_others_say_how_far_is_far():
    values = np.array([0] * 80 + list(range(1, 20)) + [1000], float)
    assert far_out(values)[1].tolist() == [99]


def test_two_valued_columns_have_nothing_far_out():
    assert not len(far_out(np.array([0] * 99 + [1], float))[1])


def test_missing_values_are_passed_over():
    assert far_out(np.array([np.nan, 1, 2, 3, 4, 1000]))[1].tolist() == [5]


def test_missing_cells_are_counted_with_the_columns_that_have_most(table):
    columns = {
        "few": ["", *texts(range(7))],
        "many": ["", "", "", "red", "blue", "red", "blue", "red"],
        "full": texts([1, 2] * 4),
    }
    [text] = found(table(**columns, y=["a", "b"] * 4), "missing")
    assert text == "4 cells missing in 3 rows of 8: 'many' 3, 'few' 1."


def test_repeated_rows_are_counted_and_kept(table):
    data = table(x=["1", "1", "2", "1"], c=["r", "r", "r", "g"], y=["a", "a", "b", "b"])
    assert found(data, "duplicate") == [
        "1 row the same as an earlier one in every feature and the label; kept."
    ]
    assert len(clean(data, "y").examples) == 4


@pytest.mark.parametrize("seed", range(3))
def test_the_count_of_repeated_rows_is_exact(table, seed):
    rng = np.random.default_rng(seed)
    columns = {f"x{i}": texts(rng.integers(0, 3, 2000)) for i in range(4)}
    columns |= {"c": rng.choice(["red", "green"], 2000).tolist()}
    labels = rng.choice(["a", "b"], 2000).tolist()
    different = len(set(zip(*columns.values(), labels, strict=True)))
    [text] = found(table(**columns, y=labels), "duplicate")
    assert text.startswith(f"{2000 - different:,} rows")
