from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pigeonhole.service.errors import InvalidRows, TooManyRows
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.row_types import RowTypes
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.model.validation import columns_from_values, rows_from_columns

MAX_ROWS = 100

# Examples do not change the fixture, which is a signature.
examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=4)
"""Any text, with lone surrogates too."""

VALID: dict[str, st.SearchStrategy[Any]] = {
    "age": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "member": st.booleans() | st.sampled_from([0, 1]),
    "color": st.sampled_from(["red", " blue\n", "x"]) | st.booleans() | st.floats(-1e6, 1e6),
    "size/cm": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20),
    "shape": st.none() | st.just(" ") | st.text(max_size=3) | st.integers(-(2**63), 2**63 - 1),
}

ANYTHING: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, 2**63 - 1, 1e308, "", " ", "1.5", "true", [], {}, [1]])
    | ANY_TEXT
)


@st.composite
def usually(draw: st.DrawFn, first: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> Any:
    """Draw from the other strategy once in thirty times, so that many whole rows are valid."""
    return draw(other if draw(st.integers(0, 29)) == 17 else first)


def values(name: str) -> st.SearchStrategy[Any]:
    return usually(VALID[name], ANYTHING)


OBJECT_ROWS = st.builds(
    lambda row, left_out, extra: {n: v for n, v in row.items() if n not in left_out} | extra,
    st.fixed_dictionaries({name: values(name) for name in VALID}),
    usually(st.sets(st.sampled_from(["age", "shape"])), st.sets(st.sampled_from([*VALID]))),
    usually(st.just({}), st.dictionaries(ANY_TEXT, ANYTHING, max_size=2)),
)

ARRAY_ROWS = st.builds(
    lambda row, length: [*row, None][:length],
    st.tuples(*[values(name) for name in VALID]),
    usually(st.just(5), st.sampled_from([0, 4, 6])),
)


@st.composite
def column_bodies(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(0, 3))
    columns: dict[str, Any] = {}
    for name, valid in VALID.items():
        odd = st.sampled_from(["absent", "null", "ragged", "single"])
        match draw(usually(st.just("good"), odd)):
            case "good":
                columns[name] = draw(st.lists(values(name), min_size=n, max_size=n))
            case "null":
                columns[name] = None
            case "ragged":
                columns[name] = draw(st.lists(valid, max_size=4))
            case "single":
                columns[name] = draw(values(name))
    return columns | draw(usually(st.just({}), st.dictionaries(ANY_TEXT, ANYTHING, max_size=1)))


def fast_rows(row_types: RowTypes, kind: type[msgspec.Struct], text: str) -> Columns | None:
    try:
        rows = msgspec.json.decode(text, type=list[kind])
    except msgspec.MsgspecError:
        return None
    return row_types.from_rows(rows, MAX_ROWS)


def fast_columns(row_types: RowTypes, text: str) -> Columns | None:
    try:
        columns = msgspec.json.decode(text, type=row_types.columns)
    except msgspec.MsgspecError:
        return None
    return row_types.from_columns(columns, MAX_ROWS)


def slow_rows(signature: Signature, text: str) -> Columns | None:
    try:
        return columns_from_values(signature, json.loads(text))
    except InvalidRows:
        return None


def slow_columns(signature: Signature, text: str) -> Columns | None:
    try:
        rows = rows_from_columns(signature, json.loads(text), "")
        return columns_from_values(signature, rows)
    except InvalidRows:
        return None


def assert_same(fast: Columns | None, slow: Columns | None) -> None:
    assert (fast is None) == (slow is None)
    if fast is None or slow is None:
        return
    np.testing.assert_array_equal(fast.numbers, slow.numbers)
    assert fast.numbers.dtype == slow.numbers.dtype == np.float64
    assert fast.numbers.shape == slow.numbers.shape
    assert fast.categories.tolist() == slow.categories.tolist()
    assert fast.categories.shape == slow.categories.shape
    assert fast.categories.dtype == slow.categories.dtype == object


@examples
@given(rows=st.lists(OBJECT_ROWS, max_size=3))
def test_object_rows_give_the_same_as_validation(mixed_signature, rows) -> None:
    row_types, text = RowTypes(mixed_signature), json.dumps(rows)
    assert_same(fast_rows(row_types, row_types.object_row, text), slow_rows(mixed_signature, text))


@examples
@given(rows=st.lists(ARRAY_ROWS, max_size=3))
def test_array_rows_give_the_same_as_validation(mixed_signature, rows) -> None:
    row_types, text = RowTypes(mixed_signature), json.dumps(rows)
    assert_same(fast_rows(row_types, row_types.array_row, text), slow_rows(mixed_signature, text))


@examples
@given(columns=column_bodies())
def test_columns_give_the_same_as_validation(mixed_signature, columns) -> None:
    # The slow way also reads columns of lists, [[1], [2]], which the fast way leaves to it.
    lists = [values for values in columns.values() if isinstance(values, list)]
    assume(not any(values and all(isinstance(v, list) for v in values) for values in lists))
    row_types, text = RowTypes(mixed_signature), json.dumps(columns)
    assert_same(fast_columns(row_types, text), slow_columns(mixed_signature, text))


@examples
@given(rows=st.lists(st.tuples(values("age"), values("member"), values("size/cm")), max_size=3))
def test_rows_without_categories_give_the_same_as_validation(rows) -> None:
    kinds = {"age": Kind.NUMBER, "member": Kind.BOOLEAN, "size/cm": Kind.NUMBER}
    signature = Signature(
        [Feature(name=n, kind=kind, required=n != "age") for n, kind in kinds.items()], ["x"]
    )
    row_types = RowTypes(signature)
    objects = json.dumps([dict(zip(kinds, row, strict=True)) for row in rows])
    columns = json.dumps({name: [row[i] for row in rows] for i, name in enumerate(kinds)})
    slow = slow_rows(signature, objects)
    assert_same(fast_rows(row_types, row_types.object_row, objects), slow)
    assert_same(fast_rows(row_types, row_types.array_row, json.dumps(rows)), slow)
    assert_same(fast_columns(row_types, columns), slow)


DATETIMES = st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat)

NOT_DATETIMES = ANYTHING | st.sampled_from(["2024-02-30", "24:00", "20240501", "31/12/2024", "5/1"])

DATED: dict[str, st.SearchStrategy[Any]] = {
    "size": st.floats(allow_nan=False, allow_infinity=False),
    "seen": usually(DATETIMES | st.dates().map(str), NOT_DATETIMES),
    "color": st.none() | st.just("red"),
    "paid": usually(DATETIMES | st.sampled_from([None, "", " 1/5/2024 9:05"]), NOT_DATETIMES),
    "opens": usually(st.sampled_from([None, " ", "8:30", "2024-05-01 08:30Z"]), NOT_DATETIMES),
}


@examples
@given(rows=st.lists(st.tuples(*DATED.values()), max_size=3))
def test_datetimes_give_the_same_as_validation(dated_signature, rows) -> None:
    row_types = RowTypes(dated_signature)
    objects = json.dumps([dict(zip(DATED, row, strict=True)) for row in rows])
    arrays = json.dumps(rows)
    columns = json.dumps({name: [row[i] for row in rows] for i, name in enumerate(DATED)})
    slow = slow_rows(dated_signature, objects)
    assert_same(fast_rows(row_types, row_types.object_row, objects), slow)
    assert_same(fast_rows(row_types, row_types.array_row, arrays), slow)
    assert_same(fast_columns(row_types, columns), slow)


def test_datetimes_become_seconds(dated_signature) -> None:
    row_types = RowTypes(dated_signature)
    text = '[{"size": 1, "seen": "2024-05-01", "opens": "08:30"}]'
    columns = fast_rows(row_types, row_types.object_row, text)
    assert columns is not None
    np.testing.assert_array_equal(columns.numbers, [[1, 1714521600, np.nan, 30600]])


@pytest.mark.parametrize("seen", ["yesterday", "2024-02-30", "", " "])
def test_invalid_datetime_is_left_to_validation(dated_signature, seen) -> None:
    row_types = RowTypes(dated_signature)
    row = {"size": 1, "seen": seen}
    assert fast_rows(row_types, row_types.object_row, json.dumps([row])) is None
    assert fast_columns(row_types, json.dumps({name: [v] for name, v in row.items()})) is None
    assert slow_rows(dated_signature, json.dumps([row])) is None


def test_single_datetime_becomes_a_column() -> None:
    row_types = RowTypes(Signature([Feature(name="seen", kind=Kind.DATETIME)], ["x"]))
    for got in (
        fast_rows(row_types, row_types.object_row, '[{"seen": "1970-01-02"}]'),
        fast_columns(row_types, '{"seen": ["1970-01-02"]}'),
    ):
        assert got is not None
        assert got.numbers.tolist() == [[86400]]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400, "1" + "0" * 309])
@pytest.mark.parametrize("name", ["age", "member", "color"])
def test_number_beyond_doubles_is_rejected_here_and_by_validation(
    mixed_signature, name, number
) -> None:
    row_types = RowTypes(mixed_signature)
    row = {"member": "true", "color": '"red"', "size/cm": "2"} | {name: number}
    pairs = ",".join(f'"{n}":{v}' for n, v in row.items())
    text = f"[{{{pairs}}}]"
    assert fast_rows(row_types, row_types.object_row, text) is None
    assert slow_rows(mixed_signature, text) is None


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_category_beyond_64_bits_is_left_to_validation(mixed_signature, number) -> None:
    row_types = RowTypes(mixed_signature)
    text = json.dumps([{"member": True, "color": number, "size/cm": 2}])
    assert fast_rows(row_types, row_types.object_row, text) is None
    slow = slow_rows(mixed_signature, text)
    assert slow is not None
    assert slow.categories[0, 0] == str(number)


def test_missing_null_and_blank_values_give_the_same(mixed_signature) -> None:
    row_types = RowTypes(mixed_signature)
    rows = (
        '[{"member":true,"color":"red","size/cm":2},'
        '{"age":null,"member":1,"color":" red ","size/cm":2.0,"shape":" "}]'
    )
    columns = fast_rows(row_types, row_types.object_row, rows)
    assert columns is not None
    np.testing.assert_array_equal(columns.numbers, [[np.nan, 1, 2]] * 2)
    assert columns.categories.tolist() == [["red", ""]] * 2


def test_blank_required_category_is_left_to_validation(mixed_signature) -> None:
    row_types = RowTypes(mixed_signature)
    text = '[{"member":true,"color":"red","size/cm":2},{"member":true,"color":" ","size/cm":2}]'
    assert fast_rows(row_types, row_types.object_row, text) is None
    columns = '{"member":[true],"color":[""],"size/cm":[2]}'
    assert fast_columns(row_types, columns) is None


def test_feature_names_need_not_be_identifiers() -> None:
    names = ["", "a b", "a/b", "~", "class", "f1", "ümläut", "日本", "'", "{x}", "a\u2028b"]
    signature = Signature([Feature(name=n, kind=Kind.NUMBER) for n in names], ["x"])
    row_types = RowTypes(signature)
    numbers = [float(i) for i in range(len(names))]
    row = json.dumps([dict(zip(names, numbers, strict=True))], ensure_ascii=False)
    columns = json.dumps({n: [v] for n, v in zip(names, numbers, strict=True)})
    for got in (
        fast_rows(row_types, row_types.object_row, row),
        fast_rows(row_types, row_types.array_row, json.dumps([numbers])),
        fast_columns(row_types, columns),
    ):
        assert got is not None
        assert got.numbers.tolist() == [numbers]


@pytest.mark.parametrize("kinds", [[Kind.NUMBER], [Kind.CATEGORY], [Kind.NUMBER, Kind.CATEGORY]])
def test_single_feature_of_a_kind_becomes_a_column(kinds) -> None:
    signature = Signature([Feature(name=kind.value, kind=kind) for kind in kinds], ["x"])
    row_types = RowTypes(signature)
    row = {kind.value: 1.5 if kind is Kind.NUMBER else "red" for kind in kinds}
    text = json.dumps([row, row])
    assert_same(fast_rows(row_types, row_types.object_row, text), slow_rows(signature, text))
    text = json.dumps({name: [value] * 2 for name, value in row.items()})
    assert_same(fast_columns(row_types, text), slow_columns(signature, text))


def test_body_without_columns_is_zero_rows_if_all_features_are_optional() -> None:
    signature = Signature([Feature(name="a", kind=Kind.NUMBER, required=False)], ["x"])
    for text in ("{}", '{"a":null}', '{"a":[]}'):
        fast = fast_columns(RowTypes(signature), text)
        assert fast is not None
        assert_same(fast, slow_columns(signature, text))


def test_rows_up_to_the_limit_are_accepted(mixed_signature) -> None:
    row_types = RowTypes(mixed_signature)
    row = row_types.object_row(f1=True, f2="red", f3=2.0)
    assert len(row_types.from_rows([row] * 7, 7) or ()) == 7
    columns = row_types.columns(f1=[True] * 7, f2=["red"] * 7, f3=[2.0] * 7)
    assert len(row_types.from_columns(columns, 7) or ()) == 7


def test_too_many_rows_are_rejected_before_any_is_read(mixed_signature) -> None:
    row_types = RowTypes(mixed_signature)
    unreadable: list[Any] = [object()] * 8  # without fields
    with pytest.raises(TooManyRows) as caught:
        row_types.from_rows(unreadable, 7)
    assert (caught.value.limit, caught.value.got) == (7, 8)
    columns = row_types.columns(f1=unreadable, f2=unreadable, f3=unreadable)
    with pytest.raises(TooManyRows):
        row_types.from_columns(columns, 7)


@pytest.mark.parametrize("name", ['the "height"', "a\\b", "a\nb", ""])
def test_name_with_escaped_characters_is_left_to_validation(name) -> None:
    signature = Signature([Feature(name=name, kind=Kind.NUMBER)], ["no", "yes"])
    row_types = RowTypes(signature)
    for text in (json.dumps([{name: 1.5}]), json.dumps([{name: "high"}])):
        fast = fast_rows(row_types, row_types.object_row, text)
        assert fast is None or name == ""
    assert columns_from_values(signature, [{name: 1.5}]).numbers.tolist() == [[1.5]]
    assert fast_rows(row_types, row_types.array_row, "[[1.5]]") is not None
