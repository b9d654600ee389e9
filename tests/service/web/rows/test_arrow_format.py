"""Bodies as Arrow streams and files: types of columns, and hostile bodies."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
import pyarrow as pa
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
from pigeonhole.service.web.errors import UnsupportedMediaType
from pigeonhole.service.web.rows import arrow_format
from pigeonhole.service.web.rows.arrow_format import MAX_TEXT_BYTES, read_arrow


def stream(*tables: pa.Table | pa.RecordBatch, file: bool = False, **options: Any) -> bytes:
    content = pa.BufferOutputStream()
    new = pa.ipc.new_file if file else pa.ipc.new_stream
    with new(content, tables[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for table in tables:
            writer.write(table)
    return content.getvalue().to_pybytes()


MIXED = {
    "color": pa.array(["red", " blue "]),
    "size/cm": pa.array([2, 3], pa.int16()),
    "member": pa.array([True, False]),
    "age": pa.array([30.5, None]),
}


def test_columns_are_found_by_name_and_nulls_are_missing(mixed_signature) -> None:
    columns = read_arrow(stream(pa.table(MIXED)), mixed_signature, 10)
    np.testing.assert_array_equal(columns.numbers, [[30.5, 1, 2], [np.nan, 0, 3]])
    assert columns.categories.tolist() == [["red", ""], ["blue", ""]]


def test_file_holds_the_same_rows_as_a_stream(mixed_signature) -> None:
    columns = read_arrow(stream(pa.table(MIXED), file=True), mixed_signature, 10)
    assert columns.categories.tolist() == [["red", ""], ["blue", ""]]


NUMBERS = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
    *(pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.dictionary(pa.int8(), pa.int64())),
]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_every_number_type_is_accepted_for_numbers_and_categories(mixed_signature, kind) -> None:
    if pa.types.is_dictionary(kind):
        numbers = pa.array([1, 0], kind.value_type).dictionary_encode()
    else:
        numbers = pa.array([1, 0], kind)
    table = pa.table(MIXED | {"size/cm": numbers, "member": numbers, "shape": numbers})
    columns = read_arrow(stream(table), mixed_signature, 10)
    assert columns.numbers[:, 1:].tolist() == [[1, 1], [0, 0]]
    assert columns.categories[:, 1].tolist() == ["1", "0"]


TEXTS = [
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.uint32(), pa.large_string())),
    # Polars' Categorical and Enum.
    *(pa.dictionary(pa.uint32(), pa.string_view()), pa.dictionary(pa.uint8(), pa.string_view())),
]


def texts_of(words: list[str | None], kind: pa.DataType) -> pa.Array:
    """Return texts as an array of any type; pyarrow itself converts to some types only."""
    if pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type):
        coded = pa.array(words).dictionary_encode()
        return pa.DictionaryArray.from_arrays(
            coded.indices.cast(kind.index_type),
            pa.array(coded.dictionary.to_pylist(), pa.string_view()),
        )
    return pa.array(words, kind)


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_every_text_type_is_accepted(mixed_signature, kind) -> None:
    words = ["ü", "a text that does not fit into a view", None]
    three = {name: column.take(pa.array([0, 1, 0])) for name, column in MIXED.items()}
    batch = pa.RecordBatch.from_pydict(three | {"shape": texts_of(words, kind)})
    body = stream(batch, batch.slice(1, 2))
    columns = read_arrow(body, mixed_signature, 10)
    assert columns.categories[:, 1].tolist() == [*words[:2], "", words[1], ""]


def test_each_batch_may_have_its_own_dictionary(mixed_signature) -> None:
    batches = [
        pa.RecordBatch.from_pydict(MIXED | {"color": pa.array(words).dictionary_encode()})
        for words in (["red", "blue"], ["blue", "green"])
    ]
    columns = read_arrow(stream(*batches), mixed_signature, 10)
    assert columns.categories[:, 0].tolist() == ["red", "blue", "blue", "green"]


def test_float32_is_converted_exactly() -> None:
    signature = Signature([Feature(name="a", kind=Kind.NUMBER)], ["x", "y"])
    values = np.array([0.1, -1e-40, 3e38], np.float32)
    columns = read_arrow(stream(pa.table({"a": values})), signature, 10)
    assert columns.numbers[:, 0].tolist() == values.tolist()


DATETIME = datetime(2024, 5, 1, 12, 30, 15, 250_001, tzinfo=UTC)
DATETIMES = {
    "nanoseconds": (pa.array([DATETIME], pa.timestamp("ns", "UTC")), DATETIME.timestamp()),
    "microseconds": (pa.array([DATETIME], pa.timestamp("us")), DATETIME.timestamp()),
    "another zone": (pa.array([DATETIME], pa.timestamp("us", "Asia/Tokyo")), DATETIME.timestamp()),
    "seconds": (pa.array([1714521600], pa.timestamp("s")), 1714521600.0),
    "a day": (pa.array([date(2024, 5, 1)]), 1714521600.0),
    "a day in milliseconds": (pa.array([date(2024, 5, 1)], pa.date64()), 1714521600.0),
    "a time": (pa.array([time(8, 30)], pa.time32("s")), 30600.0),
    "a finer time": (pa.array([time(8, 30, 0, 1)], pa.time64("ns")), 30600.000001),
    "a text": (pa.array(["2024-05-01T12:30:15.250001Z"]), DATETIME.timestamp()),
    "finer than microseconds": (pa.array([-1], pa.timestamp("ns")), -0.000001),
    "long ago": (pa.array([-62135596800000000 + 1], pa.timestamp("us")), -62135596799.999999),
}


@pytest.mark.parametrize("name", DATETIMES)
def test_datetimes_of_every_type_become_seconds(dated_signature, name: str) -> None:
    datetimes, seconds = DATETIMES[name]
    table = pa.table({"size": [1.0], "seen": datetimes, "opens": pa.nulls(1, datetimes.type)})
    columns = read_arrow(stream(table), dated_signature, 10)
    np.testing.assert_array_equal(columns.numbers, [[1, seconds, np.nan, np.nan]])


def test_invalid_values_are_reported_with_row_and_feature(mixed_signature) -> None:
    table = pa.table(
        {
            "age": [None, np.inf, 1.0],
            "member": [1, 2, None],
            "color": [None, "red", " "],
            "size/cm": pa.nulls(3),
        }
    )
    with pytest.raises(InvalidRows) as caught:
        read_arrow(stream(table), mixed_signature, 10)
    problems = [(p.row, p.feature, p.expected, p.got) for p in caught.value.problems]
    assert problems == [
        (0, "color", "text", "null"),
        (0, "size/cm", "number", "null"),
        (1, "age", "number within the range of doubles", "a larger number"),
        (1, "member", "boolean", "number 2.0"),
        (1, "size/cm", "number", "null"),
        (2, "member", "boolean", "null"),
        (2, "color", "text", 'string " "'),
        (2, "size/cm", "number", "null"),
    ]


def test_unknown_and_missing_columns_are_reported(mixed_signature) -> None:
    table = pa.table({"size": [1.0], "member": [True], "extra": [1]})
    with pytest.raises(InvalidRows) as caught:
        read_arrow(stream(table), mixed_signature, 10)
    problems = [(p.feature, p.expected, p.did_you_mean) for p in caught.value.problems]
    assert problems == [
        ("color", "a column of this name", None),
        ("size", "a known feature", "size/cm"),
        ("extra", "a known feature", None),
    ]


WRONG_TYPES = {
    "a text for a number": ("size/cm", pa.array(["1", "2"]), "a column of numbers"),
    "a datetime for a number": (
        "size/cm",
        pa.array([1, 2], pa.timestamp("s")),
        "a column of numbers",
    ),
    "a text for a boolean": ("member", pa.array(["true", "false"]), "a column of booleans"),
    "a list": ("color", pa.array([["red"], ["blue"]]), "a column of texts"),
    "a struct": ("color", pa.array([{"x": 1}, {"x": 2}]), "a column of texts"),
    "bytes": ("color", pa.array([b"red", b"blue"]), "a column of texts"),
    "a decimal": ("age", pa.array([1, 2], pa.decimal128(5)), "a column of numbers"),
    "runs": ("age", pa.RunEndEncodedArray.from_arrays([2], [1.0]), "a column of numbers"),
    "a dictionary of lists": (
        "color",
        pa.DictionaryArray.from_arrays([0, 0], pa.array([["red"]])),
        "a column of texts",
    ),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_column_of_a_wrong_type_is_rejected(mixed_signature, name: str) -> None:
    feature, column, expected = WRONG_TYPES[name]
    with pytest.raises(InvalidRows) as caught:
        read_arrow(stream(pa.table(MIXED | {feature: column})), mixed_signature, 10)
    (problem,) = caught.value.problems
    assert problem.feature == feature
    assert problem.expected.startswith(expected)
    assert problem.got.startswith("a column of ")


def test_column_that_pyarrow_cannot_convert_is_reported(mixed_signature, monkeypatch) -> None:
    # Every accepted type converts today; a later pyarrow may fail on some.
    monkeypatch.setattr(arrow_format, "_can_hold", lambda *_: True)
    body = stream(pa.table(MIXED | {"size/cm": pa.array([[1], [2]])}))
    with pytest.raises(InvalidRequest, match=r"'size/cm' of list.*; send a column of numbers"):
        read_arrow(body, mixed_signature, 10)


def test_repeated_column_name_is_rejected(mixed_signature) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1.0]), pa.array([2.0])], ["age", "age"])
    with pytest.raises(InvalidRequest, match="names 'age' twice"):
        read_arrow(stream(batch), mixed_signature, 10)


def test_rows_are_limited(mixed_signature) -> None:
    table = pa.table(MIXED)
    assert len(read_arrow(stream(table.slice(0, 0)), mixed_signature, 3)) == 0
    assert len(read_arrow(stream(table, table.slice(0, 1)), mixed_signature, 3)) == 3
    with pytest.raises(TooManyRows):
        read_arrow(stream(table, table), mixed_signature, 3)


def test_column_of_two_billion_nulls_is_only_counted() -> None:
    signature = Signature([Feature(name="a", kind=Kind.NUMBER, required=False)], ["x", "y"])
    nothing = pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])
    body = stream(pa.RecordBatch.from_arrays([nothing], ["a"]))
    with pytest.raises(TooManyRows):
        read_arrow(body, signature, 10)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("file", [False, True])
def test_compressed_buffers_are_rejected(mixed_signature, codec: str, file: bool) -> None:
    body = stream(pa.table(MIXED), file=file, compression=codec)
    with pytest.raises(InvalidRequest, match="are compressed; send uncompressed buffers"):
        read_arrow(body, mixed_signature, 10)


def test_compressed_dictionary_is_rejected(mixed_signature) -> None:
    table = pa.table(MIXED | {"color": pa.array(["red" * 999, "blue"]).dictionary_encode()})
    with pytest.raises(InvalidRequest, match="compressed"):
        read_arrow(stream(table, compression="zstd"), mixed_signature, 10)


@pytest.mark.parametrize("kind", ["dictionary", "view", "dictionary of views"])
def test_many_rows_that_share_a_long_text_are_rejected(mixed_signature, kind: str) -> None:
    rows = 1000
    text = "x" * (MAX_TEXT_BYTES // rows + 1)
    if kind.startswith("dictionary"):
        one = pa.array([text], pa.string() if kind == "dictionary" else pa.string_view())
        shared = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int16()), one)
    else:
        one = pa.array([text], pa.string_view())
        views = pa.py_buffer(one.buffers()[1].to_pybytes() * rows)
        shared = pa.Array.from_buffers(pa.string_view(), rows, [None, views, *one.buffers()[2:]])
    table = {"color": shared, "size/cm": [1] * rows, "member": [True] * rows}
    body = stream(pa.RecordBatch.from_pydict(table))
    assert len(body) < 100_000
    with pytest.raises(InvalidRequest, match="the texts take more than"):
        read_arrow(body, mixed_signature, rows)


def test_negative_length_of_a_null_text_does_not_raise_the_limit() -> None:
    signature = Signature([Feature(name="a", kind=Kind.CATEGORY, required=False)], ["x", "y"])
    text = pa.array(["x" * (MAX_TEXT_BYTES // 10)], pa.string_view())
    missing = struct.pack("<i12x", -(2**31))  # pyarrow does not validate the view of a null
    views = pa.py_buffer(missing + text.buffers()[1].to_pybytes() * 11)
    validity = pa.py_buffer(b"\xfe\xff")
    column = pa.Array.from_buffers(pa.string_view(), 12, [validity, views, *text.buffers()[2:]])
    with pytest.raises(InvalidRequest, match="the texts take more than"):
        read_arrow(stream(pa.RecordBatch.from_arrays([column], ["a"])), signature, 20)


def test_file_is_read_by_its_footer(mixed_signature) -> None:
    body = bytearray(stream(pa.table(MIXED), file=True))
    body[8:16] = bytes(8)  # Polars writes files without a stream at the start
    assert len(read_arrow(bytes(body), mixed_signature, 10)) == 2


def test_batches_that_share_a_large_dictionary_are_rejected(mixed_signature) -> None:
    words = pa.array([f"{number:0200d}" for number in range(10_000)])
    shared = pa.DictionaryArray.from_arrays(pa.array([7], pa.int16()), words)
    table = {"color": shared, "size/cm": [1], "member": [True]}
    batch = pa.RecordBatch.from_pydict(table)
    assert len(read_arrow(stream(*[batch] * 20), mixed_signature, 100)) == 20
    body = stream(*[batch] * 100)
    assert len(body) < 2.2 * 10**6
    with pytest.raises(InvalidRequest, match="take more than 67108864 bytes when each has"):
        read_arrow(body, mixed_signature, 100)


def test_dictionary_deltas_are_rejected(mixed_signature) -> None:
    batches = [
        pa.RecordBatch.from_pydict(
            MIXED | {"color": pa.DictionaryArray.from_arrays([0, 1], pa.array(words))}
        )
        for words in (["red", "blue"], ["red", "blue", "green"])
    ]
    body = stream(*batches, emit_dictionary_deltas=True)
    with pytest.raises(InvalidRequest, match="dictionary deltas; send each dictionary complete"):
        read_arrow(body, mixed_signature, 10)


def test_overlapping_blocks_of_a_file_are_rejected() -> None:
    signature = Signature([Feature(name="a", kind=Kind.NUMBER)], ["x", "y"])
    batches = [pa.RecordBatch.from_pydict({"a": [0.5] * rows}) for rows in (900, *[1] * 9)]
    body = stream(*batches, file=True)
    assert len(read_arrow(body, signature, 1000)) == 909
    blocks = [struct.pack("<qixxxxq", *block) for block in _blocks(body)]
    for block in blocks[1:]:
        assert body.count(block) == 1
        body = body.replace(block, blocks[0])
    with pytest.raises(InvalidRequest, match="overlap"):
        read_arrow(body, signature, 10_000)


def _blocks(body: bytes) -> list[tuple[int, int, int]]:
    """Return offset, metadata length and body length of each batch in a file without dictionaries."""
    blocks = []
    at = len(b"ARROW1\0\0")
    for message in pa.ipc.MessageReader.open_stream(body[at:]):
        head = 8 + message.metadata.size
        size = message.body.size if message.body else 0
        if message.type == "record batch":
            blocks.append((at, head, size))
        at += head + size
    return blocks


GOOD = [
    stream(pa.table(MIXED)),
    stream(pa.table(MIXED), file=True),
    stream(pa.table(MIXED | {"color": pa.array(["red", "blue"]).dictionary_encode()})),
    stream(pa.table(MIXED | {"color": pa.array(["red", None], pa.string_view())})),
    stream(pa.table(MIXED | {"color": texts_of(["red", None], TEXTS[-1])})),
]


@pytest.mark.parametrize("body", [b"", b"nope", b"ARROW1\0\0", b"\xff" * 100, GOOD[0][:-300]])
def test_body_that_is_not_arrow_is_unreadable(mixed_signature, body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_arrow(body, mixed_signature, 10)


@given(
    body=st.sampled_from(GOOD),
    changes=st.lists(
        st.tuples(
            st.integers(0, 2000),
            st.binary(min_size=1, max_size=8)
            | st.sampled_from([b"\xff" * 8, b"\xff" * 7 + b"\x7f"]),
        ),
        max_size=4,
    ),
)
def test_stream_with_changed_bytes_is_read_or_rejected(body, changes) -> None:
    signature = Signature(
        [
            Feature(name="age", kind=Kind.NUMBER, required=False),
            Feature(name="member", kind=Kind.BOOLEAN),
            Feature(name="color", kind=Kind.CATEGORY, required=False),
            Feature(name="size/cm", kind=Kind.NUMBER),
        ],
        ["no", "yes"],
    )
    changed = bytearray(body)
    for place, new in changes:
        at = place % len(body)
        changed[at : at + len(new)] = new
    with suppress(RequestError):
        assert len(read_arrow(bytes(changed), signature, 10)) <= 10


def test_error_without_pyarrow_names_the_package_to_install(mixed_signature, monkeypatch) -> None:
    monkeypatch.setattr(arrow_format, "INSTALLED", False)
    with pytest.raises(UnsupportedMediaType, match=r"pigeonhole-ml\[service,arrow\]"):
        read_arrow(GOOD[0], mixed_signature, 10)
