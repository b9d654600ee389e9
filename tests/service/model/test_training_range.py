from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.model.training_range import (
    CATEGORIES_SHOWN,
    WARNING_LIMIT,
    OutOfRange,
    RangeCheck,
)

USUAL = [5.0, 1.0, 5.0]  # age, member, size/cm


def columns(numbers, categories) -> Columns:
    return Columns(np.array(numbers, float), np.array(categories, dtype=object))


@pytest.fixture
def watch(mixed_signature: Signature) -> RangeCheck:
    return RangeCheck(mixed_signature)


def test_what_training_saw_is_not_unusual_its_limits_included(watch: RangeCheck) -> None:
    rows = columns([[0, 0, 1], [90, 1, 9]], [["red", "round"], ["blue", "round"]])
    assert watch.out_of_range(rows) == []


def test_numbers_outside_the_range_are_named_with_the_range(watch: RangeCheck) -> None:
    rows = columns([USUAL, [-0.5, 1, 9.001]], [["red", "round"]] * 2)
    assert watch.out_of_range(rows) == [
        OutOfRange(1, "age", -0.5, [0, 90]),
        OutOfRange(1, "size/cm", 9.001, [1, 9]),
    ]


def test_an_unseen_category_is_named_with_those_seen_the_commonest_first() -> None:
    counts = {"rare": 1, "common": 9, "seldom": 3}
    watch = RangeCheck(Signature([Feature(name="c", kind=Kind.CATEGORY, categories=counts)], ["x"]))
    found = watch.out_of_range(Columns(np.empty((1, 0)), np.array([["Common"]], dtype=object)))
    assert found == [OutOfRange(0, "c", "Common", ["common", "seldom", "rare"])]


def test_few_of_many_seen_categories_are_listed() -> None:
    counts = {f"c{i}": 100 - i for i in range(CATEGORIES_SHOWN + 5)}
    watch = RangeCheck(Signature([Feature(name="c", kind=Kind.CATEGORY, categories=counts)], ["x"]))
    (found,) = watch.out_of_range(Columns(np.empty((1, 0)), np.array([["x"]], dtype=object)))
    assert found.seen == [f"c{i}" for i in range(CATEGORIES_SHOWN)]


def test_what_is_missing_is_never_unusual(watch: RangeCheck) -> None:
    assert watch.out_of_range(columns([[np.nan, np.nan, np.nan]], [["", ""]])) == []


def test_nothing_is_unusual_where_training_told_nothing() -> None:
    features = [
        Feature(name="number", kind=Kind.NUMBER),
        Feature(name="flag", kind=Kind.BOOLEAN),
        Feature(name="text", kind=Kind.CATEGORY),
    ]
    watch = RangeCheck(Signature(features, ["x"]))
    assert watch.out_of_range(columns([[-1e308, 0], [1e308, 1]], [["a"], ["b"]])) == []


def test_a_range_may_be_open_on_one_side() -> None:
    watch = RangeCheck(Signature([Feature(name="n", kind=Kind.NUMBER, minimum=0)], ["x"]))
    rows = Columns(np.array([[-1.0], [1e308]]), np.empty((2, 0), dtype=object))
    assert watch.out_of_range(rows) == [OutOfRange(0, "n", -1.0, [0, None])]


def test_datetimes_outside_the_range_are_named_as_texts(dated_signature: Signature) -> None:
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
def test_a_row_alone_is_as_unusual_as_in_company(watch: RangeCheck, numbers, texts) -> None:
    company = columns([numbers, USUAL], [texts, ("red", "round")])
    assert watch.out_of_range(columns([numbers], [texts])) == watch.out_of_range(company)


def test_warnings_come_in_row_order_whatever_kind_they_are_of(watch: RangeCheck) -> None:
    rows = columns(
        [USUAL, [99, 1, 5], USUAL, [5, 1, 99]],
        [["green", "round"], ["red", "square"], ["blue", "flat"], ["pink", "round"]],
    )
    assert [(w.row, w.feature) for w in watch.out_of_range(rows)] == [
        (0, "color"),
        (1, "age"),
        (1, "shape"),
        (2, "shape"),
        (3, "size/cm"),
        (3, "color"),
    ]


def test_no_more_than_the_limit_are_told_and_they_are_the_first(watch: RangeCheck) -> None:
    n = WARNING_LIMIT
    numbers = [USUAL] * 5 + [[99, 1, 5]] * n
    categories = [["green", "round"]] * 3 + [["red", "round"]] * (n + 2)
    found = watch.out_of_range(columns(numbers, categories))
    assert len(found) == WARNING_LIMIT
    assert [w.row for w in found] == [0, 1, 2, *range(5, 2 + n)]


def test_zero_rows_have_nothing_unusual(watch: RangeCheck) -> None:
    assert watch.out_of_range(Columns(np.empty((0, 3)), np.empty((0, 2), dtype=object))) == []
