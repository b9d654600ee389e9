import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pigeonhole.trainer.data.encoding import encode
from pigeonhole.trainer.data.preparation import prepare
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


def test_table_becomes_schema_and_examples(pets):
    prepared = prepare(pets, "animal")
    assert prepared.schema.features == (
        Feature("height", Kind.NUMBER, required=False),
        Feature("color", Kind.CATEGORY, required=False),
        Feature("tame", Kind.BOOLEAN, required=True),
    )
    assert prepared.schema.classes == ("cat", "dog")
    np.testing.assert_array_equal(
        prepared.examples.numbers[:4], [[1.5, 1], [2.5, 0], [np.nan, 1], [np.nan, 0]]
    )
    assert prepared.examples.categories[:4, 0].tolist() == ["red", "", "blue", "red"]
    assert prepared.examples.labels[:4].tolist() == [0, 1, 0, 1]


def test_findings_follow_the_order_of_the_steps(pets):
    assert [finding.rule for finding in prepare(pets, "animal").findings] == [
        "unnamed",
        "unlabeled",
        "identifier",
        "empty",
        "unparsable",
        "infinite",
        "imbalance",
        "missing",
        "duplicate",
    ]


def test_dropped_columns_give_no_features_and_findings(pets):
    prepared = prepare(pets, "animal", drop=["column_1", "color"])
    assert [feature.name for feature in prepared.schema.features] == ["height", "tame"]
    assert "identifier" not in {finding.rule for finding in prepared.findings}


def test_encoding_a_table_by_its_own_schema_gives_the_same_examples(pets):
    prepared = prepare(pets, "animal")
    again = encode(pets, prepared.schema).examples
    np.testing.assert_array_equal(again.numbers, prepared.examples.numbers)
    np.testing.assert_array_equal(again.categories, prepared.examples.categories)
    np.testing.assert_array_equal(again.labels, prepared.examples.labels)


def test_absent_target_is_rejected_with_a_suggestion(pets):
    with pytest.raises(TableError, match="did you mean 'animal'") as caught:
        prepare(pets, "Animals")
    assert caught.value.column == "Animals"


def test_absent_target_without_a_similar_column_is_rejected_with_the_columns(pets):
    with pytest.raises(TableError, match="the columns are column_1, height, color"):
        prepare(pets, "zzzzzz")


def test_absent_column_to_drop_is_rejected(pets):
    with pytest.raises(TableError, match="did you mean 'height'"):
        prepare(pets, "animal", drop=["heigth"])


def test_dropped_target_is_rejected(pets):
    with pytest.raises(TableError, match="the target can't be dropped"):
        prepare(pets, "animal", drop=["animal"])


def test_dates_are_encoded_as_seconds_by_their_format(table):
    data = table(
        iso=["2024-05-01", "2024-05-02T12:00", "", "soon"],
        local=["31.12.2023", "01.01.2024", "2.1.2024", "2024-01-03"],
        typed=pa.array([dt.date(1970, 1, 2), None, dt.date(1970, 1, 3), dt.date(1970, 1, 1)]),
        y=["a", "b"] * 2,
    )
    kinds = {"iso": Kind.DATETIME, "local": Kind.DATETIME}
    prepared = prepare(data, "y", kinds=kinds)
    assert prepared.schema.features == (
        Feature("iso", Kind.DATETIME, required=False),
        Feature("local", Kind.DATETIME, required=True, format="%d.%m.%Y"),
        Feature("typed", Kind.DATETIME, required=False),
    )
    days = prepared.examples.numbers / 86_400 - [[19_844, 19_722, 0]]
    np.testing.assert_array_equal(
        days, [[0, 0, 1], [1.5, 1, np.nan], [np.nan, 2, 2], [np.nan, 3, 0]]
    )
    assert any(
        "is not a datetime and counts as missing: soon (row 5)" in finding.text
        for finding in prepared.findings
    )
    again = encode(data, prepared.schema).examples
    np.testing.assert_array_equal(again.numbers, prepared.examples.numbers)


def test_column_has_the_kind_that_the_user_set(write):
    rows = [f"{i % 10:03},{'unknown' if i % 4 == 0 else i % 8},{'ab'[i % 2]}" for i in range(40)]
    table = read_table(write("\n".join(["code,size,y", *rows])))
    plain = prepare(table, "y").schema.features
    assert [feature.kind for feature in plain] == [Kind.CATEGORY, Kind.CATEGORY]
    prepared = prepare(table, "y", kinds={"code": Kind.NUMBER, "size": Kind.NUMBER})
    assert prepared.schema.features == (
        Feature("code", Kind.NUMBER, required=True),
        Feature("size", Kind.NUMBER, required=False),
    )
    np.testing.assert_array_equal(
        prepared.examples.numbers[:4], [[0, np.nan], [1, 1], [2, 2], [3, 3]]
    )


def test_numbers_set_as_categories_keep_the_text_of_the_file(write):
    rows = [f"{'07' if i % 2 else '7'},{'ab'[i % 2]}" for i in range(40)]
    table = read_table(write("\n".join(["code,y", *rows])), as_text=["y"])
    prepared = prepare(table, "y", kinds={"code": Kind.CATEGORY})
    assert prepared.examples.categories[:2, 0].tolist() == ["7", "07"]


def test_classes_held_as_numbers_keep_the_text_of_the_file(write):
    rows = [f"{i % 9},{'1.0' if i % 2 else '2.50'}" for i in range(40)]
    table = read_table(write("\n".join(["x,y", *rows])), as_text=[])
    assert prepare(table, "y").schema.classes == ("1.0", "2.50")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.NUMBER, "expected plain decimal numbers, but 59 of 59 filled cells are not: red (row 2)"),
        (Kind.BOOLEAN, "expected true and false"),
        (Kind.DATETIME, r"expected dates or times in one format, such as 2024-05-01T13:45"),
    ],
)  # fmt: skip
def test_cells_that_do_not_fit_a_set_kind_are_rejected(write, kind, expected):
    table = read_table(write("c,x,y\n" + "red,1,a\nblue,2,b\n" * 29 + "red,3,a\n"))
    with pytest.raises(TableError) as caught:
        prepare(table, "y", kinds={"c": kind})
    assert expected in str(caught.value)
    assert caught.value.column == "c"


def test_type_that_does_not_fit_a_set_kind_is_rejected(table):
    days = pa.array([dt.date(2020, 1, 1), dt.date(2020, 1, 2)] * 2)
    with pytest.raises(TableError, match=r"the type is date32.*values of kind category"):
        prepare(table(x=days, y=["a", "b"] * 2), "y", kinds={"x": Kind.CATEGORY})
    with pytest.raises(TableError, match="the type is int64, expected values of kind datetime"):
        prepare(table(x=pa.array([1, 2] * 2), y=["a", "b"] * 2), "y", kinds={"x": Kind.DATETIME})


def test_kind_of_an_absent_column_is_rejected_with_a_suggestion(pets):
    with pytest.raises(TableError, match="did you mean 'height'"):
        prepare(pets, "animal", kinds={"heigth": Kind.NUMBER})


def test_kind_of_the_target_is_rejected(pets):
    with pytest.raises(TableError, match="can't be set to number, because the target"):
        prepare(pets, "animal", kinds={"animal": Kind.NUMBER})


def test_kind_of_a_dropped_column_is_rejected(pets):
    with pytest.raises(TableError, match="can't be set to number, because the column is dropped"):
        prepare(pets, "animal", ["height"], {"height": Kind.NUMBER})


def test_table_without_a_usable_column_is_rejected_with_the_reasons(table):
    with pytest.raises(TableError, match=r"no column is left.*every row has the same value, 5"):
        prepare(table(x=["5"] * 4, y=["a", "b"] * 2), "y")


def test_table_of_only_the_target_is_rejected(table):
    with pytest.raises(TableError, match="no column is left to learn from"):
        prepare(table(y=["a", "b"] * 2), "y")


def test_table_of_a_million_cells_is_prepared(write):
    rng = np.random.default_rng(0)
    rows = "\n".join(",".join(row) for row in rng.normal(size=(50_000, 20)).astype("U8"))
    labels = rng.choice(["a", "b"], 50_000)
    header = ",".join([*(f"x{i}" for i in range(20)), "y"])
    lines = [f"{row},{label}" for row, label in zip(rows.split("\n"), labels, strict=True)]
    prepared = prepare(read_table(write("\n".join([header, *lines]))), "y")
    assert prepared.examples.numbers.shape == (50_000, 20)
