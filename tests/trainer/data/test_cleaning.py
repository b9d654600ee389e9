import numpy as np
import pytest

from trainer.data.cleaning import clean
from trainer.data.encoding import encode
from trainer.data.schema import Feature, Kind
from trainer.data.table import read_table
from trainer.errors import TableError

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
