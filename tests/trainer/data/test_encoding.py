import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pigeonhole.trainer.data.encoding import encode
from pigeonhole.trainer.data.schema import Feature, Kind, Schema
from pigeonhole.trainer.errors import TableError

SCHEMA = Schema(
    features=(
        Feature("color", Kind.CATEGORY, required=False),
        Feature("size", Kind.NUMBER, required=True),
        Feature("tame", Kind.BOOLEAN, required=True),
    ),
    target="animal",
    classes=("cat", "dog"),
)


@pytest.fixture
def animals(table):
    """Return a function that makes a table of two animals, with some columns replaced."""

    def make(**columns):
        default = {
            "tame": ["true", "FALSE"],
            "animal": ["dog", "cat"],
            "size": ["40", "25.5"],
            "color": ["brown", ""],
        }
        return table(**(default | columns))

    return make


def test_columns_follow_the_order_of_the_schema(animals):
    examples = encode(animals(), SCHEMA).examples
    assert examples.numbers.dtype == np.float64
    assert examples.numbers.tolist() == [[40, 1], [25.5, 0]]
    assert examples.categories.tolist() == [["brown"], [""]]
    assert examples.labels.tolist() == [1, 0]
    assert examples.labels.dtype == np.int64


def test_columns_outside_the_schema_are_ignored(animals):
    assert len(encode(animals(other=["x", "y"]), SCHEMA).examples) == 2


def test_unseen_categories_stay_text(animals):
    examples = encode(animals(color=["mauve", "teal"]), SCHEMA).examples
    assert examples.categories.tolist() == [["mauve"], ["teal"]]


def test_typed_columns_are_encoded_like_their_text(animals):
    table = animals(
        color=pa.array([3.0, None]),
        size=pa.array([40, None], pa.int64()),
        tame=pa.array([True, False]),
    )
    examples = encode(table, SCHEMA).examples
    np.testing.assert_array_equal(examples.numbers, [[40, 1], [np.nan, 0]])
    assert examples.categories.tolist() == [["3"], [""]]


def test_cells_that_are_not_numbers_are_missing_and_cited(animals):
    encoded = encode(animals(size=["40 cm", "25"]), SCHEMA)
    assert np.isnan(encoded.examples.numbers[0, 0])
    assert encoded.findings[0].rule == "unparsable"
    assert "'size': 1 cell is not a number and counts as missing" in encoded.findings[0].text
    assert "40 cm (row 2)" in encoded.findings[0].text


def test_cells_other_than_true_and_false_are_missing(animals):
    encoded = encode(animals(tame=["1", "true"]), SCHEMA)
    assert np.isnan(encoded.examples.numbers[0, 1])
    assert "is not a boolean and counts as missing: 1 (row 2)" in encoded.findings[0].text


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_infinite_numbers_are_missing_and_cited(animals, cell):
    encoded = encode(animals(size=["1", cell]), SCHEMA)
    assert np.isnan(encoded.examples.numbers[1, 0])
    assert encoded.findings[0].rule == "infinite"
    assert f"{cell} (row 3)" in encoded.findings[0].text


@pytest.mark.parametrize("cell", ["nan(1)", "-nan", "0x10", "1_000", "1d5", "one"])
def test_text_that_only_some_parsers_accept_is_not_a_number(animals, cell):
    encoded = encode(animals(size=["1", cell]), SCHEMA)
    assert np.isnan(encoded.examples.numbers[1, 0])
    assert encoded.findings[0].rule == "unparsable"


def test_at_most_three_cells_are_cited(table):
    schema = Schema((Feature("x", Kind.NUMBER, required=True),), "y", ("a", "b"))
    encoded = encode(table(x=["no"] * 1200, y=["a", "b"] * 600), schema)
    assert "1,200 cells" in encoded.findings[0].text
    assert "no (row 2), no (row 3), no (row 4) and 1,197 more" in encoded.findings[0].text


def test_rows_with_a_label_keep_their_row_numbers(animals):
    encoded = encode(animals(animal=["", "cat"], size=["1", "big"]), SCHEMA)
    assert len(encoded.examples) == 1
    assert [finding.rule for finding in encoded.findings] == ["unlabeled", "unparsable"]
    assert "big (row 3)" in encoded.findings[1].text


def test_table_without_a_column_is_rejected_with_a_suggestion(animals):
    table = animals(Size=["1", "2"])
    without = type(table).from_columns("table.csv", table.columns.drop_columns(["size"]))
    with pytest.raises(TableError, match="did you mean 'Size'") as caught:
        encode(without, SCHEMA)
    assert caught.value.column == "size"


def test_unknown_label_is_rejected_with_its_row(animals):
    with pytest.raises(
        TableError, match="the label 'llama' is unknown, expected one of 'cat', 'dog'"
    ) as caught:
        encode(animals(animal=["cat", "llama"]), SCHEMA)
    assert caught.value.column == "animal"
    assert caught.value.row == 3


def test_unreadable_column_type_is_rejected(animals):
    with pytest.raises(TableError, match="expected values of kind number"):
        encode(animals(size=pa.array([dt.date(2020, 1, 1)] * 2)), SCHEMA)


def test_examples_are_taken_by_index_and_by_mask(animals):
    examples = encode(animals(), SCHEMA).examples
    assert examples.take(np.array([1])).labels.tolist() == [0]
    assert examples.take(np.array([True, False])).categories.tolist() == [["brown"]]
    assert examples.take(np.array([1, 1, 0])).numbers[:, 0].tolist() == [25.5, 25.5, 40]
