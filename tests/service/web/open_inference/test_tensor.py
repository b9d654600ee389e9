"""Request tensors: values from JSON or binary data, and errors for invalid values."""

from __future__ import annotations

import json
import math
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.errors import InvalidRequest, UnreadableBody
from pigeonhole.service.web.open_inference.binary_tensor import BinaryTensor, encode_texts
from pigeonhole.service.web.open_inference.datatypes import (
    BF16,
    BOOL,
    DATATYPES,
    ELEMENTS,
    INTEGERS,
)
from pigeonhole.service.web.open_inference.json_tensor import JsonTensor


def of_json(datatype: str, shape: list[int], data) -> JsonTensor:
    raw = msgspec.Raw(data if isinstance(data, bytes) else json.dumps(data).encode())
    return JsonTensor("/inputs/0", "x", datatype, shape, raw)


def of_bytes(datatype: str, shape: list[int], content: bytes) -> BinaryTensor:
    return BinaryTensor("/inputs/0", "x", datatype, shape, memoryview(content))


LAYOUTS = {
    "flat": ([2, 2], [1, 2.5, None, 4]),
    "nested": ([2, 2], [[1, 2.5], [None, 4]]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_values_are_read_row_by_row_and_null_is_missing(layout: str) -> None:
    got = of_json("FP64", *LAYOUTS[layout]).numbers(2, 2)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [[1, 2.5], [math.nan, 4]])


@pytest.mark.parametrize("data", [[7, 8], [[7], [8]]])
def test_single_column_may_be_flat_or_nested(data) -> None:
    assert of_json("FP32", [2, 1], data).numbers(2, 1).tolist() == [[7], [8]]


def test_pointer_locates_each_value() -> None:
    flat, nested = (of_json("FP64", *LAYOUTS[layout]) for layout in LAYOUTS)
    for tensor in (flat, nested):
        tensor.numbers(2, 2)
    assert flat.pointer(1, 0, 2) == "/inputs/0/data/2"
    assert nested.pointer(1, 0, 2) == "/inputs/0/data/1/0"
    assert of_bytes("FP64", [2, 2], bytes(32)).pointer(1, 0, 2) == "/inputs/0"


def test_json_numbers_are_doubles_for_every_width() -> None:
    for datatype in ("FP32", "FP64"):
        assert of_json(datatype, [1], [0.1]).numbers(1, 1)[0, 0] == 0.1


@pytest.mark.parametrize("datatype", [name for name in ELEMENTS if name not in (BOOL, BF16)])
def test_binary_data_of_every_datatype_is_decoded(datatype: str) -> None:
    dtype = ELEMENTS[datatype]
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    values = np.array([[limits.min, limits.max], [0, 1], [100, 3]], dtype)
    got = of_bytes(datatype, [3, 2], values.tobytes()).numbers(3, 2)
    np.testing.assert_array_equal(got, values.astype(np.float64))


def test_booleans_are_zero_or_one() -> None:
    expected = [[1], [0], [1]]
    assert of_bytes("BOOL", [3], b"\1\0\1").numbers(3, 1).tolist() == expected
    assert of_json("BOOL", [3], [True, False, 1]).numbers(3, 1).tolist() == expected
    with pytest.raises(InvalidRequest, match="0 and 1"):
        of_bytes("BOOL", [3], b"\1\0\2").numbers(3, 1)


def test_only_misaligned_doubles_are_copied() -> None:
    content = np.arange(5.0).tobytes()
    aligned = of_bytes("FP64", [2, 2], content[:32]).numbers(2, 2)
    assert not aligned.flags.owndata
    shifted = BinaryTensor("", "x", "FP64", [2, 2], memoryview(content)[3:35]).numbers(2, 2)
    assert shifted.flags.aligned
    assert shifted.tobytes() == content[3:35]


@given(st.lists(st.floats(width=16)), st.sampled_from(["FP16", "FP32", "FP64"]))
def test_floats_in_binary_data_are_unchanged(values: list[float], datatype: str) -> None:
    content = np.array(values, ELEMENTS[datatype]).tobytes()
    got = of_bytes(datatype, [len(values)], content).numbers(len(values), 1)
    np.testing.assert_array_equal(got[:, 0], values)


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_texts_in_binary_data_and_json_are_trimmed_only(texts: list[str]) -> None:
    expected = [text.strip() for text in texts]
    n = len(texts)
    assert of_bytes("BYTES", [n], encode_texts(texts)).texts(n, 1) == expected
    assert of_json("BYTES", [n], texts).texts(n, 1) == expected


@given(content=st.binary(max_size=40), count=st.integers(0, 4))
def test_arbitrary_bytes_are_texts_or_rejected(content: bytes, count: int) -> None:
    tensor = of_bytes("BYTES", [count], content)
    try:
        texts = tensor.texts(count, 1)
    except InvalidRequest:
        return
    assert len(texts) == count
    assert len(encode_texts(texts)) <= len(content)  # texts are trimmed


@pytest.mark.parametrize(
    ("datatype", "data", "spelled"),
    [
        ("INT64", [3, -(2**63)], ["3", "-9223372036854775808"]),
        ("UINT64", [2**64 - 1, 3.0], ["18446744073709551615", "3"]),
        ("FP64", [3, 0.5], ["3", "0.5"]),
        ("BOOL", [True, 0], ["true", "false"]),
        ("FP32", [None, 1], ["", "1"]),
        ("BYTES", [None, " a "], ["", "a"]),
    ],
)
def test_categories_of_other_datatypes_have_one_spelling(datatype, data, spelled) -> None:
    assert of_json(datatype, [2], data).texts(2, 1) == spelled


def test_categories_in_binary_data_have_the_same_spelling() -> None:
    assert of_bytes("INT32", [2], struct.pack("<ii", 3, -1)).texts(2, 1) == ["3", "-1"]
    assert of_bytes("BOOL", [2], b"\1\0").texts(2, 1) == ["true", "false"]
    assert of_bytes("FP64", [2], struct.pack("<dd", math.nan, 2)).texts(2, 1) == ["", "2"]


WRONG = {
    # Datatype, shape, data, the pointer below the tensor, and a part of the message.
    "too few": ("FP64", [2, 2], [1, 2, 3], "/data", "3 values, expected"),
    "too many": ("FP64", [2, 2], [1, 2, 3, 4, 5], "/data", "5 values, expected"),
    "too few lists": ("FP64", [2, 2], [[1, 2]], "/data", "1 lists"),
    "transposed": ("FP64", [3, 2], [[1, 2, 3], [4, 5, 6]], "/data", "2 lists"),
    "a short list": ("FP64", [2, 2], [[1, 2], [3]], "/data/1", "expected a list of 2"),
    "not a list in a row": ("FP64", [2, 2], [[1, 2], 3], "/data/1", "expected a list of 2"),
    "nested for a flat shape": ("FP64", [2], [[1], [2]], "/data", "flat list"),
    "a list among values": ("FP64", [2, 1], [1, [2]], "/data", "mixes values and lists"),
    "a list among texts": ("BYTES", [2, 1], ["a", ["b"]], "/data", "mixes values and lists"),
    "nested deeply": ("FP64", [1, 1], [[[1]]], "/data/0/0", "array"),
    "a text": ("FP64", [2, 2], [1, 2, "3", 4], "/data/2", "`str`"),
    "a nested text": ("FP64", [2, 2], [[1, 2], ["3", 4]], "/data/1/0", "`str`"),
    "a boolean": ("INT8", [1], [True], "/data/0", "`bool`"),
    "a number for a text": ("BYTES", [2], ["a", 1], "/data/1", "`int`"),
    "two for a boolean": ("BOOL", [1], [2], "/data/0", "2"),
    "beyond doubles": ("FP64", [1], b"[1e400]", "/data/0", "out of range"),
    "a huge integer": ("INT64", [1], b"[1" + b"0" * 400 + b"]", "/data", ""),
    "an integer too long to read": ("INT64", [1], b"[" + b"9" * 5000 + b"]", "/data/0", ""),
    "a fraction": ("INT32", [2], [1, 1.5], "/data", "integers from -2147483648 to 2147483647"),
    "too large": ("INT8", [1], [128], "/data", "from -128 to 127"),
    "too small": ("UINT16", [1], [-1], "/data", "from 0 to 65535"),
    "not a list": ("FP64", [1], {"a": 1}, "/data", "`object`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_data_is_reported_with_its_pointer(name: str) -> None:
    datatype, shape, data, pointer, message = WRONG[name]
    tensor = of_json(datatype, shape, data)
    rows, columns = (*shape, 1)[:2]
    for read in (tensor.texts,) if datatype == "BYTES" else (tensor.numbers, tensor.texts):
        with pytest.raises(InvalidRequest) as caught:
            read(rows, columns)
        assert caught.value.pointer == f"/inputs/0{pointer}"
        assert message in str(caught.value)


@pytest.mark.parametrize("data", [b'["\\ud800"]', b'["\xff"]', b'["a",]'])
def test_data_that_is_not_json_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableBody):
        of_json("BYTES", [1], data).texts(1, 1)


WRONG_BYTES = {
    "too few": ("FP32", [2], bytes(7)),
    "too many": ("INT64", [2], bytes(24)),
    "none": ("UINT8", [2], b""),
    "a length without its text": ("BYTES", [1], struct.pack("<I", 5) + b"four"),
    "a length that is cut off": ("BYTES", [1], encode_texts(["a"]) + b"\0\0"),
    "a huge length": ("BYTES", [1], b"\xff\xff\xff\xff"),
    "too few texts": ("BYTES", [2], encode_texts(["a"])),
    "too many texts": ("BYTES", [2], encode_texts(["a"] * 3)),
    "not UTF-8": ("BYTES", [1], struct.pack("<I", 1) + b"\xff"),
}


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_binary_data_that_does_not_match_the_shape_is_rejected(name: str) -> None:
    datatype, shape, content = WRONG_BYTES[name]
    tensor = of_bytes(datatype, shape, content)
    with pytest.raises(InvalidRequest) as caught:
        (tensor.texts if datatype == "BYTES" else tensor.numbers)(shape[0], 1)
    assert caught.value.pointer.startswith("/inputs/0")


@pytest.mark.parametrize("datatype", ["FP8", "fp64", "STRING", "", "x" * 10_000])
def test_error_for_an_unknown_datatype_lists_the_known_ones(datatype: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        of_json(datatype, [1], [1])
    assert caught.value.pointer == "/inputs/0/datatype"
    assert all(known in str(caught.value) for known in DATATYPES)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("datatype", "content"),
    [
        ("FP16", np.array([1.5, -2, np.nan], "<f2").tobytes()),
        ("BF16", np.array([1.5, -2, np.nan], "<f4").view("<u2")[1::2].tobytes()),
    ],
)
def test_half_precision_is_accepted_in_binary_data_only(datatype: str, content: bytes) -> None:
    tensor = of_bytes(datatype, [3], content)
    np.testing.assert_array_equal(tensor.numbers(3, 1), [[1.5], [-2], [math.nan]])
    assert tensor.texts(3, 1) == ["1.5", "-2", ""]
    with pytest.raises(InvalidRequest, match="binary data only"):
        of_json(datatype, [1], [1.5])


def test_integers_have_the_range_of_their_datatype() -> None:
    for datatype, limits in INTEGERS.items():
        data = [int(limits.min), int(limits.max), None, 3.0]
        got = of_json(datatype, [4], data).numbers(4, 1)
        expected = [[float(limits.min)], [float(limits.max)], [math.nan], [3]]
        np.testing.assert_array_equal(got, expected)
