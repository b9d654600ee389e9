"""Real tables: the kinds of their columns, the columns left out, and the findings."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pigeonhole.trainer.data.preparation import PreparedTable, prepare
from pigeonhole.trainer.data.schema import Kind
from pigeonhole.trainer.data.table import read_table

FOLDER = Path(
    os.environ.get("PIGEONHOLE_TABLES", Path(__file__).resolve().parents[4] / "shared" / "data")
)

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the real tables are not here; PIGEONHOLE_TABLES names their folder"
)


@dataclass(frozen=True)
class Expected:
    target: str
    rows: int
    numbers: int
    booleans: int = 0
    categories: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    outliers: tuple[str, ...] = ()


EXPECTED = {
    "adult": Expected(
        "income",
        rows=48842,
        numbers=6,
        categories=8,
        outliers=("fnlwgt", "capital_gain", "capital_loss", "hours_per_week"),
    ),
    "bdims": Expected("sex", rows=507, numbers=24),
    "davis": Expected("sex", rows=200, numbers=4, outliers=("height",)),
    "heart": Expected(
        "AHD", rows=303, numbers=11, categories=2, left_out={"column_1": "identifier"}
    ),
    "mushroom": Expected(
        "class", rows=8124, numbers=0, categories=21, left_out={"veil-type": "constant"}
    ),
    "nhanes_2015_2016": Expected(
        "RIAGENDR",
        rows=5735,
        numbers=26,
        left_out={"SEQN": "identifier"},
        outliers=("ALQ130", "DMDMARTL", "WTINT2YR"),
    ),
    "pendigits": Expected("class", rows=10992, numbers=16),
    "penguins": Expected("species", rows=344, numbers=5, categories=2),
    "skin": Expected("skin", rows=245057, numbers=3),
    "telco_churn": Expected("churn", rows=7043, numbers=9, categories=10),
    "titanic": Expected(
        "Survived",
        rows=891,
        numbers=5,
        categories=2,
        left_out={
            "PassengerId": "identifier",
            "Name": "identifier",
            "Ticket": "many-levels",
            "Cabin": "many-levels",
        },
        outliers=("Fare",),
    ),
    "zoo": Expected("type", rows=101, numbers=1, booleans=15, left_out={"animal": "identifier"}),
}

LEFT_OUT = {"type", "date", "empty", "constant", "identifier", "free-text", "many-levels"}


def prepared(name: str) -> PreparedTable:
    return prepare(read_table(FOLDER / f"{name}.csv"), EXPECTED[name].target)


@pytest.mark.parametrize("name", EXPECTED)
def test_real_table_is_inferred_as_expected(name):
    expected, result = EXPECTED[name], prepared(name)
    kinds = [feature.kind for feature in result.schema.features]
    assert len(result.examples) == expected.rows
    assert kinds.count(Kind.NUMBER) == expected.numbers
    assert kinds.count(Kind.BOOLEAN) == expected.booleans
    assert kinds.count(Kind.CATEGORY) == expected.categories
    left_out = {found.column: found.rule for found in result.findings if found.rule in LEFT_OUT}
    assert left_out == expected.left_out
    outliers = tuple(found.column for found in result.findings if found.rule == "outlier")
    assert outliers == expected.outliers


def test_swapped_height_and_weight_are_reported():
    assert any("57 (row 13)" in finding.text for finding in prepared("davis").findings)


def test_classes_are_sorted_and_named_as_in_the_file():
    assert prepared("adult").schema.classes == ("<=50K", ">50K")
    assert prepared("pendigits").schema.classes == tuple("0123456789")


def test_missing_cells_of_real_table_are_counted():
    texts = [found.text for found in prepared("titanic").findings if found.rule == "missing"]
    assert texts == ["179 cells missing in 179 rows of 891: 'Age' 177, 'Embarked' 2."]


@pytest.mark.parametrize("name", ["heart", "zoo", "titanic"])
def test_column_without_missing_cells_is_required(name):
    table, result = read_table(FOLDER / f"{name}.csv"), prepared(name)
    for feature in result.schema.features:
        assert feature.required == (table.columns[feature.name].null_count == 0)
