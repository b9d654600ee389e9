from __future__ import annotations

import json
import time

import numpy as np
import pytest

from pigeonhole.service.errors import InvalidRows, Problem
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.model.validation import (
    PROBLEM_LIMIT,
    SHOWN_CHARACTERS,
    columns_from_values,
    describe,
    locate_by_column,
    locate_by_row,
    pointer_token,
    rows_from_columns,
    truncate,
)

VALID = {"age": 30, "member": True, "color": "red", "size/cm": 2.5, "shape": "round"}


def problems(signature: Signature, *rows) -> tuple[Problem, ...]:
    with pytest.raises(InvalidRows) as caught:
        columns_from_values(signature, rows, locate_by_row("/instances"))
    assert not caught.value.truncated
    return caught.value.problems


def column_problems(signature: Signature, columns) -> tuple[Problem, ...]:
    with pytest.raises(InvalidRows) as caught:
        rows_from_columns(signature, columns, "/inputs")
    return caught.value.problems


def test_valid_rows_become_columns_in_signature_order(mixed_signature) -> None:
    listed = [None, 0, " blue ", 9, ""]
    columns = columns_from_values(mixed_signature, [VALID, listed])
    np.testing.assert_array_equal(columns.numbers, [[30, 1, 2.5], [np.nan, 0, 9]])
    assert columns.numbers.dtype == np.float64
    assert columns.categories.tolist() == [["red", "round"], ["blue", ""]]


def test_all_problems_of_all_rows_are_reported(mixed_signature) -> None:
    found = problems(
        mixed_signature,
        {**VALID, "age": "old", "member": 2},
        VALID,
        {"member": None, "colour": "red", "size/cm": [1]},
        [1, 2],
        "row",
    )
    names = "age, member, color, size/cm, shape"
    assert found == (
        Problem(0, "age", "/instances/0/age", "number", 'string "old"'),
        Problem(0, "member", "/instances/0/member", "boolean", "number 2"),
        Problem(2, "member", "/instances/2/member", "boolean", "null"),
        Problem(2, "size/cm", "/instances/2/size~1cm", "number", "array of 1"),
        Problem(2, "colour", "/instances/2/colour", "a known feature", "colour", "color"),
        Problem(3, None, "/instances/3", f"5 values: {names}", "2 values"),
        Problem(4, None, "/instances/4", "an object or a list of feature values", 'string "row"'),
    )


def test_missing_feature_is_reported_unless_it_is_optional(mixed_signature) -> None:
    assert problems(mixed_signature, {"member": True, "color": "red"}) == (
        Problem(0, "size/cm", "/instances/0/size~1cm", "number", "nothing"),
    )


@pytest.mark.parametrize(
    ("feature", "value", "expected", "got"),
    [
        ("age", True, "number", "true"),
        ("age", "30", "number", 'string "30"'),
        ("age", {"years": 30}, "number", "object"),
        ("age", float("inf"), "number within the range of doubles", "a larger number"),
        ("age", float("nan"), "number within the range of doubles", "a larger number"),
        ("age", 10**400, "number within the range of doubles", "a larger number"),
        ("age", -(10**4000), "number within the range of doubles", "a larger number"),
        ("member", "true", "boolean", 'string "true"'),
        ("member", 2, "boolean", "number 2"),
        ("member", 1.0, "boolean", "number 1.0"),
        ("member", 10**400, "boolean", "a larger number"),
        ("color", None, "text", "null"),
        ("color", "", "text", 'string ""'),
        ("color", " \t", "text", 'string " \\t"'),
        ("color", ["red"], "text", "array of 1"),
        ("color", 10**400, "text within the range of doubles", "a larger number"),
        ("color", "a\ud800", "text without lone surrogates", 'string "a?"'),
    ],
)
def test_value_of_the_wrong_kind_is_reported_with_the_expected_kind(
    mixed_signature, feature, value, expected, got
) -> None:
    (problem,) = problems(mixed_signature, {**VALID, feature: value})
    assert (problem.feature, problem.expected, problem.got) == (feature, expected, got)


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (7.0, "7"), (7.5, "7.5"), (True, "true"), (10**30, "1" + "0" * 30)],
)
def test_category_may_be_a_number_or_boolean(mixed_signature, value, text) -> None:
    columns = columns_from_values(mixed_signature, [{**VALID, "color": value}])
    assert columns.categories[0].tolist() == [text, "round"]


DATED = {"size": 1, "seen": "2024-05-01"}


def test_datetimes_become_seconds_and_blank_ones_are_missing(dated_signature) -> None:
    named = {**DATED, "seen": " 2024-05-01T13:45+02:00\t", "paid": "1/5/2024 9:05", "opens": "8:30"}
    listed = [2, "2024-05-01", None, " ", None]
    columns = columns_from_values(dated_signature, [named, listed])
    np.testing.assert_array_equal(
        columns.numbers,
        [[1, 1714563900, 1714554300, 30600], [2, 1714521600, np.nan, np.nan]],
    )


@pytest.mark.parametrize(
    ("feature", "value", "expected", "got"),
    [
        ("seen", "yesterday", "a date such as 2024-05-01 or 2024-05-01T13:45", '"yesterday"'),
        ("seen", "2023-02-29", "a date such as 2024-05-01 or 2024-05-01T13:45", '"2023-02-29"'),
        ("seen", "01/05/2024", "a date such as 2024-05-01 or 2024-05-01T13:45", '"01/05/2024"'),
        ("seen", 1714521600, "a date such as 2024-05-01 or 2024-05-01T13:45", "number 1714521600"),
        ("seen", 1.5, "a date such as 2024-05-01 or 2024-05-01T13:45", "number 1.5"),
        ("seen", True, "a date such as 2024-05-01 or 2024-05-01T13:45", "true"),
        ("seen", None, "a date such as 2024-05-01 or 2024-05-01T13:45", "null"),
        ("seen", " ", "a date such as 2024-05-01 or 2024-05-01T13:45", 'string " "'),
        ("seen", ["2024-05-01"], "a date such as 2024-05-01 or 2024-05-01T13:45", "array of 1"),
        ("paid", "5/1", "a date such as 31/12/2024 13:45 or 2024-12-31T13:45", 'string "5/1"'),
        ("opens", "24:00", "a time such as 13:45 or 1970-01-01T13:45", 'string "24:00"'),
        ("opens", 8, "a time such as 13:45 or 1970-01-01T13:45", "number 8"),
    ],
)
def test_invalid_datetime_is_reported_with_an_example(
    dated_signature, feature, value, expected, got
) -> None:
    (problem,) = problems(dated_signature, {**DATED, feature: value})
    assert (problem.row, problem.feature, problem.expected) == (0, feature, expected)
    assert problem.got.endswith(got)


def test_missing_datetime_is_reported_with_an_example(dated_signature) -> None:
    (problem,) = problems(dated_signature, {"size": 1})
    assert (problem.feature, problem.got) == ("seen", "nothing")
    assert problem.expected == "a date such as 2024-05-01 or 2024-05-01T13:45"


def test_problems_beyond_the_limit_are_truncated_and_counted_as_at_least(mixed_signature) -> None:
    bad = {**VALID, "age": "old", "member": "?"}
    rows = [bad] * PROBLEM_LIMIT
    with pytest.raises(InvalidRows, match=r"at least 20 problems in at least 10 rows") as caught:
        columns_from_values(mixed_signature, rows)
    assert caught.value.truncated
    assert [p.row for p in caught.value.problems] == [i // 2 for i in range(PROBLEM_LIMIT)]


def test_row_with_many_or_very_long_unknown_names_is_rejected_quickly(mixed_signature) -> None:
    many = {f"size{i}": 1 for i in range(50_000)}
    long = {"size" * 1_000_000: 1}
    started = time.perf_counter()
    for row in (many, long):
        with pytest.raises(InvalidRows) as caught:
            columns_from_values(mixed_signature, [row])
        assert len(caught.value.problems) <= PROBLEM_LIMIT
        with pytest.raises(InvalidRows):
            rows_from_columns(mixed_signature, {name: [1] for name in row}, "/inputs")
    assert time.perf_counter() - started < 0.5


def test_long_text_is_truncated_and_lone_surrogates_are_replaced(mixed_signature) -> None:
    long = "\ud800" + "x" * 10_000
    found = problems(mixed_signature, {**VALID, "age": long, long: 1}, {**VALID, "age": [long]})
    for problem in found:
        text = f"{problem.feature}{problem.pointer}{problem.expected}{problem.got}"
        assert len(text.encode("utf-8")) < 500
    assert found[0].got == f'string "?{"x" * (SHOWN_CHARACTERS - 2)}…"'


def test_text_is_truncated_only_above_the_limit() -> None:
    assert truncate("x" * SHOWN_CHARACTERS) == "x" * SHOWN_CHARACTERS
    assert truncate("x" * (SHOWN_CHARACTERS + 1)) == "x" * (SHOWN_CHARACTERS - 1) + "…"


@pytest.mark.parametrize("name", ["plain", "a/b", "a~b", "~1", "/", "", "é", "a b"], ids=repr)
def test_pointer_token_reads_back_as_the_name(name) -> None:
    token = pointer_token(name)
    assert "/" not in token
    assert token.replace("~1", "/").replace("~0", "~") == name


def test_pointers_follow_the_layout_of_the_body() -> None:
    assert locate_by_row("/instances")(3, "a/b~") == "/instances/3/a~1b~0"
    assert locate_by_row("/instances")(3, None) == "/instances/3"
    assert locate_by_column("/inputs")(3, "a/b~") == "/inputs/a~1b~0/3"
    assert locate_by_column("/inputs")(3, None) == "/inputs"


def test_pointer_into_a_list_is_the_position(mixed_signature) -> None:
    (problem,) = problems(mixed_signature, [30, True, None, 2.5, None])
    assert (problem.feature, problem.pointer) == ("color", "/instances/0/2")


def test_problem_without_a_json_body_has_no_pointer(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        columns_from_values(mixed_signature, [{**VALID, "age": "old"}])
    assert caught.value.problems[0].pointer is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (False, "false"),
        (1.5, "number 1.5"),
        (10**100, f"number 1{'0' * (SHOWN_CHARACTERS - 2)}…"),
        ([1, 2], "array of 2"),
        ({}, "object"),
        ('say "hi"', 'string "say \\"hi\\""'),
    ],
)
def test_json_value_is_described_in_words(value, words) -> None:
    assert describe(value) == words


def test_columns_become_rows(mixed_signature) -> None:
    columns = {"member": [1, 0], "color": ["red", "blue"], "size/cm": [1, 2], "age": None}
    assert rows_from_columns(mixed_signature, columns, "/inputs") == [
        {"member": 1, "color": "red", "size/cm": 1},
        {"member": 0, "color": "blue", "size/cm": 2},
    ]


def test_all_problems_of_columns_are_reported(mixed_signature) -> None:
    columns = {"age": 30, "member": [True, False, True], "colour": ["red"], "size/cm": [1]}
    assert column_problems(mixed_signature, columns) == (
        Problem(0, "age", "/inputs/age", "a list of values", "number 30"),
        Problem(0, "colour", "/inputs/colour", "a known feature", "colour", "color"),
        Problem(1, "size/cm", "/inputs/size~1cm", "3 values, as in the longest column", "1 value"),
    )


@pytest.mark.parametrize("values", [5, None, [], [1], [1, 2], [1, 2, 3]], ids=json.dumps)
def test_unknown_column_is_rejected_with_any_content(mixed_signature, values) -> None:
    good = {"member": [1, 0], "color": ["red", "blue"], "size/cm": [1, 2]}
    assert column_problems(mixed_signature, {**good, "zzz": values}) == (
        Problem(0, "zzz", "/inputs/zzz", "a known feature", "zzz"),
    )


def test_missing_column_is_reported_for_zero_rows_too(mixed_signature) -> None:
    named = [p.feature for p in column_problems(mixed_signature, {})]
    assert named == ["member", "color", "size/cm"]
    (problem,) = column_problems(mixed_signature, {"member": [], "color": []})
    assert (problem.pointer, problem.got) == ("/inputs/size~1cm", "nothing")


def test_null_for_a_required_column_is_reported(mixed_signature) -> None:
    columns = {"member": [1], "color": ["red"], "size/cm": None}
    (problem,) = column_problems(mixed_signature, columns)
    assert (problem.feature, problem.got) == ("size/cm", "null")


def test_zero_rows_are_valid() -> None:
    signature = Signature([Feature(name="a", kind=Kind.NUMBER)], ["x"])
    assert len(columns_from_values(signature, [])) == 0
    assert rows_from_columns(signature, {"a": []}, "/inputs") == []


def test_unknown_names_beyond_the_limit_are_truncated(mixed_signature) -> None:
    row = {f"x{index}": 1 for index in range(PROBLEM_LIMIT + 5)}
    with pytest.raises(InvalidRows) as caught:
        columns_from_values(mixed_signature, [{**row, **VALID}])
    assert len(caught.value.problems) == PROBLEM_LIMIT
    assert caught.value.truncated
