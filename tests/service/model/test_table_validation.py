from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.service.errors import InvalidRows
from pigeonhole.service.model.table_validation import (
    DictionaryColumn,
    columns_from_matrix,
    columns_from_table,
)


def test_table_may_mix_arrays_and_plain_values(mixed_signature) -> None:
    table = {
        "shape": DictionaryColumn([0, 1, 0], {0: "round", 1: None}),
        "size/cm": np.array([1.0, 2.0, 3.0]),
        "member": DictionaryColumn.of([True, False, True]),
        "color": DictionaryColumn.of([1, 2.5, " red "]),
    }
    columns = columns_from_table(mixed_signature, table, 3)
    np.testing.assert_array_equal(columns.numbers, [[np.nan, 1, 1], [np.nan, 0, 2], [np.nan, 1, 3]])
    assert columns.categories.tolist() == [["1", "round"], ["2.5", ""], ["red", "round"]]


def test_problems_are_in_order_of_rows_and_then_of_features(mixed_signature) -> None:
    table = {
        "age": np.array([1.0, np.inf, np.nan]),
        "member": np.array([0.0, 0.5, 1.0]),
        "color": DictionaryColumn.of(["red", "red", None]),
        "size/cm": DictionaryColumn.of([1, 2, "3"]),
    }
    with pytest.raises(InvalidRows) as caught:
        columns_from_table(mixed_signature, table, 3, missing="NaN")
    got = [(p.row, p.feature, p.got) for p in caught.value.problems]
    assert got == [
        (1, "age", "a larger number"),
        (1, "member", "number 0.5"),
        (2, "color", "null"),
        (2, "size/cm", 'string "3"'),
    ]
    assert not caught.value.truncated


def test_first_problems_are_reported_up_to_the_limit(
    mixed_signature,
) -> None:
    rows = 1000
    table = {
        "member": DictionaryColumn([0] * rows, {0: "maybe"}),
        "color": DictionaryColumn(["red"] * (rows - 1) + [""], {"red": "red", "": None}),
        "size/cm": np.full(rows, np.nan),
    }
    with pytest.raises(InvalidRows) as caught:
        columns_from_table(mixed_signature, table, rows)
    assert [problem.row for problem in caught.value.problems] == [
        r for r in range(10) for _ in "ab"
    ]
    assert caught.value.truncated


def test_matrix_has_its_columns_in_signature_order(dated_signature) -> None:
    features = [f for f in dated_signature.features if f.name != "color"]
    signature = type(dated_signature)(features, dated_signature.classes)
    matrix = np.array([[1.0, 2.0, np.nan, 4.0]])
    np.testing.assert_array_equal(columns_from_matrix(signature, matrix, "NaN").numbers, matrix)
    with pytest.raises(InvalidRows) as caught:
        columns_from_matrix(signature, np.array([[np.nan, -np.inf, np.nan, 4.0]]), "NaN")
    got = [(p.feature, p.expected, p.got) for p in caught.value.problems]
    seconds = "seconds since 1970-01-01T00:00:00 UTC within the range of doubles"
    assert got == [("size", "number", "NaN"), ("seen", seconds, "a larger number")]
