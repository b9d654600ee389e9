"""CSV bodies: values of cells, headers, delimiters, and errors for text that is not a table."""

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
from pigeonhole.service.web.rows.csv_format import MISSING, NUMBER, lacks_header, read_csv


def requiring(signature: Signature, *names: str) -> Signature:
    """Return the signature with only these features required."""
    features = [msgspec.structs.replace(f, required=f.name in names) for f in signature.features]
    return Signature(features, signature.classes)


@pytest.fixture
def mixed_signature(mixed_signature) -> Signature:
    """Return a signature with optional features of every kind."""
    return requiring(mixed_signature)


def read(text: str, signature: Signature, **options: Any) -> list[dict[str, Any]]:
    """Return the rows of a text by feature name, without missing values."""
    columns = read_csv(text, signature, **options)
    rows = []
    for numbers, categories in zip(columns.numbers, columns.categories, strict=True):
        by_name = dict(zip([f.name for f in signature.numbers], numbers, strict=True))
        present = {name: float(value) for name, value in by_name.items() if not math.isnan(value)}
        texts = dict(zip([f.name for f in signature.categories], categories, strict=True))
        rows.append(present | {name: text for name, text in texts.items() if text})
    return rows


# Cells.


def test_cells_are_parsed_by_the_kind_of_their_feature(mixed_signature) -> None:
    text = "age,member,color,size/cm,shape\n1.5,True,1.5,-2e1,round\n"
    assert read(text, mixed_signature) == [
        {"age": 1.5, "member": 1.0, "color": "1.5", "size/cm": -20.0, "shape": "round"}
    ]


def test_quoted_cells_may_hold_commas_quotes_and_line_breaks(mixed_signature) -> None:
    text = '"color",shape\r\n"a, ""b""\r\nc",d\r\n'
    assert read(text, mixed_signature) == [{"color": 'a, "b"\r\nc', "shape": "d"}]


@pytest.mark.parametrize("cell", [*sorted(MISSING), "NA", "NaN", " N/A ", "NULL"])
@pytest.mark.parametrize("feature", ["age", "member", "shape"])
def test_missing_token_is_a_missing_value(mixed_signature, cell: str, feature: str) -> None:
    text = f'{feature},color\n"{cell}",red\n'
    assert read(text, mixed_signature) == [{"color": "red"}]


@pytest.mark.parametrize("cell", ["", "NA", " "])
def test_missing_value_of_a_required_feature_is_rejected(mixed_signature, cell: str) -> None:
    signature = requiring(mixed_signature, "age", "color")
    with pytest.raises(InvalidRows) as caught:
        read_csv(f"age,color\n1,red\n{cell},{cell}\n", signature)
    problems = [(p.row, p.feature, p.expected, p.got) for p in caught.value.problems]
    assert problems == [(1, "age", "number", "null"), (1, "color", "text", "null")]


@pytest.mark.parametrize(
    "cell",
    [
        *("1_000", "0x10", "inf", "Infinity", "1,5", "1.5cm", "--1", "1e", "e5", ".", "\u0663"),
        *("1,2", "[1]", '""1""', "true", "1 2", "{}"),
    ],
)
def test_cell_that_is_not_a_plain_number_is_rejected_with_its_text(
    mixed_signature, cell: str
) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv(f'age,color\n7,red\n"{cell}",red\n', mixed_signature)
    (problem,) = caught.value.problems
    text = cell.replace('""', '\\"')
    assert (problem.row, problem.expected, problem.got) == (1, "number", f'string "{text}"')


def test_number_beyond_the_range_of_doubles_is_rejected(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv("age\n1\n1e400\n", mixed_signature)
    (problem,) = caught.value.problems
    assert problem.expected == "number within the range of doubles"


@pytest.mark.parametrize("cell", ["1", "+1", "1.", "1.0", ".1e1", "0.1E+1", "10e-1", "01"])
def test_every_notation_of_a_number_is_accepted(mixed_signature, cell: str) -> None:
    assert read(f"age\n{cell}\n", mixed_signature) == [{"age": 1.0}]


@pytest.mark.parametrize("other", ["1", "+1", "NA"])
@pytest.mark.parametrize(("cell", "sign"), [("-0", 1.0), ("-00", 1.0), ("-0.0", -1.0), ("0", 1.0)])
def test_only_a_decimal_zero_has_a_sign(mixed_signature, cell: str, sign: float, other) -> None:
    # As in JSON, whichever of the two parsers reads the column.
    numbers = read_csv(f"age\n{cell}\n{other}\n", mixed_signature).numbers
    assert math.copysign(1, numbers[0, 0]) == sign


def test_datetimes_are_parsed_and_may_be_missing(dated_signature) -> None:
    text = "size,seen,paid,opens\n1,2024-05-01,01/05/2024 09:00,n/a\n1, 2024-05-02 ,,8:30\n"
    assert read(text, dated_signature) == [
        {"size": 1.0, "seen": 1714521600.0, "paid": 1714554000.0},
        {"size": 1.0, "seen": 1714608000.0, "opens": 30600.0},
    ]


def test_decimal_commas_are_accepted_between_semicolons(mixed_signature) -> None:
    assert read("age;shape\n1,5;1,5\n", mixed_signature) == [{"age": 1.5, "shape": "1,5"}]


def test_decimal_commas_are_rejected_between_commas(mixed_signature) -> None:
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


def parse(feature: Feature, cell: str) -> Any:
    """Return a cell's value by the contract, implemented independently."""
    cell = cell.strip()
    if cell.lower() in ("", "?", "na", "n/a", "nan", "none", "null"):
        return None
    if feature.kind is Kind.NUMBER:
        if not re.fullmatch(r"[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?", cell):
            return cell
        return 0 if set(cell) <= set("-+0") else float(cell)  # a whole zero has no sign
    if feature.kind is Kind.BOOLEAN and cell.lower() in ("true", "false", "0", "1"):
        return cell.lower() in ("true", "1")
    return cell


@pytest.fixture(scope="module")
def strict_signature() -> Signature:
    """Return a signature with required and optional features."""
    return Signature(
        [
            Feature(name="n", kind=Kind.NUMBER),
            Feature(name="m", kind=Kind.NUMBER, required=False),
            Feature(name="b", kind=Kind.BOOLEAN, required=False),
            Feature(name="c", kind=Kind.CATEGORY),
        ],
        ["no", "yes"],
    )


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=6)
    | st.lists(st.tuples(*[st.sampled_from(["1", "2.5", "+3", "", "NA", "0"])] * 4), max_size=6)
)
@example(rows=[("-0", "", "", "0")])
@example(rows=[("-0", "+1", "", "0"), ("+1", "-0", "", "0")])
def test_columns_match_the_same_rows_parsed_one_by_one(strict_signature, rows) -> None:
    lines = io.StringIO()
    csv.writer(lines, quoting=csv.QUOTE_ALL).writerows([["n", "m", "b", "c"], *rows])
    features = strict_signature.features
    values = [
        {f.name: parse(f, cell) for f, cell in zip(features, row, strict=True)} for row in rows
    ]

    def outcome(read_rows: Callable[[], Columns]) -> Any:
        try:
            columns = read_rows()
        except InvalidRows as error:
            return str(error), error.problems
        return columns.numbers.tobytes(), columns.categories.tolist()

    assert outcome(lambda: read_csv(lines.getvalue(), strict_signature)) == outcome(
        lambda: columns_from_values(strict_signature, values)
    )


# Tables.


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
def test_malformed_table_is_rejected(mixed_signature, text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_csv(text, mixed_signature)


def test_every_row_of_a_wrong_length_is_reported(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv("age,shape\n1\n1,2\n1,2,3\n", mixed_signature)
    problems = [(problem.row, problem.expected, problem.got) for problem in caught.value.problems]
    assert problems == [
        (0, "2 values: age, shape", "1 value"),
        (2, "2 values: age, shape", "3 values"),
    ]


def test_report_of_rows_of_a_wrong_length_is_truncated(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv("age,shape\n" + "1\n" * 100, mixed_signature)
    assert caught.value.truncated


@pytest.mark.parametrize("text", ['age\n"1', 'age\n"1"2\n', "age\n" + "1" * 1_000_001])
def test_broken_quotes_and_very_long_cells_are_unreadable(mixed_signature, text: str) -> None:
    with pytest.raises(UnreadableBody, match="not CSV: line 2"):
        read_csv(text, mixed_signature)


def test_rows_beyond_the_limit_are_counted(mixed_signature) -> None:
    with pytest.raises(TooManyRows) as caught:
        read_csv("age\n" + "1\n\n" * 1000, mixed_signature, max_rows=10)
    assert (caught.value.limit, caught.value.got) == (10, 1000)
    assert len(read_csv("age\n" + "1\n" * 10, mixed_signature, max_rows=10)) == 10


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("before", ["", "\n\r\n"])
def test_delimiter_is_detected_by_the_feature_names(
    mixed_signature, delimiter: str, before: str
) -> None:
    text = delimiter.join(("age", "shape")) + "\n" + delimiter.join(("1.5", "round")) + "\n"
    assert read(before + text, mixed_signature) == [{"age": 1.5, "shape": "round"}]


# Headers.


def test_column_without_a_name_gets_its_number() -> None:
    signature = Signature([Feature(name="column_1", kind=Kind.NUMBER)], ["a"])
    assert read('""\n1\n', signature) == [{"column_1": 1.0}]


def test_unknown_column_without_a_name_is_reported_by_its_number() -> None:
    signature = Signature([Feature(name="column_2", kind=Kind.NUMBER)], ["no", "yes"])
    with pytest.raises(InvalidRows) as caught:
        read_csv(",\n1,2\n", signature)
    (problem,) = caught.value.problems
    assert (problem.feature, problem.expected) == ("column_1", "a known feature")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_without_a_header_are_in_signature_order(mixed_signature, delimiter: str) -> None:
    rows = ["30", "1", "red", "2.5", "a;b,c|d"], ["", "0", "blue", "1e1", "NA"]
    lines = io.StringIO()
    csv.writer(lines, delimiter=delimiter).writerows(rows)
    assert read(lines.getvalue(), mixed_signature, has_header=False) == [
        {"age": 30.0, "member": 1.0, "color": "red", "size/cm": 2.5, "shape": "a;b,c|d"},
        {"member": 0.0, "color": "blue", "size/cm": 10.0},
    ]


def test_row_without_a_header_needs_a_cell_for_each_feature(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_csv("1,1,red,1,x\n1,1\n", mixed_signature, has_header=False)
    (problem,) = caught.value.problems
    assert (problem.row, problem.got) == (1, "2 values")
    assert problem.expected == "5 values: age, member, color, size/cm, shape"
    assert len(read_csv("", mixed_signature, has_header=False)) == 0


@pytest.mark.parametrize("rows", ["", "1,2,red\n", "1,2,red\n" * 50])
def test_wrong_header_is_reported_once(mixed_signature, rows: str) -> None:
    signature = requiring(mixed_signature, "age", "member", "color", "size/cm")
    with pytest.raises(InvalidRows) as caught:
        read_csv("ago,member,price\n" + rows, signature)
    problems = [(p.feature, p.expected, p.did_you_mean) for p in caught.value.problems]
    assert problems == [
        ("color", "a column of this name", None),
        ("size/cm", "a column of this name", None),
        ("ago", "a known feature", "age"),
        ("price", "a known feature", None),
    ]


@pytest.mark.parametrize("first", ["171.3,66.7", "1,1", "red,round", ",", "x;y;z", "x"])
def test_error_about_a_first_line_without_names_shows_the_content_type_to_set(first: str) -> None:
    features = [Feature(name=name, kind=Kind.NUMBER) for name in ("height_cm", "weight_kg")]
    with pytest.raises(InvalidRequest, match="text/csv; header=absent"):
        read_csv(f"{first}\n172,95\n", Signature(features, ["x", "y"]))


@pytest.mark.parametrize("header", ["hieght_cm,q", "height_cm,q", "Height_CM,Weight_KG"])
def test_misspelled_header_is_not_taken_for_a_row(header: str) -> None:
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
def test_row_has_a_cell_for_each_feature_and_names_none(first: str, expected: bool) -> None:
    features = [Feature(name=name, kind=Kind.CATEGORY) for name in ("color", "shape")]
    assert lacks_header(first, Signature(features, ["x", "y"])) is expected


def test_header_of_very_many_names_is_rejected_fast(mixed_signature) -> None:
    text = "color," + ",".join(f"c{i}" for i in range(90_000))
    started = time.perf_counter()
    with pytest.raises(InvalidRows):
        read_csv(text, mixed_signature)
    # Comparing each name with each feature took several minutes.
    assert time.perf_counter() - started < 10
