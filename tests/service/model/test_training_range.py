from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.model.training_range import (
    CATEGORY_LIMIT,
    WARNING_LIMIT,
    OutOfRange,
    RangeCheck,
)

IN_RANGE = [5.0, 1.0, 5.0]  # age, member, size/cm


def columns(numbers, categories) -> Columns:
    return Columns(np.array(numbers, float), np.array(categories, dtype=object))


@pytest.fixture
def range_check(mixed_signature: Signature) -> RangeCheck:
    return RangeCheck(mixed_signature)


def test_values_of_the_training_range_are_in_range_limits_included(range_check: RangeCheck) -> None:
    rows = columns([[0, 0, 1], [90, 1, 9]], [["red", "round"], ["blue", "round"]])
    assert range_check.out_of_range(rows) == []


def test_number_outside_the_range_is_reported_with_the_range(range_check: RangeCheck) -> None:
    rows = columns([IN_RANGE, [-0.5, 1, 9.001]], [["red", "round"]] * 2)
    assert range_check.out_of_range(rows) == [
        OutOfRange(1, "age", -0.5, [0, 90]),
        OutOfRange(1, "size/cm", 9.001, [1, 9]),
    ]


def test_unknown_category_is_reported_with_known_ones_the_most_frequent_first() -> None:
    counts = {"rare": 1, "common": 9, "seldom": 3}
    range_check = RangeCheck(
        Signature([Feature(name="c", kind=Kind.CATEGORY, categories=counts)], ["x"])
    )
    found = range_check.out_of_range(
        Columns(np.empty((1, 0)), np.array([["Common"]], dtype=object))
    )
    assert found == [OutOfRange(0, "c", "Common", ["common", "seldom", "rare"])]


def test_warning_lists_a_limited_number_of_categories() -> None:
    counts = {f"c{i}": 100 - i for i in range(CATEGORY_LIMIT + 5)}
    range_check = RangeCheck(
        Signature([Feature(name="c", kind=Kind.CATEGORY, categories=counts)], ["x"])
    )
    (found,) = range_check.out_of_range(Columns(np.empty((1, 0)), np.array([["x"]], dtype=object)))
    assert found.seen == [f"c{i}" for i in range(CATEGORY_LIMIT)]


def test_missing_value_is_in_range(range_check: RangeCheck) -> None:
    assert range_check.out_of_range(columns([[np.nan, np.nan, np.nan]], [["", ""]])) == []


def test_value_without_a_known_range_is_in_range() -> None:
    features = [
        Feature(name="number", kind=Kind.NUMBER),
        Feature(name="flag", kind=Kind.BOOLEAN),
        Feature(name="text", kind=Kind.CATEGORY),
    ]
    range_check = RangeCheck(Signature(features, ["x"]))
    assert range_check.out_of_range(columns([[-1e308, 0], [1e308, 1]], [["a"], ["b"]])) == []


def test_range_may_have_one_limit() -> None:
    range_check = RangeCheck(Signature([Feature(name="n", kind=Kind.NUMBER, minimum=0)], ["x"]))
    rows = Columns(np.array([[-1.0], [1e308]]), np.empty((2, 0), dtype=object))
    assert range_check.out_of_range(rows) == [OutOfRange(0, "n", -1.0, [0, None])]


def test_datetime_outside_the_range_is_reported_as_text(dated_signature: Signature) -> None:
    rows = Columns(
        np.array(
            [
                [1, 1719705600, 1704099600, 28800],  # size, seen, paid, opens: at the limits
                [1, 1719705600.5, 1704099599, 43260],
                [1, -1e15, np.nan, 1704099600],
            ]
        ),
        np.full((3, 1), "red", dtype=object),
    )
    assert RangeCheck(dated_signature).out_of_range(rows) == [
        OutOfRange(1, "seen", "2024-06-30T00:00:00.500000", ["2024-01-01", "2024-06-30"]),
        OutOfRange(1, "paid", "2024-01-01T08:59:59", ["2024-01-01T09:00", None]),
        OutOfRange(1, "opens", "12:01", ["08:00", "12:00"]),
        OutOfRange(2, "seen", "0001-01-01", ["2024-01-01", "2024-06-30"]),
        OutOfRange(2, "opens", "2024-01-01T09:00", ["08:00", "12:00"]),
    ]


NUMBERS = st.sampled_from([-0.5, 0.0, 5.0, 9.5, 90.0, math.nan])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    texts=st.tuples(st.sampled_from(["red", "green", ""]), st.sampled_from(["round", "flat", ""])),
)
def test_row_gets_the_same_warnings_alone_and_beside_others(
    range_check: RangeCheck, numbers, texts
) -> None:
    both = columns([numbers, IN_RANGE], [texts, ("red", "round")])
    assert range_check.out_of_range(columns([numbers], [texts])) == range_check.out_of_range(both)


def test_warnings_of_all_kinds_are_in_row_order(range_check: RangeCheck) -> None:
    rows = columns(
        [IN_RANGE, [99, 1, 5], IN_RANGE, [5, 1, 99]],
        [["green", "round"], ["red", "square"], ["blue", "flat"], ["pink", "round"]],
    )
    assert [(w.row, w.feature) for w in range_check.out_of_range(rows)] == [
        (0, "color"),
        (1, "age"),
        (1, "shape"),
        (2, "shape"),
        (3, "size/cm"),
        (3, "color"),
    ]


def test_first_warnings_are_reported_up_to_the_limit(range_check: RangeCheck) -> None:
    n = WARNING_LIMIT
    numbers = [IN_RANGE] * 5 + [[99, 1, 5]] * n
    categories = [["green", "round"]] * 3 + [["red", "round"]] * (n + 2)
    found = range_check.out_of_range(columns(numbers, categories))
    assert len(found) == WARNING_LIMIT
    assert [w.row for w in found] == [0, 1, 2, *range(5, 2 + n)]


def test_zero_rows_get_zero_warnings(range_check: RangeCheck) -> None:
    assert range_check.out_of_range(Columns(np.empty((0, 3)), np.empty((0, 2), dtype=object))) == []
