"""Numbers held as float64 block by block; everything else about a table stays the same."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pigeonhole.trainer.data.encoding import encode
from pigeonhole.trainer.data.preparation import prepare
from pigeonhole.trainer.data.table import Table, read_table
from pigeonhole.trainer.errors import TableError

NUMBERS = pa.float64()
TEXT = pa.string()

whole = st.integers(-1000, 1000).map(str)
fixed = st.integers(-(10**6), 10**6).map(lambda number: f"{number / 10_000:.4f}")
floats = st.floats(allow_nan=False, allow_infinity=False).map(repr)
other_numbers = st.sampled_from(["+1.50", "2.", ".5", "1E3", "-0", " 3.0 ", "1e999", "4e-400"])
codes = st.integers(0, 300).map(lambda number: f"{number:03}")
commas = st.integers(-(10**6), 10**6).map(lambda number: f"{number / 100:.2f}".replace(".", ","))
thousands = st.integers(1000, 9999).map(lambda number: f"{number / 1000:.3f}".replace(".", ","))
words = st.sampled_from(["red", "blue", "n.a.", "-", "inf", "-nan", "true", "1_000", "2020-01-31"])
missing = st.sampled_from(["", "NA", " nan "])
plain = [whole, fixed, floats, codes, commas, thousands]
"""Cells that most columns consist of."""

BLOCK_BYTES = 2**8


@st.composite
def columns(draw, rows: int) -> list[str]:
    """Return cells of one kind, with a few others anywhere or at the end."""
    typical = draw(st.sampled_from([*plain, words, st.integers(0, 1).map(str)]))
    cells = [draw(typical) for _ in range(rows)]
    others = draw(st.lists(st.one_of(words, missing, other_numbers, *plain), max_size=4))
    last = draw(st.booleans())
    for number, cell in enumerate(others, start=1):
        cells[-number if last else draw(st.integers(0, rows - 1))] = cell
    if draw(st.booleans()):
        cells.sort(key=len)  # then late blocks decide
    return cells


@st.composite
def tables(draw) -> str:
    """Return a CSV file of some columns and a target "y" with missing labels."""
    rows = draw(st.integers(20, 50))
    cells = [draw(columns(rows)) for _ in range(draw(st.integers(1, 4)))]
    labels = draw(st.sampled_from([["a", "b"], ["0", "1"], ["1.0", "2.50"], ["07", "7"]]))
    target = [labels[row % 2] for row in range(rows)]
    for row in draw(st.lists(st.integers(0, rows - 1), max_size=rows // 2)):
        target[row] = ""
    text = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(text, delimiter=draw(st.sampled_from([",", ";"])), quoting=quoting)
    writer.writerow([*(f"x{place}" for place in range(len(cells))), "y"])
    writer.writerows(zip(*cells, target, strict=True))
    return text.getvalue()


def outcome(table: Table) -> list:
    """Return schema, findings and examples of a table, or the error, in comparable form."""
    try:
        prepared = prepare(table, "y")
    except TableError as error:
        return [str(error)]
    examples = prepared.examples
    return [
        prepared.schema,
        prepared.findings,
        examples.numbers.tobytes(),
        examples.categories.tolist(),
        examples.labels.tolist(),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=tables())
def test_numbers_and_text_are_prepared_alike(write, text):
    path = write(text)
    assert outcome(read_table(path, ["y"], BLOCK_BYTES)) == outcome(read_table(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=tables(), other=tables())
def test_numbers_and_text_are_encoded_alike_by_another_schema(write, text, other):
    try:
        schema = prepare(read_table(write(text)), "y").schema
    except TableError:
        return
    path = write(other)

    def encoded(table: Table) -> list:
        try:
            found = encode(table, schema)
        except TableError as error:
            return [str(error)]
        examples = found.examples
        return [found.findings, examples.numbers.tobytes(), examples.categories.tolist()]

    # Not even the target is text: encode reads again the columns that it needs as text.
    assert encoded(read_table(path, [], BLOCK_BYTES)) == encoded(read_table(path))


def lines(*cells: str) -> str:
    """Return a CSV file of many blocks with the cells in column x, and a column y."""
    return "x,y\n" + "".join(f"{cell},{'ab'[row % 2]}\n" for row, cell in enumerate(cells))


DECIMALS = [f"{number / 100:.2f}" for number in range(1000)]


def read(path: Path, **kwargs) -> Table:
    return read_table(path, **({"as_text": ["y"], "block_bytes": BLOCK_BYTES} | kwargs))


def test_number_columns_are_held_as_float64_and_others_as_text(write):
    table = read(write("a;b;c;d;y\n" + "1.50;2,5;red;007;0\n" * 200))
    assert table.columns.schema.types == [NUMBERS, NUMBERS, TEXT, TEXT, TEXT]


def test_long_decimals_take_about_eight_bytes_per_cell(write):
    rng = np.random.default_rng(0)
    path = write(lines(*map(repr, rng.normal(size=2000).tolist())))
    assert read(path).columns.select(["x"]).nbytes < 9 * 2000
    assert read_table(path).columns.select(["x"]).nbytes > 20 * 2000


def test_gzip_file_gives_the_same_columns(write):
    plain, packed = write(lines(*DECIMALS)), write(gzip.compress(lines(*DECIMALS).encode()), "p.gz")
    assert read(packed).columns.equals(read(plain).columns)


def test_numbers_of_many_blocks_keep_order_and_missing_cells(write):
    cells = [cell if row % 7 else "" for row, cell in enumerate(DECIMALS)]
    values = read(write(lines(*cells))).columns["x"].to_pylist()
    assert values == [float(cell) if cell else None for cell in cells]


def test_text_in_a_late_block_makes_the_whole_column_text(write):
    column = read(write(lines(*DECIMALS, *["red"] * 500))).columns["x"]
    assert column.type == TEXT
    assert column.to_pylist() == [*DECIMALS, *["red"] * 500]


def test_code_in_a_late_block_makes_the_column_text(write):
    numbers = [str(number) for number in range(1, 1000)]
    assert read(write(lines(*numbers))).columns["x"].type == NUMBERS
    assert read(write(lines(*numbers, "007"))).columns["x"].to_pylist() == [*numbers, "007"]


def test_first_filled_block_decides_the_type_of_a_column(write):
    missing = [""] * 1000
    assert read(write(lines(*missing, "1.5", "2.5"))).columns["x"].type == NUMBERS
    assert read(write(lines(*missing, "1.5", "2.5"))).columns["x"].to_pylist()[998:] == [
        *(None, None),
        *(1.5, 2.5),
    ]
    assert read(write(lines(*missing, "red"))).columns["x"].to_pylist()[999:] == [None, "red"]


def test_words_among_numbers_are_cited_as_in_the_file(write):
    table = read(write(lines(*DECIMALS, "-", "+inf")))
    assert table.columns["x"].type == NUMBERS
    assert table.cite("x", np.array([1000, 1001])) == "- (row 1002), +inf (row 1003)"


@pytest.mark.parametrize("place", [0, 500, 999])
def test_numbers_are_cited_as_in_the_file(write, place):
    cited = read(write(lines(*DECIMALS))).cite("x", np.array([place]))
    assert cited == f"{DECIMALS[place]} (row {place + 2})"


def test_possible_thousands_separators_are_not_decimal_commas(write):
    many = "".join(f"1,{number};a\n" for number in range(100, 900))
    ambiguous, sure = read(write("x;y\n" + many)), read(write("x;y\n" + many + "1,5;b\n"))
    assert ambiguous.columns["x"].to_pylist()[:2] == ["1,100", "1,101"]
    assert ambiguous.findings == ()
    assert sure.columns["x"].to_pylist()[:2] == [1.1, 1.101]
    assert [(found.rule, found.column) for found in sure.findings] == [("decimal-comma", "x")]


def test_requested_columns_are_held_as_text(write):
    path = write("x,y,\n" + "1.50,2.0,3\n" * 200)
    assert read(path, as_text=["x", "column_3"]).columns.schema.types == [TEXT, NUMBERS, TEXT]


def test_number_column_is_converted_to_the_text_of_the_file(write):
    table = read(write(lines(*DECIMALS))).filter(np.arange(1000) % 2 == 0)
    assert table.with_text(["x"]).columns["x"].to_pylist() == DECIMALS[::2]
    assert table.with_text(["x", "y"]).columns.schema.types == [TEXT, TEXT]


def test_filter_that_leaves_too_many_words_makes_a_column_text(write):
    table = read(write(lines(*DECIMALS, *["-"] * 10)))
    assert table.columns["x"].type == NUMBERS
    assert table.filter(np.arange(1010) >= 900).columns["x"].type == TEXT
    assert table.filter(np.arange(1010) >= 1).columns["x"].type == NUMBERS


def test_file_that_changed_since_the_first_reading_is_rejected(write):
    table = read(write(lines(*DECIMALS)))
    write(lines(*DECIMALS[1:]))
    with pytest.raises(TableError, match="changed while it was read"):
        table.with_text(["x"])


def test_ragged_row_in_a_late_block_is_rejected_with_its_number(write):
    with pytest.raises(TableError, match="expected 2 cells") as caught:
        read(write(lines(*DECIMALS) + "1,2,3\n"))
    assert caught.value.row == 1002
