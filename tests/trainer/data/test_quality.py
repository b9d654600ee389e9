import numpy as np
import pytest

from pigeonhole.trainer.data.preparation import prepare
from pigeonhole.trainer.data.quality import (
    LEAKAGE_ROWS,
    find_imbalance,
    find_outliers,
    find_target_leakage,
)
from pigeonhole.trainer.data.schema import Schema


def texts(values) -> list[str]:
    return [str(value) for value in values]


def found(table, rule) -> list[str]:
    findings = prepare(table, "y").findings
    return [finding.text for finding in findings if finding.rule == rule]


def test_outlier_is_cited_with_its_row(table):
    heights = [160 + i % 20 for i in range(40)]
    heights[12] = 57
    [text] = found(table(x=texts(heights), y=["a", "b"] * 20), "outlier")
    assert "'x' has 1 value more than 8 spreads from the median" in text
    assert "57 (row 14). Outliers are kept." in text


def test_farthest_outliers_are_cited_first(table):
    values = [i % 20 for i in range(60)]
    values[5], values[6], values[7], values[8] = 500, -900, 700, 300
    [text] = found(table(x=texts(values), y=["a", "b"] * 30), "outlier")
    assert "-900 (row 8), 700 (row 9), 500 (row 7) and 1 more" in text


def test_normal_distribution_has_no_outliers():
    assert not len(find_outliers(np.random.default_rng(0).normal(size=100_000))[1])


def test_spread_of_a_mostly_constant_column_is_that_of_the_other_values():
    values = np.array([0] * 80 + list(range(1, 20)) + [1000], float)
    assert find_outliers(values)[1].tolist() == [99]


def test_two_valued_column_has_no_outliers():
    assert not len(find_outliers(np.array([0] * 99 + [1], float))[1])


def test_outliers_ignore_missing_values():
    assert find_outliers(np.array([np.nan, 1, 2, 3, 4, 1000]))[1].tolist() == [5]


def test_missing_cells_are_reported_with_the_most_affected_columns(table):
    columns = {
        "few": ["", *texts(range(7))],
        "many": ["", "", "", "red", "blue", "red", "blue", "red"],
        "full": texts([1, 2] * 4),
    }
    [text] = found(table(**columns, y=["a", "b"] * 4), "missing")
    assert text == "4 cells missing in 3 rows of 8: 'many' 3, 'few' 1."


def test_repeated_rows_are_reported_and_kept(table):
    data = table(x=["1", "1", "2", "1"], c=["r", "r", "r", "g"], y=["a", "a", "b", "b"])
    assert found(data, "duplicate") == [
        "1 row equals an earlier row in every feature and the label. Repeated rows are kept."
    ]
    assert len(prepare(data, "y").examples) == 4


@pytest.mark.parametrize("seed", range(3))
def test_count_of_repeated_rows_is_exact(table, seed):
    rng = np.random.default_rng(seed)
    columns = {f"x{i}": texts(rng.integers(0, 3, 2000)) for i in range(4)}
    columns |= {"c": rng.choice(["red", "green"], 2000).tolist()}
    labels = rng.choice(["a", "b"], 2000).tolist()
    distinct = len(set(zip(*columns.values(), labels, strict=True)))
    [text] = found(table(**columns, y=labels), "duplicate")
    assert text.startswith(f"{2000 - distinct:,} rows")


def test_outliers_do_not_overflow_float64():
    ends = np.array([-1.7e308, 1.7e308] * 20)
    assert not len(find_outliers(ends)[1])
    assert find_outliers(np.array([*range(40), 1.7e308], float))[1].tolist() == [40]
    assert find_outliers(np.array([*range(40), -1.7e308, 1.7e308], float))[0] == 19.5


def test_outliers_of_datetimes_are_cited_as_datetimes(table):
    days = [f"2020-01-{1 + i % 28:02}" for i in range(60)]
    days[7] = "9999-12-31"
    [text] = found(table(x=days, y=["a", "b"] * 30), "outlier")
    assert "from the median 2020-01-1" in text
    assert ": 9999-12-31 (row 9). Outliers" in text


def test_equal_rows_of_different_classes_are_reported(table):
    data = table(
        x=["1", "1", "1", "2", "2", "3", "3"],
        c=["r", "r", "r", "g", "g", "r", ""],
        y=["a", "a", "b", "a", "a", "b", "a"],
    )
    [text] = found(data, "conflict")
    assert text.startswith("3 rows equal a row of another class in every feature")
    assert "At least 1 row can't be classified correctly" in text


def test_rows_with_a_different_feature_do_not_conflict(table):
    assert not found(
        table(x=["1", "1", "2", "3"], c=["r", "g", "r", ""], y=["a", "b"] * 2), "conflict"
    )


def test_copy_of_the_target_is_reported_and_kept(table):
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 300)
    columns = {
        "copy": [{"a": "x", "b": "y", "c": "z"}[label] for label in y],
        "noise": rng.choice(["p", "q"], 300).tolist(),
        "score": texts(np.round(np.searchsorted(["a", "b", "c"], y) + rng.random(300) * 0.9, 3)),
    }
    data = table(**columns, y=y.tolist())
    prepared = prepare(data, "y")
    leaks = [finding.column for finding in prepared.findings if finding.rule == "giveaway"]
    assert leaks == ["score", "copy"]
    assert len(prepared.schema.features) == 3


LABELS = np.arange(400) % 2
RNG = np.random.default_rng(0)


def flipped(labels: np.ndarray, count: int) -> np.ndarray:
    return np.where(np.arange(len(labels)) < count, 1 - labels, labels)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (LABELS * 1.0, True),
        (flipped(LABELS, 1) * 1.0, True),  # 1 error in 200 rows of the rarer class
        (flipped(LABELS, 4) * 1.0, False),
        (np.where(LABELS, np.nan, 1.0), True),  # missing in one class only
        (LABELS + RNG.random(400) * 0.9, True),  # a threshold
        (LABELS + RNG.random(400) * 1.5, False),
        (RNG.random(400), False),
        (np.full(400, 7.0), False),
        (np.array(["no", "yes"], object)[LABELS], True),
        (np.array([f"{i}" for i in range(400)], object), False),  # distinct values
    ],
)
def test_column_with_hardly_any_error_leaks_the_target(column, expected):
    assert find_target_leakage(column, LABELS) == expected


def test_column_that_misses_the_rare_class_does_not_leak():
    labels = (np.arange(5000) < 50).astype(int)
    assert find_target_leakage(labels * 1.0, labels)
    # Accuracy 99.5 %, but the commonest class alone has 99 %.
    assert not find_target_leakage((np.arange(5000) < 25) * 1.0, labels)


def test_few_rows_show_no_leak():
    labels = np.arange(30) % 2
    assert not find_target_leakage(labels * 1.0, labels)


def test_leak_is_found_in_a_sample_of_many_rows(table):
    rows = LEAKAGE_ROWS + 10
    data = table(x=texts(np.arange(rows) % 2), y=["ab"[i % 2] for i in range(rows)])
    assert len(found(data, "giveaway")) == 1


def imbalanced(*counts: int) -> list[str]:
    labels = np.repeat(np.arange(len(counts)), counts)
    schema = Schema((), "y", tuple(f"c{i}" for i in range(len(counts))))
    return [finding.text for finding in find_imbalance(labels, schema)]


def test_rare_class_is_reported_with_settings_that_help():
    [text] = imbalanced(960, 40)
    assert text.startswith("The class 'c1' has 40 rows of 1,000 (4.0%)")
    assert "--class-weight balanced and --threshold" in text


def test_threshold_is_suggested_only_for_two_classes():
    [text] = imbalanced(500, 480, 20)
    assert "'c2'" in text
    assert "--threshold" not in text


@pytest.mark.parametrize("counts", [(950, 50), (500, 500), (30,) * 26])
def test_class_with_a_fair_share_is_not_reported(counts):
    assert imbalanced(*counts) == []
