"""Bodies in the .npy format: types, orders and shapes of arrays, and hostile headers."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.errors import (
    InvalidRequest,
    InvalidRows,
    RequestError,
    TooManyRows,
    UnreadableBody,
)
from pigeonhole.service.model.signature import Feature, Kind, Signature
from pigeonhole.service.web.rows.npy_format import read_npy


@pytest.fixture(scope="module")
def numeric() -> Signature:
    """Return a signature of two numbers, the second optional, and a boolean."""
    return Signature(
        [
            Feature(name="a", kind=Kind.NUMBER),
            Feature(name="b", kind=Kind.NUMBER, required=False),
            Feature(name="c", kind=Kind.BOOLEAN),
        ],
        ["no", "yes"],
    )


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asanyarray(array), version, allow_pickle=True)
    return content.getvalue()


def with_header(header: str, values: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("utf-8")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + values


TYPES = [
    "f2",
    "f4",
    "f8",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    ">f4",
    ">f8",
    ">i4",
    ">u2",
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_every_type_and_order_are_accepted(numeric, dtype, order) -> None:
    array = np.array([[1, 2, 0], [3, 4, 1]], dtype, order=order)
    columns = read_npy(npy(array), numeric, 10)
    assert columns.numbers.tolist() == [[1, 2, 0], [3, 4, 1]]
    assert columns.numbers.dtype == np.float64
    assert columns.categories.shape == (2, 0)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_format_version_is_accepted(numeric, version) -> None:
    assert len(read_npy(npy([[1.0, 2.0, 0.0]], version), numeric, 10)) == 1


def test_float32_is_converted_exactly() -> None:
    signature = Signature([Feature(name=n, kind=Kind.NUMBER) for n in "ab"], ["x", "y"])
    values = np.array([[0.1, -1e-40], [3e38, 7.7]], np.float32)
    assert read_npy(npy(values), signature, 10).numbers.tolist() == values.tolist()


def test_booleans_are_bytes_of_zero_and_one(numeric) -> None:
    array = np.array([[True, False, True]])
    assert read_npy(npy(array), numeric, 10).numbers.tolist() == [[1, 0, 1]]
    with pytest.raises(InvalidRequest, match="bytes of 0 and 1"):
        read_npy(npy(array)[:-1] + b"\x02", numeric, 10)


def test_invalid_values_are_reported_with_row_and_feature(numeric) -> None:
    nan, inf = np.nan, np.inf
    with pytest.raises(InvalidRows) as caught:
        read_npy(npy([[1, nan, nan], [nan, -inf, 2], [1, 1, 1]]), numeric, 10)
    problems = [(p.row, p.feature, p.expected, p.got, p.pointer) for p in caught.value.problems]
    assert problems == [
        (0, "c", "boolean", "NaN", None),
        (1, "a", "number", "NaN", None),
        (1, "b", "number within the range of doubles", "a larger number", None),
        (1, "c", "boolean", "number 2.0", None),
    ]


def test_problems_are_reported_in_row_order_up_to_a_limit(numeric) -> None:
    array = np.full((100, 3), np.inf)
    with pytest.raises(InvalidRows) as caught:
        read_npy(npy(array), numeric, 100)
    assert [p.row for p in caught.value.problems] == [row for row in range(7) for _ in "abc"][:20]
    assert caught.value.truncated


def test_text_is_parsed_as_csv_cells(mixed_signature) -> None:
    rows = [["30", "true", " red ", "1e1", "NA"], ["", "0", "ünd", "+.5", "round"]]
    for array in (np.array(rows), np.array(rows).astype(">U5"), np.char.encode(rows, "utf-8")):
        columns = read_npy(npy(array), mixed_signature, 10)
        np.testing.assert_array_equal(columns.numbers, [[30, 1, 10], [np.nan, 0, 0.5]])
        assert columns.categories.tolist() == [["red", ""], ["ünd", "round"]]


def test_invalid_texts_are_reported(mixed_signature) -> None:
    with pytest.raises(InvalidRows) as caught:
        read_npy(npy([["30", "maybe", "", "1_0", ""]]), mixed_signature, 10)
    problems = [(p.feature, p.expected, p.got) for p in caught.value.problems]
    assert problems == [
        ("member", "boolean", 'string "maybe"'),
        ("color", "text", "null"),
        ("size/cm", "number", 'string "1_0"'),
    ]


def test_numbers_for_a_category_become_text(mixed_signature) -> None:
    columns = read_npy(npy([[1, 0, 3.0, 2, 0.5], [1, 1, 4, 2, np.nan]]), mixed_signature, 10)
    assert columns.categories.tolist() == [["3", "0.5"], ["4", ""]]


def test_fields_are_columns_by_name(mixed_signature) -> None:
    dtype = [("size/cm", ">f4"), ("member", "?"), ("color", "U5"), ("age", "i8")]
    array = np.array([(2.5, True, "red", 30), (1.5, False, "blue", 31)], dtype)
    columns = read_npy(npy(array), mixed_signature, 10)
    assert columns.numbers.tolist() == [[30, 1, 2.5], [31, 0, 1.5]]
    assert columns.categories.tolist() == [["red", ""], ["blue", ""]]


@pytest.mark.parametrize("name", ["größe", "大きさ", 'say "cheese"'])
def test_fields_may_have_any_name_without_escapes(name: str) -> None:
    signature = Signature([Feature(name=name, kind=Kind.NUMBER)], ["a", "b"])
    array = np.array([(1.5,)], [(name, "f8")])
    for version in ((3, 0), None) if name.isascii() or "ö" in name else ((3, 0),):
        assert read_npy(npy(array, version), signature, 10).numbers.tolist() == [[1.5]]


def test_misspelled_field_is_reported_with_the_similar_name(mixed_signature) -> None:
    array = np.array([(2.5, True, 1.0)], [("size", "f8"), ("member", "?"), ("color", "f8")])
    with pytest.raises(InvalidRows) as caught:
        read_npy(npy(array), mixed_signature, 10)
    assert [(p.feature, p.did_you_mean) for p in caught.value.problems] == [("size", "size/cm")]


def test_datetime_is_seconds_in_numbers_and_text_in_texts(dated_signature) -> None:
    columns = read_npy(npy([[1, 1714521600.5, np.nan, np.nan, 60]]), dated_signature, 10)
    np.testing.assert_array_equal(columns.numbers, [[1, 1714521600.5, np.nan, 60]])
    columns = read_npy(npy([["1", "2024-05-01", "red", "", "8:30"]]), dated_signature, 10)
    np.testing.assert_array_equal(columns.numbers, [[1, 1714521600, np.nan, 30600]])


def test_one_dimension_is_rows_of_one_feature_or_one_row(numeric) -> None:
    single = Signature([Feature(name="a", kind=Kind.NUMBER)], ["x", "y"])
    assert read_npy(npy([1.0, 2.0]), single, 10).numbers.tolist() == [[1], [2]]
    assert read_npy(npy([1.0, 2.0, 1.0]), numeric, 10).numbers.tolist() == [[1, 2, 1]]
    with pytest.raises(InvalidRequest, match=r"shape \(rows, 3\), got \(2,\)"):
        read_npy(npy([1.0, 2.0]), numeric, 10)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (10, 3)])
def test_rows_are_limited(numeric, shape) -> None:
    assert len(read_npy(npy(np.zeros(shape)), numeric, 10)) == shape[0]
    with pytest.raises(TooManyRows):
        read_npy(npy(np.zeros((11, 3))), numeric, 10)


class Explosive:
    """Fails the test when unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_objects_are_rejected_and_never_unpickled(numeric) -> None:
    with pytest.raises(InvalidRequest, match=r"'\|O' is not supported"):
        read_npy(npy(np.array([[Explosive()] * 3])), numeric, 10)
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1, 3)}"
    with pytest.raises(InvalidRequest, match="not supported"):
        read_npy(with_header(header, pickle.dumps(Explosive())), numeric, 10)


@pytest.mark.parametrize("dtype", ["c16", "M8[s]", "m8[s]", "V8", "g"])
def test_other_element_types_are_rejected_by_name(numeric, dtype: str) -> None:
    with pytest.raises(InvalidRequest, match="not supported, expected booleans, whole numbers"):
        read_npy(npy(np.zeros((1, 3), dtype)), numeric, 10)


@pytest.mark.parametrize(
    "dtype", [[("a", "f8", (2,))], [("a", [("b", "f8")])], [(("title", "a"), "f8")]]
)
def test_nested_fields_are_rejected(numeric, dtype) -> None:
    with pytest.raises(InvalidRequest, match="or of fields of these types"):
        read_npy(npy(np.zeros(1, dtype)), numeric, 10)


@pytest.mark.parametrize("shape", [(), (1, 1, 3), (3, 1), (1, 2), (2, 3, 0), (2,), (0,)])
def test_other_shapes_are_rejected(numeric, shape) -> None:
    with pytest.raises(InvalidRequest, match=r"\(rows, 3\)|(rows, features)"):
        read_npy(npy(np.zeros(shape)), numeric, 10)


HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}"
HOSTILE = {
    "empty": b"",
    "not an array": b'{"instances": []}',
    "only the magic": b"\x93NUMPY",
    "no length": b"\x93NUMPY\x01\x00\x10",
    "unknown version": with_header(HEADER.format("'<f8'", "False", "(0, 3)"), version=4),
    "header longer than the body": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "header over the limit": with_header("{" + " " * 17_000 + "}", version=2),
    "too few values": with_header(HEADER.format("'<f8'", "False", "(10, 3)"), b"1"),
    "extra bytes": npy([[1.0, 2.0, 1.0]]) + b"x",
    "more values than any memory": with_header(
        HEADER.format("'<f8'", "False", f"({2**31}, {2**31})")
    ),
    "very long number": with_header(HEADER.format("'<f8'", "False", "(" + "9" * 9000 + ",)")),
    "very many dimensions": with_header(HEADER.format("'<f8'", "False", "(" + "1," * 8000 + ")")),
    "boolean as a length": with_header(HEADER.format("'<f8'", "False", "(True, 3)"), b"1" * 24),
    "negative length": with_header(HEADER.format("'<f8'", "False", "(-1, -3)"), b"1" * 24),
    "huge empty shape": with_header(HEADER.format("'<f8'", "False", f"({10**100}, 0)")),
    "function call": with_header("__import__('os').getpid()"),
    "nested lists": with_header("[" * 10_000),
    "nested signs": with_header("-" * 10_000 + "1"),
    "escape": with_header(HEADER.format(r"'\d'", "False", "(0, 3)")),
    "empty text type": with_header(HEADER.format("'<U0'", "False", "(0, 3)")),
    "very long text type": with_header(HEADER.format("'<U99999999999'", "False", "(0, 3)")),
    "not a dictionary": with_header("1"),
    "list as a key": with_header("{[]: 1}"),
    "missing keys": with_header("{'descr': '<f8'}"),
    "no fields": with_header(HEADER.format("[]", "False", "(0,)")),
    "repeated field": with_header(HEADER.format("[('a', '<f8'), ('a', '<f8')]", "False", "(0,)")),
    "order is not a boolean": with_header(HEADER.format("'<f8'", "1", "(0, 3)")),
    "not Unicode": with_header(HEADER.format("'<U1'", "False", "(1, 3)"), b"\xff\xff\xff\xff" * 3),
    "not UTF-8": with_header(HEADER.format("'|S1'", "False", "(1, 3)"), b"\xff\xff\xff"),
    "header is not UTF-8": b"\x93NUMPY\x03\x00\x01\x00\x00\x00\xff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header_is_rejected_in_bounded_memory(numeric, name) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((UnreadableBody, InvalidRequest)) as caught:
            read_npy(HOSTILE[name], numeric, 10)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 300
    assert peak_bytes < 2**24


GOOD = npy(np.array([[172, 95, 1], [180, 50, 0]], "<f4"))


@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4)), max_size=4
    )
)
def test_array_with_changed_bytes_is_read_or_rejected(numeric, changes) -> None:
    body = bytearray(GOOD)
    for place, new in changes:
        body[place : place + len(new)] = new
    with suppress(RequestError):
        assert len(read_npy(bytes(body), numeric, 10)) <= 10
