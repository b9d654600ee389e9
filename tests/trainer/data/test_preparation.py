import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pigeonhole.trainer.data.encoding import encode
from pigeonhole.trainer.data.preparation import clean
from pigeonhole.trainer.data.schema import Feature, Kind
from pigeonhole.trainer.data.table import read_table
from pigeonhole.trainer.errors import TableError

CSV = """\
,height,color,tame,animal,empty
1,1.5,red,true,cat,
2,2.5,,false,dog,
3,oops,blue,true,cat,
4,inf,red,false,dog,
5,1.5,red,true,,
"""


@pytest.fixture
def pets(write):
    rows = [CSV, *(f"{i},{i % 7 + 0.5},red,true,cat,\n" for i in range(6, 60))]
    return read_table(write("".join(rows)))


def test_a_table_becomes_a_schema_and_examples(pets):
    cleaned = clean(pets, "animal")
    assert cleaned.schema.features == (
        Feature("height", Kind.NUMBER, required=False),
        Feature("color", Kind.CATEGORY, required=False),
        Feature("tame", Kind.BOOLEAN, required=True),
    )
    assert cleaned.schema.classes == ("cat", "dog")
    np.testing.assert_array_equal(
        cleaned.examples.numbers[:4], [[1.5, 1], [2.5, 0], [np.nan, 1], [np.nan, 0]]
    )
    assert cleaned.examples.categories[:4, 0].tolist() == ["red", "", "blue", "red"]
    assert cleaned.examples.labels[:4].tolist() == [0, 1, 0, 1]


def test_every_finding_is_reported_in_the_order_of_the_work(pets):
    assert [finding.rule for finding in clean(pets, "animal").findings] == [
        "unnamed",
        "unlabeled",
        "imbalance",
        "identifier",
        "empty",
        "unparsable",
        "infinite",
        "missing",
        "duplicate",
    ]


def test_dropped_columns_leave_no_trace(pets):
    cleaned = clean(pets, "animal", drop=["column_1", "color"])
    assert [feature.name for feature in cleaned.schema.features] == ["height", "tame"]
    assert "identifier" not in {finding.rule for finding in cleaned.findings}


def test_a_table_encoded_by_its_own_schema_gives_the_same_examples(pets):
    cleaned = clean(pets, "animal")
    again = encode(pets, cleaned.schema).examples
    np.testing.assert_array_equal(again.numbers, cleaned.examples.numbers)
    np.testing.assert_array_equal(again.categories, cleaned.examples.categories)
    np.testing.assert_array_equal(again.labels, cleaned.examples.labels)


def test_a_target_that_is_not_there_is_refused_with_a_suggestion(pets):
    with pytest.raises(TableError, match="did you mean 'animal'") as caught:
        clean(pets, "Animals")
    assert caught.value.column == "Animals"


def test_a_target_like_no_column_is_refused_with_the_columns_there_are(pets):
    with pytest.raises(TableError, match="the columns are column_1, height, color"):
        clean(pets, "zzzzzz")


def test_a_column_to_drop_that_is_not_there_is_refused(pets):
    with pytest.raises(TableError, match="did you mean 'height'"):
        clean(pets, "animal", drop=["heigth"])


def test_a_target_that_is_dropped_is_refused(pets):
    with pytest.raises(TableError, match="the target can't be dropped"):
        clean(pets, "animal", drop=["animal"])


def test_dates_become_seconds_by_their_own_format(table):
    data = table(
        iso=["2024-05-01", "2024-05-02T12:00", "", "soon"],
        local=["31.12.2023", "01.01.2024", "2.1.2024", "2024-01-03"],
        typed=pa.array([dt.date(1970, 1, 2), None, dt.date(1970, 1, 3), dt.date(1970, 1, 1)]),
        y=["a", "b"] * 2,
    )
    kinds = {"iso": Kind.DATETIME, "local": Kind.DATETIME}
    cleaned = clean(data, "y", kinds=kinds)
    assert cleaned.schema.features == (
        Feature("iso", Kind.DATETIME, required=False),
        Feature("local", Kind.DATETIME, required=True, format="%d.%m.%Y"),
        Feature("typed", Kind.DATETIME, required=False),
    )
    days = cleaned.examples.numbers / 86_400 - [[19_844, 19_722, 0]]
    np.testing.assert_array_equal(
        days, [[0, 0, 1], [1.5, 1, np.nan], [np.nan, 2, 2], [np.nan, 3, 0]]
    )
    assert any("no datetime: soon (row 5)" in finding.text for finding in cleaned.findings)
    again = encode(data, cleaned.schema).examples
    np.testing.assert_array_equal(again.numbers, cleaned.examples.numbers)


def test_a_column_is_read_as_the_kind_that_is_given(write):
    rows = [f"{i % 10:03},{'unknown' if i % 4 == 0 else i % 8},{'ab'[i % 2]}" for i in range(40)]
    table = read_table(write("\n".join(["code,size,y", *rows])))
    plain = clean(table, "y").schema.features
    assert [feature.kind for feature in plain] == [Kind.CATEGORY, Kind.CATEGORY]
    cleaned = clean(table, "y", kinds={"code": Kind.NUMBER, "size": Kind.NUMBER})
    assert cleaned.schema.features == (
        Feature("code", Kind.NUMBER, required=True),
        Feature("size", Kind.NUMBER, required=False),
    )
    np.testing.assert_array_equal(
        cleaned.examples.numbers[:4], [[0, np.nan], [1, 1], [2, 2], [3, 3]]
    )


def test_numbers_given_as_categories_are_spelled_as_in_the_file(write):
    rows = [f"{'07' if i % 2 else '7'},{'ab'[i % 2]}" for i in range(40)]
    table = read_table(write("\n".join(["code,y", *rows])), as_text=["y"])
    cleaned = clean(table, "y", kinds={"code": Kind.CATEGORY})
    assert cleaned.examples.categories[:2, 0].tolist() == ["7", "07"]


def test_classes_are_spelled_as_in_the_file_even_if_they_are_held_as_numbers(write):
    rows = [f"{i % 9},{'1.0' if i % 2 else '2.50'}" for i in range(40)]
    table = read_table(write("\n".join(["x,y", *rows])), as_text=[])
    assert clean(table, "y").schema.classes == ("1.0", "2.50")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.NUMBER, "plain decimal numbers are expected, but 59 of 59 filled cells are none: red (row 2)"),
        (Kind.BOOLEAN, "true and false are expected"),
        (Kind.DATETIME, r"dates or times such as 2024-05-01T13:45, all in one spelling, are expected"),
    ],
)  # fmt: skip
def test_cells_that_dont_fit_the_kind_that_is_given_are_refused(write, kind, expected):
    table = read_table(write("c,x,y\n" + "red,1,a\nblue,2,b\n" * 29 + "red,3,a\n"))
    with pytest.raises(TableError) as caught:
        clean(table, "y", kinds={"c": kind})
    assert expected in str(caught.value)
    assert caught.value.column == "c"


def test_a_type_that_doesnt_fit_the_kind_that_is_given_is_refused(table):
    days = pa.array([dt.date(2020, 1, 1), dt.date(2020, 1, 2)] * 2)
    with pytest.raises(TableError, match=r"its type is date32.*values of kind category"):
        clean(table(x=days, y=["a", "b"] * 2), "y", kinds={"x": Kind.CATEGORY})
    with pytest.raises(TableError, match="its type is int64, and values of kind datetime"):
        clean(table(x=pa.array([1, 2] * 2), y=["a", "b"] * 2), "y", kinds={"x": Kind.DATETIME})


def test_a_kind_given_to_no_column_is_refused(pets):
    with pytest.raises(TableError, match="did you mean 'height'"):
        clean(pets, "animal", kinds={"heigth": Kind.NUMBER})
    with pytest.raises(TableError, match="it can't be a number: it is the target"):
        clean(pets, "animal", kinds={"animal": Kind.NUMBER})
    with pytest.raises(TableError, match="it can't be a number: it is dropped"):
        clean(pets, "animal", ["height"], {"height": Kind.NUMBER})


def test_a_table_with_no_column_to_learn_from_is_refused_with_the_reasons(table):
    with pytest.raises(TableError, match=r"no column is left.*every row has the same value, 5"):
        clean(table(x=["5"] * 4, y=["a", "b"] * 2), "y")


def test_a_table_of_nothing_but_its_target_is_refused(table):
    with pytest.raises(TableError, match="no column is left to learn from"):
        clean(table(y=["a", "b"] * 2), "y")


def test_a_million_cells_are_cleaned_in_a_second_or_two(write):
    rng = np.random.default_rng(0)
    rows = "\n".join(",".join(row) for row in rng.normal(size=(50_000, 20)).astype("U8"))
    labels = rng.choice(["a", "b"], 50_000)
    header = ",".join([*(f"x{i}" for i in range(20)), "y"])
    lines = [f"{row},{label}" for row, label in zip(rows.split("\n"), labels, strict=True)]
    cleaned = clean(read_table(write("\n".join([header, *lines]))), "y")
    assert cleaned.examples.numbers.shape == (50_000, 20)
