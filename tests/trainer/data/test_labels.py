import datetime as dt

import pyarrow as pa
import pytest

from pigeonhole.trainer.data.labels import case_variants, class_names, labeled_rows
from pigeonhole.trainer.errors import TableError


def rejection(table) -> str:
    with pytest.raises(TableError) as caught:
        class_names(labeled_rows(table, "y"))
    assert caught.value.column == "y"
    assert caught.value.path == "table.csv"
    return str(caught.value)


def test_text_classes_are_sorted_as_text(table):
    assert class_names(labeled_rows(table(y=["b", "a", "10", "9"] * 2), "y")) == (
        "10",
        "9",
        "a",
        "b",
    )


def test_numeric_classes_are_sorted_by_value_and_keep_their_text(table):
    assert class_names(labeled_rows(table(y=["10", "9", "-1", "03"] * 2), "y")) == (
        "-1",
        "03",
        "9",
        "10",
    )


def test_typed_classes_have_the_text_of_categories(table):
    assert class_names(labeled_rows(table(y=pa.array([0.0, 1.0] * 2)), "y")) == ("0", "1")
    assert class_names(labeled_rows(table(y=pa.array([True, False] * 2)), "y")) == ("false", "true")
    assert class_names(labeled_rows(table(y=pa.array([10, 9] * 2)), "y")) == ("9", "10")


def test_rows_without_a_label_are_dropped_and_reported(table):
    rows = labeled_rows(table(x=["1", "2", "3"], y=["a", "NA", "b"]), "y")
    assert rows.table.columns.to_pydict() == {"x": ["1", "3"], "y": ["a", "b"]}
    assert rows.table.row_numbers.tolist() == [2, 4]
    assert rows.labels.names[rows.labels.codes].tolist() == ["a", "b"]
    [finding] = rows.findings
    assert finding.rule == "unlabeled"
    assert finding.text.startswith("Dropped 1 row without a label in 'y': row 3.")


def test_target_without_labels_is_rejected(table):
    assert "no row has a label" in rejection(table(y=["", "NA"]))


def test_target_with_one_class_is_rejected(table):
    assert "every row has the class 'a'" in rejection(table(y=["a"] * 5))


def test_class_with_a_single_row_is_rejected_with_advice(table):
    message = rejection(table(y=["a", "a", "b", "b", "c"]))
    assert "the class 'c' has a single row" in message
    assert "collect more rows, merge" in message


def test_classes_with_a_single_row_are_named_together(table):
    message = rejection(table(y=["a"] * 30 + [f"c{i}" for i in range(8)]))
    assert "'c0', 'c1', 'c2', 'c3', 'c4' and 3 more have a single row" in message


def test_more_than_a_thousand_classes_are_rejected(table):
    assert "1,001 distinct values" in rejection(table(y=[f"c{i % 1001}" for i in range(3003)]))


def test_target_with_mostly_distinct_numbers_is_rejected_as_regression(table):
    message = rejection(table(y=[str(i * i) for i in range(100)]))
    assert "100 distinct values in 100 rows" in message
    assert "regression" in message


def test_target_of_decimals_is_rejected_as_regression(table):
    assert "regression" in rejection(table(y=[str(i % 30 + 0.5) for i in range(300)]))


def test_target_of_names_is_rejected_as_text(table):
    assert "names or free text" in rejection(table(y=[f"name {i}" for i in range(100)]))


def test_target_of_dates_is_rejected(table):
    assert "the type is date32" in rejection(table(y=pa.array([dt.date(2020, 1, 1)] * 4)))


def test_classes_that_differ_only_in_case_are_reported() -> None:
    (finding,) = case_variants(["No", "Yes", "maybe", "yes"], "answer")
    assert finding.rule == "case"
    assert "'Yes' and 'yes'" in finding.text
    assert case_variants(["No", "Yes"], "answer") == []
