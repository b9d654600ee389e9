import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pigeonhole.trainer.data.labels import case_variants, class_names, imbalance, labeled
from pigeonhole.trainer.errors import TableError


def refusal(table) -> str:
    with pytest.raises(TableError) as caught:
        class_names(labeled(table, "y")[0], "y")
    assert caught.value.column == "y"
    assert caught.value.path == "table.csv"
    return str(caught.value)


def test_classes_that_are_words_are_sorted_as_text(table):
    assert class_names(table(y=["b", "a", "10", "9"] * 2), "y") == ("10", "9", "a", "b")


def test_classes_that_are_numbers_are_sorted_by_value_and_stay_as_written(table):
    assert class_names(table(y=["10", "9", "-1", "03"] * 2), "y") == ("-1", "03", "9", "10")


def test_typed_classes_are_spelled_as_categories_are(table):
    assert class_names(table(y=pa.array([0.0, 1.0] * 2)), "y") == ("0", "1")
    assert class_names(table(y=pa.array([True, False] * 2)), "y") == ("false", "true")
    assert class_names(table(y=pa.array([10, 9] * 2)), "y") == ("9", "10")


def test_rows_without_a_label_are_dropped_and_counted(table):
    rows, findings = labeled(table(x=["1", "2", "3"], y=["a", "NA", "b"]), "y")
    assert rows.columns.to_pydict() == {"x": ["1", "3"], "y": ["a", "b"]}
    assert rows.rows.tolist() == [2, 4]
    assert findings[0].rule == "unlabeled"
    assert findings[0].text.startswith("Dropped 1 row without a label")
    assert "in 'y': row 3." in findings[0].text


def test_a_target_without_any_label_is_refused(table):
    assert "no row has a label" in refusal(table(y=["", "NA"]))


def test_a_single_class_is_refused_by_name(table):
    assert "every row has the class 'a'" in refusal(table(y=["a"] * 5))


def test_a_class_with_a_single_row_is_refused_by_name_with_what_to_do(table):
    message = refusal(table(y=["a", "a", "b", "b", "c"]))
    assert "the class 'c' has a single row" in message
    assert "collect more rows, merge" in message


def test_several_classes_with_a_single_row_are_named_together(table):
    message = refusal(table(y=["a"] * 30 + [f"c{i}" for i in range(8)]))
    assert "'c0', 'c1', 'c2', 'c3', 'c4' and 3 more have a single row" in message


def test_more_than_a_thousand_classes_are_refused(table):
    assert "1,001 distinct values" in refusal(table(y=[f"c{i % 1001}" for i in range(3003)]))


def test_a_target_of_which_nearly_every_value_is_different_is_refused_as_regression(table):
    message = refusal(table(y=[str(i * i) for i in range(100)]))
    assert "100 distinct values in 100 rows" in message
    assert "regression" in message


def test_a_target_of_decimals_is_refused_as_regression(table):
    assert "regression" in refusal(table(y=[str(i % 30 + 0.5) for i in range(300)]))


def test_a_target_of_names_is_refused_as_such(table):
    assert "a name or free text" in refusal(table(y=[f"name {i}" for i in range(100)]))


def test_a_target_of_dates_is_refused(table):
    assert "the type is date32" in refusal(table(y=pa.array([dt.date(2020, 1, 1)] * 4)))


def test_classes_that_only_case_tells_apart_are_pointed_out() -> None:
    (finding,) = case_variants(["No", "Yes", "maybe", "yes"], "answer")
    assert finding.rule == "case"
    assert "'Yes' and 'yes'" in finding.text
    assert case_variants(["No", "Yes"], "answer") == []


def imbalanced(*counts: int) -> list[str]:
    labels = np.repeat(np.arange(len(counts)), counts)
    classes = [f"c{i}" for i in range(len(counts))]
    return [finding.text for finding in imbalance(labels, classes, "y")]


def test_a_rare_class_is_pointed_out_with_what_helps():
    [text] = imbalanced(960, 40)
    assert text.startswith("The class 'c1' has 40 rows of 1,000 (4.0%)")
    assert "--class-weight balanced and --threshold" in text
    [text] = imbalanced(500, 480, 20)
    assert "'c2'" in text
    assert "--threshold" not in text


@pytest.mark.parametrize("counts", [(950, 50), (500, 500), (30,) * 26])
def test_classes_of_a_fair_share_are_not_called_rare(counts):
    assert imbalanced(*counts) == []
