"""CSV bodies: what a cell means, and what is said of text that is no table."""

from __future__ import annotations

import csv
import io
import math
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pigeonhole.service.errors import InvalidRequest, InvalidRows, TooManyRows, UnreadableBody
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.model.validation import columns_from_values
from pigeonhole.service.web.rows.csv_format import MISSING, NUMBER, read_csv, lacks_header


def requiring(signature: Signature, *names: str) -> Signature:
    """The same signature, of which only these features are required."""
    features = [msgspec.structs.replace(f, required=f.name in names) for f in signature.features]
    return Signature(features, signature.classes)


@pytest.fixture
def mixed_signature(mixed_signature) -> Signature:
    """Every kind of feature, none of them required, so that a text need not hold them all."""
    return requiring(mixed_signature)


def read(text: str, signature: Signature, **options: Any) -> list[dict[str, Any]]:
    """The rows of a text by feature, without what is missing."""
    columns = read_csv(text, signature, **options)
    rows = []
    for numbers, categories in zip(columns.numbers, columns.categories, strict=True):
        by_name = dict(zip([f.name for f in signature.numbers], numbers, strict=True))
        there = {name: float(value) for name, value in by_name.items() if not math.isnan(value)}
        texts = dict(zip([f.name for f in signature.categories], categories, strict=True))
        rows.append(there | {name: text for name, text in texts.items() if text})
    return rows


def test_cells_become_values_by_the_kind_of_their_feature(mixed_signature) -> None:
    text = "age,member,color,size/cm,shape\n1.5,True,1.5,-2e1,round\n"
    assert read(text, mixed_signature) == [
        {"age": 1.5, "member": 1.0, "color": "1.5", "size/cm": -20.0, "shape": "round"}
    ]


def test_quoted_cells_may_hold_commas_quotes_and_line_breaks(mixed_signature) -> None:
    text = '"color",shape\r\n"a, ""b""\r\nc",d\r\n'
    assert read(text, mixed_signature) == [{"color": 'a, "b"\r\nc', "shape": "d"}]


@pytest.mark.parametrize("cell", [*sorted(MISSING), "NA", "NaN", " N/A ", "NULL"])
@pytest.mark.parametrize("feature", ["age", "member", "shape"])
def test_a_missing_token_is_a_missing_value(mixed_signature, cell: str, feature: str) -> None:
    text = f'{feature},color\n"{cell}",red\n'
    assert read(text, mixed_signature) == [{"color": "red"}]


@pytest.mark.parametrize("cell", ["", "NA", " "])
def test_a_missing_value_is_refused_where_it_is_required(mixed_signature, cell: str) -> None:
    signature = requiring(mixed_signature, "age", "color")
    with pytest.raises(InvalidRows) as caught:
        read_csv(f"age,color\n1,red\n{cell},{cell}\n", signature)
    told = [(p.row, p.feature, p.expected, p.got) for p in caught.value.problems]
    assert told == [(1, "age", "number", "null"), (1, "color", "text", "null")]


@pytest.mark.parametrize(
    "cell",
    [
        *("1_000", "0x10", "inf", "Infinity", "1,5", "1.5cm", "--1", "1e", "e5", ".", "\u0663"),
        *("1,2", "[1]", '""1""', "true", "1 2", "{}"),
    ],
)
def test_what_is_no_plain_number_is_refused_as_the_text_that_it_is(
    mixed_signature, cell: str
) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv(f'age,color\n7,red\n"{cell}",red\n', mixed_signature)
    (problem,) = caught.value.problems
    text = cell.replace('""', '\\"')
    assert (problem.row, problem.expected, problem.got) == (1, "number", f'string "{text}"')


def test_a_number_beyond_doubles_is_refused_as_such(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv("age\n1\n1e400\n", mixed_signature)
    (problem,) = caught.value.problems
    assert problem.expected == "number within the range of doubles"


@pytest.mark.parametrize("cell", ["1", "+1", "1.", "1.0", ".1e1", "0.1E+1", "10e-1", "01"])
def test_numbers_are_read_however_they_are_written(mixed_signature, cell: str) -> None:
    assert read(f"age\n{cell}\n", mixed_signature) == [{"age": 1.0}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\r\n", "is empty"),
        ("age,shape,age\n", "names 'age' twice"),
        ("age, age\n", "names 'age' twice"),
        ("age,shape\n" + "," * 100_001, "more than 100000 cells"),
    ],
)
def test_a_table_that_does_not_add_up_is_refused(mixed_signature, text, message) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_csv(text, mixed_signature)


def test_every_row_of_more_or_fewer_cells_is_named(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as refused:
        read_csv("age,shape\n1\n1,2\n1,2,3\n", mixed_signature)
    said = [(problem.row, problem.expected, problem.got) for problem in refused.value.problems]
    assert said == [(0, "2 values: age, shape", "1 value"), (2, "2 values: age, shape", "3 values")]
    with pytest.raises(InvalidRows) as refused:
        read_csv("age,shape\n" + "1\n" * 100, mixed_signature)
    assert refused.value.truncated


def test_a_nameless_column_is_called_by_its_place() -> None:
    signature = Signature([Feature(name="column_2", kind=Kind.NUMBER)], ["no", "yes"])
    first = Signature([Feature(name="column_1", kind=Kind.NUMBER)], ["a"])
    assert read('""\n1\n', first) == [{"column_1": 1.0}]
    with pytest.raises(InvalidRows) as caught:
        read_csv(",\n1,2\n", signature)
    (problem,) = caught.value.problems
    assert (problem.feature, problem.expected) == ("column_1", "a known feature")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("before", ["", "\n\r\n"])
def test_the_delimiter_is_the_one_that_finds_the_features(
    mixed_signature, delimiter: str, before: str
) -> None:
    text = delimiter.join(("age", "shape")) + "\n" + delimiter.join(("1.5", "round")) + "\n"
    assert read(before + text, mixed_signature) == [{"age": 1.5, "shape": "round"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_without_a_header_cells_stand_in_signature_order(mixed_signature, delimiter: str) -> None:
    rows = ["30", "1", "red", "2.5", "a;b,c|d"], ["", "0", "blue", "1e1", "NA"]
    lines = io.StringIO()
    csv.writer(lines, delimiter=delimiter).writerows(rows)
    assert read(lines.getvalue(), mixed_signature, has_header=False) == [
        {"age": 30.0, "member": 1.0, "color": "red", "size/cm": 2.5, "shape": "a;b,c|d"},
        {"member": 0.0, "color": "blue", "size/cm": 10.0},
    ]


def test_without_a_header_every_line_has_as_many_cells_as_there_are_features(
    mixed_signature,
) -> None:
    with pytest.raises(InvalidRows) as refused:
        read_csv("1,1,red,1,x\n1,1\n", mixed_signature, has_header=False)
    (problem,) = refused.value.problems
    assert (problem.row, problem.got) == (1, "2 values")
    assert problem.expected == "5 values: age, member, color, size/cm, shape"
    assert len(read_csv("", mixed_signature, has_header=False)) == 0


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
    with pytest.raises(UnreadableBody, match="not CSV: line 2"):
        read_csv(text, mixed_signature)


def test_rows_are_counted_to_the_end_but_kept_only_to_the_limit(mixed_signature) -> None:
    with pytest.raises(TooManyRows) as caught:
        read_csv("age\n" + "1\n\n" * 1000, mixed_signature, max_rows=10)
    assert (caught.value.limit, caught.value.got) == (10, 1000)
    assert len(read_csv("age\n" + "1\n" * 10, mixed_signature, max_rows=10)) == 10


@pytest.mark.parametrize("first", ["171.3,66.7", "1,1", "red,round", ",", "x;y;z", "x"])
def test_a_first_line_that_names_nothing_is_told_how_rows_are_sent(first: str) -> None:
    features = [Feature(name=name, kind=Kind.NUMBER) for name in ("height_cm", "weight_kg")]
    with pytest.raises(InvalidRequest, match="text/csv; header=absent"):
        read_csv(f"{first}\n172,95\n", Signature(features, ["x", "y"]))


@pytest.mark.parametrize("header", ["hieght_cm,q", "height_cm,q", "Height_CM,Weight_KG"])
def test_a_header_with_mistakes_is_told_what_may_be_meant(header: str) -> None:
    features = [Feature(name=name, kind=Kind.NUMBER) for name in ("height_cm", "weight_kg")]
    signature = Signature(features, ["x", "y"])
    assert not lacks_header(header if header != "hieght_cm,q" else f"{header},", signature)
    with pytest.raises(InvalidRows):
        read_csv(f"{header}\n172,95\n", signature)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        *(("red,round", True), ("red;round", True), ("'red',", True), ('"a,b",c', True)),
        *(("\r\nred,round\r\nblue,flat", True), (",", True), ("1,2", True)),
        *(("color,round", False), (" Shape ,red", False), ("color;shape", False), ("", False)),
        *(("red", False), ("red,round,big", False), ("shape", False), ("a\tcolor\tb", False)),
        ("x" * 2_000_000, False),
    ],
)
def test_a_row_has_as_many_cells_as_features_and_names_none(first: str, expected: bool) -> None:
    features = [Feature(name=name, kind=Kind.CATEGORY) for name in ("color", "shape")]
    assert lacks_header(first, Signature(features, ["x", "y"])) is expected


def test_a_header_of_very_many_names_takes_no_longer_for_each(mixed_signature) -> None:
    text = "color," + ",".join(f"c{i}" for i in range(90_000))
    started = time.perf_counter()
    with pytest.raises(InvalidRows):
        read_csv(text, mixed_signature)
    # Comparing each name with each took several minutes.
    assert time.perf_counter() - started < 10


def test_datetimes_are_read_and_may_be_missing(dated_signature) -> None:
    text = "size,seen,paid,opens\n1,2024-05-01,01/05/2024 09:00,n/a\n1, 2024-05-02 ,,8:30\n"
    assert read(text, dated_signature) == [
        {"size": 1.0, "seen": 1714521600.0, "paid": 1714554000.0},
        {"size": 1.0, "seen": 1714608000.0, "opens": 30600.0},
    ]


def test_decimal_commas_are_read_where_semicolons_stand_between_the_cells(mixed_signature) -> None:
    assert read("age;shape\n1,5;1,5\n", mixed_signature) == [{"age": 1.5, "shape": "1,5"}]
    with pytest.raises(InvalidRows):
        read_csv('age,shape\n"1,5",round\n', mixed_signature)


CELLS = (
    st.text(max_size=4)
    | st.floats().map(repr)
    | st.integers().map(str)
    | st.from_regex(NUMBER, fullmatch=True)
    | st.sampled_from(sorted(MISSING))
    | st.sampled_from(
        ["red", "true", "FALSE", "0", "1", "1_0", "-0", "1e400", " 7 ", "1,5", "[", "1]"]
    )
)


def plain(feature: Feature, cell: str) -> Any:
    """What a cell means by the contract, read by itself."""
    cell = cell.strip()
    if cell.lower() in ("", "?", "na", "n/a", "nan", "none", "null"):
        return None
    if feature.kind is Kind.NUMBER:
        is_number = re.fullmatch(r"[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?", cell)
        is_integer_zero = set(cell) <= set("+-0")
        return (0.0 if is_integer_zero else float(cell)) if is_number else cell
    if feature.kind is Kind.BOOLEAN and cell.lower() in ("true", "false", "0", "1"):
        return cell.lower() in ("true", "1")
    return cell


@pytest.fixture(scope="module")
def strict_signature() -> Signature:
    """One feature of each kind that is required, and a number that is not."""
    return Signature(
        [
            Feature(name="n", kind=Kind.NUMBER),
            Feature(name="m", kind=Kind.NUMBER, required=False),
            Feature(name="b", kind=Kind.BOOLEAN, required=False),
            Feature(name="c", kind=Kind.CATEGORY),
        ],
        ["no", "yes"],
    )


@example(rows=[("-0", "", "", "0")])
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=6)
    | st.lists(st.tuples(*[st.sampled_from(["1", "2.5", "+3", "", "NA", "0"])] * 4), max_size=6)
)
def test_columns_hold_and_refuse_what_the_same_rows_do_one_by_one(strict_signature, rows) -> None:
    lines = io.StringIO()
    csv.writer(lines, quoting=csv.QUOTE_ALL).writerows([["n", "m", "b", "c"], *rows])
    features = strict_signature.features
    values = [
        {f.name: plain(f, cell) for f, cell in zip(features, row, strict=True)} for row in rows
    ]

    def told(read: Callable[[], Columns]) -> Any:
        try:
            columns = read()
        except InvalidRows as refused:
            return str(refused), refused.problems
        return columns.numbers.tobytes(), columns.categories.tolist()

    assert told(lambda: read_csv(lines.getvalue(), strict_signature)) == told(
        lambda: columns_from_values(strict_signature, values)
    )
