"""CSV bodies: what a cell means, and what is said of text that is no table."""

from __future__ import annotations

import time

import msgspec
import pytest

from service.errors import InvalidRequest, InvalidRows, TooManyRows, UnreadableBody
from service.model.signature import Feature, Kind, Signature
from service.web.csv_rows import MISSING, read_csv


def requiring(signature: Signature, *names: str) -> Signature:
    """The same signature, of which only these features are required."""
    features = [msgspec.structs.replace(f, required=f.name in names) for f in signature.features]
    return Signature(features, signature.classes)


@pytest.fixture
def mixed_signature(mixed_signature) -> Signature:
    """Every kind of feature, none of them required, so that a text need not hold them all."""
    return requiring(mixed_signature)


def test_cells_become_values_by_the_kind_of_their_feature(mixed_signature) -> None:
    text = "age,member,color,size/cm,shape\n1.5,True,1.5,-2e1,round\n"
    assert read_csv(text, mixed_signature) == [
        {
            "age": 1.5,
            "member": True,
            "color": "1.5",
            "size/cm": -20.0,
            "shape": "round",
        }
    ]


def test_quoted_cells_may_hold_commas_quotes_and_line_breaks(mixed_signature) -> None:
    text = '"color",shape\r\n"a, ""b""\r\nc",d\r\n'
    assert read_csv(text, mixed_signature) == [{"color": 'a, "b"\r\nc', "shape": "d"}]


@pytest.mark.parametrize("cell", [*sorted(MISSING), "NA", "NaN", " N/A ", "NULL"])
@pytest.mark.parametrize("feature", ["age", "member", "shape"])
def test_a_missing_token_is_a_missing_value(mixed_signature, cell: str, feature: str) -> None:
    text = f'{feature},color\n"{cell}",red\n'
    assert read_csv(text, mixed_signature) == [{feature: None, "color": "red"}]


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "inf", "Infinity", "1,5", "1.5cm", "--1", "1e", "e5", ".", "\u0663"]
)
def test_what_is_no_plain_number_stays_text_to_be_refused(mixed_signature, cell: str) -> None:
    assert read_csv(f'age\n"{cell}"\n', mixed_signature) == [{"age": cell}]


@pytest.mark.parametrize("cell", ["1", "+1", "1.", "1.0", ".1e1", "0.1E+1", "10e-1"])
def test_numbers_are_read_however_they_are_written(mixed_signature, cell: str) -> None:
    assert read_csv(f"age\n{cell}\n", mixed_signature) == [{"age": 1.0}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\r\n", "is empty"),
        ("age,shape,age\n", "names 'age' twice"),
        ("age, age\n", "names 'age' twice"),
        ("age,shape\n1\n", "row 0 has 1 cells, the header has 2"),
        ("age,shape\n1,2\n1,2,3\n", "row 1 has 3 cells, the header has 2"),
    ],
)
def test_a_table_that_does_not_add_up_is_refused(mixed_signature, text, message) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_csv(text, mixed_signature)


def test_a_nameless_column_is_called_by_its_place() -> None:
    signature = Signature([Feature(name="column_2", kind=Kind.NUMBER)], ["no", "yes"])
    assert read_csv('""\n1\n', Signature([Feature(name="column_1", kind=Kind.NUMBER)], ["a"]))
    with pytest.raises(InvalidRows) as caught:
        read_csv(",\n1,2\n", signature)
    (problem,) = caught.value.problems
    assert (problem.feature, problem.expected) == ("column_1", "a known feature")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_finds_the_features(mixed_signature, delimiter: str) -> None:
    text = delimiter.join(("age", "shape")) + "\n" + delimiter.join(("1.5", "round")) + "\n"
    assert read_csv(text, mixed_signature) == [{"age": 1.5, "shape": "round"}]


@pytest.mark.parametrize("rows", ["", "1,2,red\n", "1,2,red\n" * 50])
def test_a_wrong_header_is_told_once_and_without_rows_too(mixed_signature, rows: str) -> None:
    signature = requiring(mixed_signature, "age", "member", "color", "size/cm")
    with pytest.raises(InvalidRows) as caught:
        read_csv("ago,member,price\n" + rows, signature)
    told = [(p.feature, p.expected, p.did_you_mean) for p in caught.value.problems]
    assert told == [
        ("color", "a column of this name", None),
        ("size/cm", "a column of this name", None),
        ("ago", "a known feature", "age"),
        ("price", "a known feature", None),
    ]


@pytest.mark.parametrize("text", ['age\n"1', 'age\n"1"2\n', "age\n" + "1" * 1_000_001])
def test_broken_quotes_and_endless_cells_are_unreadable(mixed_signature, text: str) -> None:
    with pytest.raises(UnreadableBody, match="not CSV, line 2"):
        read_csv(text, mixed_signature)


def test_rows_are_counted_to_the_end_but_kept_only_to_the_limit(mixed_signature) -> None:
    with pytest.raises(TooManyRows) as caught:
        read_csv("age\n" + "1\n\n" * 1000, mixed_signature, max_rows=10)
    assert (caught.value.limit, caught.value.got) == (10, 1000)
    assert len(read_csv("age\n" + "1\n" * 10, mixed_signature, max_rows=10)) == 10


def test_a_header_of_very_many_names_takes_no_longer_for_each(mixed_signature) -> None:
    text = ",".join(f"c{i}" for i in range(200_000))
    started = time.perf_counter()
    with pytest.raises(InvalidRows):
        read_csv(text, mixed_signature)
    # Comparing each name with each took several minutes.
    assert time.perf_counter() - started < 10


def test_datetimes_stay_text_and_may_be_missing(dated_signature) -> None:
    text = "size,seen,paid,opens\n1,2024-05-01,01/05/2024 09:00,n/a\n1,2024,1e3,8\n"
    assert read_csv(text, dated_signature) == [
        {"size": 1.0, "seen": "2024-05-01", "paid": "01/05/2024 09:00", "opens": None},
        {"size": 1.0, "seen": "2024", "paid": "1e3", "opens": "8"},
    ]


def test_decimal_commas_are_read_where_semicolons_stand_between_the_cells(mixed_signature) -> None:
    assert read_csv("age;shape\n1,5;1,5\n", mixed_signature) == [{"age": 1.5, "shape": "1,5"}]
    assert read_csv('age,shape\n"1,5",round\n', mixed_signature) == [
        {"age": "1,5", "shape": "round"}
    ]
