import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pigeonhole.trainer.data.cells.text import MISSING
from pigeonhole.trainer.data.table import Table, read_table
from pigeonhole.trainer.errors import TableError


def cells(table: Table) -> dict[str, list]:
    return table.columns.to_pydict()


EXPECTED = {"name": ["Ann", "Bob"], "size": ["1.50", "007"]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_delimiter_is_detected(write, delimiter):
    text = "name,size\nAnn,1.50\nBob,007\n".replace(",", delimiter)
    assert cells(read_table(write(text))) == EXPECTED


def test_delimiter_splits_every_row_alike(write):
    path = write('name;"height, cm";x\nAnn;1,5;2\nBob;2;3\n')
    assert read_table(path).names == ["name", "height, cm", "x"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbfname,size\nAnn,1.50\nBob,007\n", id="byte order mark"),
        pytest.param(b"name,size\r\nAnn,1.50\r\nBob,007\r\n", id="CRLF"),
        pytest.param(b"name,size\nAnn,1.50\nBob,007", id="no last line end"),
        pytest.param(b"name,size\n\nAnn,1.50\n\nBob,007\n\n", id="blank lines"),
        pytest.param(b" name , size \n Ann, 1.50\nBob ,007 \n", id="blanks around cells"),
        pytest.param(b'"name","size"\n"Ann","1.50"\n"Bob","007"\n', id="quotes"),
        pytest.param(gzip.compress(b"name,size\nAnn,1.50\nBob,007\n"), id="gzip"),
    ],
)
def test_layout_of_the_file_does_not_change_the_cells(write, content):
    assert cells(read_table(write(content))) == EXPECTED


def test_file_with_the_ending_gz_is_read(write):
    path = write(gzip.compress(b"name,size\nAnn,1.50\nBob,007\n"), "table.csv.gz")
    assert cells(read_table(path)) == EXPECTED


def test_quoted_cell_may_have_delimiters_quotes_and_line_breaks(write):
    path = write('a,b\n"x, ""y""\nz",1\nw,2\n')
    assert cells(read_table(path)) == {"a": ['x, "y"\nz', "w"], "b": ["1", "2"]}


def test_cell_beyond_the_limit_of_the_csv_module_is_read(write):
    long = "x" * (csv.field_size_limit() + 1)
    assert cells(read_table(write(f"a,b\n{long},2\n")))["a"] == [long]


@pytest.mark.parametrize("token", [*MISSING, *(token.upper() for token in MISSING), " na "])
def test_missing_tokens_are_null_in_any_case(write, token):
    assert cells(read_table(write(f"a,b\n{token},1\n")))["a"] == [None]


def test_words_that_contain_a_missing_token_are_not_missing(write):
    assert cells(read_table(write("a,b\nNASA,nah\n"))) == {"a": ["NASA"], "b": ["nah"]}


def test_header_of_csv_is_row_1(write):
    assert read_table(write("a,b\n1,2\n3,4\n")).row_numbers.tolist() == [2, 3]


def test_unnamed_column_is_named_by_position_and_reported(write):
    table = read_table(write(",column_1,\n1,2,3\n"))
    assert table.names == ["column_1_", "column_1", "column_3"]
    assert [finding.rule for finding in table.findings] == ["unnamed", "unnamed"]
    assert "'column_3'" in table.findings[1].text


def rejection(path) -> TableError:
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_absent_file_is_rejected(tmp_path):
    assert "does not exist" in str(rejection(tmp_path / "nowhere.csv"))


def test_folder_is_rejected(tmp_path):
    assert "is a folder" in str(rejection(tmp_path))


def test_file_that_cannot_be_opened_is_rejected(write):
    assert "can't be opened" in str(rejection(write("a,b\n1,2\n") / "below"))


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b" \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)]
)
def test_empty_file_is_rejected(write, content):
    assert "empty" in str(rejection(write(content)))


def test_header_without_rows_is_rejected(write):
    assert "no rows" in str(rejection(write("a,b\n")))


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_ragged_row_is_rejected_with_its_number_and_both_counts(write, name):
    text = b'a,b,c\n1,2,3\n\n"x\ny",2,3\n1,2\n1,2,3\n'
    error = rejection(write(gzip.compress(text) if name.endswith("gz") else text, name))
    assert error.row == 4
    assert "expected 3 cells, as in the header, found 2" in str(error)


def test_open_quote_is_suggested_as_the_cause_of_a_ragged_row(write):
    error = rejection(write('a,b\n1,2\n"3,4\n5,6\n7,8\n'))
    assert error.row == 3
    assert "found 1: check for an open quote" in str(error)


def test_open_quote_in_a_long_file_is_found(write):
    error = rejection(write('a,b\n1,2\n"3,4\n' + "5,6\n" * 200_000))
    assert error.row == 3
    assert "check for an open quote" in str(error)


@pytest.mark.parametrize("rows", ['3,"4\n5,6\n7,8\n', '3,"4\n5,6', '3,"4\r5,6\r\r'])
def test_open_quote_in_the_last_column_is_rejected(write, rows):
    error = rejection(write("a,b\n1,2\n" + rows))
    assert error.row == 3
    assert "never closed" in str(error)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n\n"])
def test_last_cell_of_a_file_may_have_a_line_break(write, ending):
    assert cells(read_table(write('a,b\n1,"x\ny"' + ending)))["b"] == ["x\ny"]


def test_bytes_that_are_not_utf8_are_rejected_with_row_and_byte(write):
    error = rejection(write("a,b\n1,2\ncafé,3\n".encode("latin-1")))
    assert error.row == 3
    assert "0xE9 is not UTF-8" in str(error)


def test_utf16_is_rejected(write):
    assert "not UTF-8" in str(rejection(write("a,b\n1,2\n".encode("utf-16"))))


def test_two_columns_with_one_name_are_rejected(write):
    error = rejection(write("a,b, a\n1,2,3\n"))
    assert error.column == "a"
    assert "2 columns have this name" in str(error)


PACKED = gzip.compress(b"a,b\n" + b"".join(b"%d,2\n" % n for n in range(500_000)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PACKED[: len(PACKED) // 4], id="cut short"),
        pytest.param(PACKED[:-4], id="cut at its end"),
        pytest.param(PACKED[:5000] + bytes(200) + PACKED[5200:], id="overwritten at its start"),
        pytest.param(PACKED[:-9000] + bytes(200) + PACKED[-8800:], id="overwritten near its end"),
        pytest.param(b"a,b\n1,2\n", id="not packed at all"),
    ],
)
def test_damaged_gzip_file_is_rejected(write, content):
    assert "can't be read" in str(rejection(write(content, "table.csv.gz")))


def test_excel_workbook_is_rejected_with_advice(write):
    assert "save the sheet as CSV" in str(rejection(write(b"PK\x03\x04....", "table.xlsx")))


def words() -> st.SearchStrategy[str]:
    characters = st.one_of(
        st.sampled_from(",;\t|\"\n\r '#aé0"), st.characters(exclude_categories=["Cs"])
    )
    return st.text(characters, max_size=8)


def read_as(word: str) -> str | None:
    stripped = word.strip()
    return None if stripped.lower() in MISSING else stripped


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(words(), words(), words()), min_size=1, max_size=8))
def test_any_table_written_as_csv_reads_back(tmp_path, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("first", "second", "third"), *rows])
    path = tmp_path / "table.csv"
    path.write_bytes(text.getvalue().encode())
    expected = [tuple(read_as(word) for word in row) for row in rows]
    assert list(zip(*cells(read_table(path)).values(), strict=True)) == expected


def parquet(tmp_path, **columns):
    path = tmp_path / "table.data"  # detected by its content
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_columns_keep_their_types(tmp_path):
    columns = {
        "whole": pa.array([1, None, 3], pa.int32()),
        "real": pa.array([1.5, None, 2.0]),
        "truth": pa.array([True, None, False]),
        "time": pa.array([0, None, 2], pa.timestamp("ms")),
        "list": pa.array([[1], None, [2]]),
    }
    table = read_table(parquet(tmp_path, **columns))
    assert table.columns.schema.types == [column.type for column in columns.values()]
    assert cells(table) == {name: column.to_pylist() for name, column in columns.items()}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_parquet_text_is_trimmed_and_has_missing_tokens(tmp_path, kind):
    table = read_table(parquet(tmp_path, text=pa.array([" Ann", "n/a", None], kind)))
    assert table.columns["text"].to_pylist() == ["Ann", None, None]


def test_parquet_dictionary_is_decoded(tmp_path):
    column = pa.array(["b", "NA", "b", None]).dictionary_encode()
    table = read_table(parquet(tmp_path, text=column))
    assert table.columns["text"].type == pa.string()
    assert table.columns["text"].to_pylist() == ["b", None, "b", None]


def test_parquet_nan_is_missing(tmp_path):
    table = read_table(parquet(tmp_path, real=pa.array([np.nan, 1.0])))
    assert table.columns["real"].to_pylist() == [None, 1.0]


def test_parquet_names_with_dots_are_not_struct_fields(tmp_path):
    columns = {
        "a.b": pa.array([1, 2]),
        "a": pa.array([{"b": 3}, {"b": 4}]),
        "b.c": pa.array(["x", "y"]),
        "b": pa.array([0.5, 1.5]),
    }
    read = cells(read_table(parquet(tmp_path, **columns)))
    assert read == {name: column.to_pylist() for name, column in columns.items()}


def test_two_parquet_columns_with_one_name_are_rejected(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    assert rejection(path).column == "a"


def test_first_row_of_parquet_is_row_1(tmp_path):
    assert read_table(parquet(tmp_path, a=[5, 6])).row_numbers.tolist() == [1, 2]


def test_parquet_file_without_rows_is_rejected(tmp_path):
    assert "no rows" in str(rejection(parquet(tmp_path, a=pa.array([], pa.int64()))))


def test_parquet_file_damaged_in_the_middle_is_rejected(tmp_path):
    path = parquet(tmp_path, a=pa.array(range(10_000)))
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    assert "Parquet file is damaged" in str(rejection(path))


def test_damaged_parquet_file_is_rejected(write):
    assert "Parquet file is damaged" in str(rejection(write(b"PAR1" + b"garbage" * 30)))


def test_file_named_parquet_with_other_content_is_rejected(write):
    assert "the content is not Parquet" in str(rejection(write("a,b\n1,2\n", "table.parquet")))


def test_semicolon_files_may_have_decimal_commas(tmp_path):
    path = tmp_path / "werte.csv"
    path.write_text("a;b;c;d\n1,5;1,500;x,y;3\n-2;2,250;1,5;4\n;3,125;z;5\n")
    table = read_table(path)
    assert table.column("a").to_pylist() == ["1.5", "-2", None]
    assert table.column("b").to_pylist() == [
        "1,500",
        "2,250",
        "3,125",
    ]  # may be thousands separators
    assert table.column("c").to_pylist() == ["x,y", "1,5", "z"]
    assert table.column("d").to_pylist() == ["3", "4", "5"]
    assert [(f.rule, f.column) for f in table.findings] == [("decimal-comma", "a")]


def test_decimal_commas_are_reported_by_the_final_column_name(write):
    table = read_table(write(" a ;\n1,5;2,5\n"))
    assert [found.column for found in table.findings][:2] == ["a", "column_2"] == table.names


def test_quoted_commas_in_a_comma_file_are_not_decimal_commas(tmp_path):
    path = tmp_path / "values.csv"
    path.write_text('a,b\n"1,5",2\n"2,5",3\n')
    assert read_table(path).column("a").to_pylist() == ["1,5", "2,5"]
