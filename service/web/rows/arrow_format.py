"""Rows as Apache Arrow's IPC stream or file: columns by the names of their features.

pyarrow is an optional dependency, because it is many times the size of the service. The first
request with an Arrow body imports it. No buffer is used before ``validate(full=True)`` accepts it.

A small body can describe a lot of memory. Each way is rejected:

- compressed buffers, which claim any size;
- dictionaries that grow from batch to batch;
- overlapping blocks of a file;
- batches that share a large dictionary, and rows that share a long text.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidRequest, Problem, UnreadableBody
from ...model.columns import Columns
from ...model.row_types import check_row_count
from ...model.signature import Feature, Kind, Signature
from ...model.table_validation import DictionaryColumn, Numbers, columns_from_table
from ...model.validation import check_column_names, check_unique_columns, invalid_rows, truncate
from ..errors import UnsupportedMediaType

if TYPE_CHECKING:
    import pyarrow as pa

STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"

MIN_PYARROW = 24
"""Major version. Some malformed streams crash the process in earlier versions."""

FILE_MAGIC = b"ARROW1\0\0"

FILE_END = struct.Struct("<I6x")
"""The end of a file: the length of the footer, and the magic."""

BLOCK = struct.Struct("<qi4xq")
"""A message's location in a file: offset, metadata length, body length."""

FOOTER_DICTIONARIES, FOOTER_BATCHES = 2, 3
"""Fields of the footer that list blocks, from Arrow's ``File.fbs``."""

MAX_BUFFER_BYTES = 2**26
"""Limit of all batches together, with the dictionary counted once per batch."""

MAX_TEXT_BYTES = 2**24
"""Limit of all texts together, with each row's text counted."""

DICTIONARY_BATCH, RECORD_BATCH = 2, 3
"""Message types with buffers, from Arrow's ``Message.fbs``."""

TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

MICROSECONDS = 10**6

SECONDS_PER_DAY = 86_400

EXPECTED_COLUMN = {
    Kind.NUMBER: "a column of numbers",
    Kind.BOOLEAN: "a column of booleans, or of 0 and 1",
    Kind.DATETIME: "a column of timestamps, dates, times or texts",
    Kind.CATEGORY: "a column of texts, numbers or booleans",
}
"""Accepted columns for a feature of each kind, for error messages."""


def _is_installed() -> bool:
    try:
        version = metadata.version("pyarrow")
    except metadata.PackageNotFoundError:
        return False
    return int(version.partition(".")[0]) >= MIN_PYARROW


INSTALLED = _is_installed()
"""Whether a pyarrow is installed that is safe for untrusted input."""


def read_arrow(body: bytes, signature: Signature, max_rows: int) -> Columns:
    """Return the rows of an Arrow stream or file.

    Args:
        body: the whole stream or file.
        signature: the features.
        max_rows: limit of rows in one request.

    Raises:
        UnsupportedMediaType: if pyarrow is not installed.
        UnreadableBody: for a body that is not complete Arrow.
        InvalidRequest: for compressed buffers, for data that exceeds a size limit, and for a column
            that pyarrow cannot convert.
        InvalidRows: for unknown or missing columns, columns of a wrong type, and values that do not
            fit their feature.
        TooManyRows: for more than ``max_rows`` rows.
    """
    if not INSTALLED:
        raise UnsupportedMediaType(
            "this service cannot read Apache Arrow, because pyarrow is not installed; install "
            "pigeonhole-ml[service,arrow] or send another format"
        )
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency that takes long to import

    try:
        batches = _read_batches(pa, body, signature, max_rows)
    except (pa.ArrowException, OSError, EOFError, ValueError, IndexError, struct.error):
        raise UnreadableBody(
            "the body is not a complete Arrow stream or file" if body else "the body is empty"
        ) from None
    rows = sum(batch.num_rows for batch in batches)
    return columns_from_table(signature, _convert_batches(pa, batches, signature), rows)


def _read_batches(
    pa: Any, body: bytes, signature: Signature, max_rows: int
) -> list[pa.RecordBatch]:
    """Return the validated batches. Schema and message metadata are checked before any buffer."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    content = pa.py_buffer(body)
    unread: Iterator[pa.RecordBatch]
    if body.startswith(FILE_MAGIC):
        reader = pa.ipc.open_file(content, options=options)
        messages = _file_messages(pa, body)
        unread = map(reader.get_batch, range(reader.num_record_batches))
    else:
        reader = unread = pa.ipc.open_stream(content, options=options)
        messages = pa.ipc.MessageReader.open_stream(content)
    _check_schema(pa, reader.schema, signature)
    for message in messages:
        _check_message(memoryview(message.metadata))
    return _validate_batches(unread, max_rows)


def _validate_batches(unread: Iterator[pa.RecordBatch], max_rows: int) -> list[pa.RecordBatch]:
    """Return all batches, within the limits of rows and bytes."""
    batches = []
    rows = size = 0
    for batch in unread:
        rows += batch.num_rows
        check_row_count(rows, max_rows)
        size += batch.get_total_buffer_size()  # unlike nbytes, reads no offset before validation
        if size > MAX_BUFFER_BYTES:
            raise InvalidRequest(
                f"the batches take more than {MAX_BUFFER_BYTES} bytes when each has a dictionary of "
                "its own; send the rows in parts"
            )
        batch.validate(full=True)
        batches.append(batch)
    return batches


def _file_messages(pa: Any, body: bytes) -> list[pa.Message]:
    """Return the messages that the footer of a file lists.

    Raises:
        InvalidRequest: for blocks that overlap.
    """
    messages = []
    remaining = len(body)
    for offset in _block_offsets(body):
        message = pa.ipc.read_message(memoryview(body)[offset:])
        remaining -= message.metadata.size + (message.body.size if message.body else 0)
        if remaining < 0:
            raise InvalidRequest("the blocks of the Arrow file overlap; write each block once")
        messages.append(message)
    return messages


def _block_offsets(body: bytes) -> Iterator[int]:
    """Yield the offset of each block that the footer of a file lists."""
    end = len(body) - FILE_END.size
    (length,) = FILE_END.unpack_from(body, end)
    footer = memoryview(body)[end - length : end]
    (table,) = struct.unpack_from("<I", footer)
    for number in (FOOTER_DICTIONARIES, FOOTER_BATCHES):
        if not _field(footer, table, number):
            continue
        vector = _table(footer, table, number)
        (count,) = struct.unpack_from("<I", footer, vector)
        for index in range(count):
            offset, _, _ = BLOCK.unpack_from(footer, vector + 4 + index * BLOCK.size)
            yield offset


def _check_schema(pa: Any, schema: pa.Schema, signature: Signature) -> None:
    """Reject columns that are not features, or whose type cannot hold their feature's values."""
    names = schema.names
    check_unique_columns(names, "the Arrow schema")
    check_column_names(signature, names)
    problems = [
        Problem(
            0,
            field.name,
            None,
            EXPECTED_COLUMN[signature.by_name[field.name].kind],
            f"a column of {truncate(str(field.type))}",
        )
        for field in schema
        if not _can_hold(pa.types, signature.by_name[field.name], field.type)
    ]
    if problems:
        raise invalid_rows(problems)


def _can_hold(types: Any, feature: Feature, kind: pa.DataType) -> bool:
    """Return whether a column of an Arrow type can hold a feature's values."""
    if types.is_dictionary(kind):
        kind = kind.value_type
        if types.is_dictionary(kind):
            return False
    if types.is_null(kind):
        return True
    if feature.kind is Kind.DATETIME:
        return (
            types.is_timestamp(kind)
            or types.is_date(kind)
            or types.is_time(kind)
            or _is_text(types, kind)
        )
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return True
    return feature.kind is Kind.CATEGORY and _is_text(types, kind)


def _is_text(types: Any, kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _convert_batches(
    pa: Any, batches: list[pa.RecordBatch], signature: Signature
) -> dict[str, DictionaryColumn | Numbers]:
    """Return the columns of all batches, by feature name."""
    if not batches:
        return {}
    remaining = MAX_TEXT_BYTES
    columns: dict[str, DictionaryColumn | Numbers] = {}
    for index, name in enumerate(batches[0].schema.names):
        feature = signature.by_name[name]
        arrays = [batch.column(index) for batch in batches]
        try:
            remaining -= sum(_text_bytes(pa, array) for array in arrays)
            if remaining < 0:
                raise InvalidRequest(
                    f"the texts take more than {MAX_TEXT_BYTES} bytes when each row has its own; "
                    "send the rows in parts"
                )
            columns[name] = _convert_column(pa, feature, arrays)
        except (pa.ArrowException, ValueError):
            raise InvalidRequest(
                f"the column {truncate(name)!r} of {truncate(str(arrays[0].type))} cannot be "
                f"converted; send {EXPECTED_COLUMN[feature.kind]}"
            ) from None
    return columns


def _text_bytes(pa: Any, array: pa.Array) -> int:
    """Return the size of an array's texts, with shared texts counted once per row."""
    if pa.types.is_dictionary(array.type):
        if not _is_text(pa.types, array.type.value_type):
            return 0
        lengths = _text_lengths(pa, array.dictionary)
        indices = array.indices.drop_null().to_numpy(zero_copy_only=False)
        return int(lengths[indices].sum())
    return int(_text_lengths(pa, array).sum()) if _is_text(pa.types, array.type) else 0


def _text_lengths(pa: Any, texts: pa.Array) -> Any:
    """Return the bytes of each text, int64 (texts,).

    The length of a null text is arbitrary, but never negative.
    """
    if not len(texts):
        return np.empty(0, np.int64)
    if pa.types.is_string_view(texts.type):  # a view has 16 bytes, its length in the first four
        views = np.frombuffer(texts.buffers()[1], np.int32, 4 * (texts.offset + len(texts)))
        lengths = views[4 * texts.offset :: 4]
    else:
        size = np.int64 if pa.types.is_large_string(texts.type) else np.int32
        offsets = np.frombuffer(texts.buffers()[1], size, texts.offset + len(texts) + 1)
        lengths = np.diff(offsets[texts.offset :])
    return np.maximum(lengths, 0).astype(np.int64)


def _convert_column(
    pa: Any, feature: Feature, arrays: list[pa.Array]
) -> DictionaryColumn | Numbers:
    """Return one feature's values from all batches; their type is checked already."""
    kind = arrays[0].type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        if _is_text(pa.types, kind):
            return DictionaryColumn.of(
                [text for array in arrays for text in _dictionary_texts(array)]
            )
        arrays = [array.dictionary_decode() for array in arrays]
    if pa.types.is_null(kind):
        return DictionaryColumn([None] * sum(map(len, arrays)), {None: None})
    if _is_text(pa.types, kind):
        return DictionaryColumn.of(_values(arrays))
    if feature.kind is Kind.DATETIME:
        return np.array([s for array in arrays for s in _to_seconds(pa, array)], np.float64)
    if feature.kind is Kind.CATEGORY:
        return DictionaryColumn.of(_nan_to_none(_values(arrays)))
    doubles = [array.cast(pa.float64(), safe=False) for array in arrays]
    return np.concatenate([array.to_numpy(zero_copy_only=False) for array in doubles])


def _values(arrays: list[pa.Array]) -> list[Any]:
    return [value for array in arrays for value in array.to_pylist()]


def _nan_to_none(values: list[Any]) -> list[Any]:
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _dictionary_texts(array: pa.DictionaryArray) -> list[str | None]:
    """Return the text of each row. pyarrow cannot decode a dictionary of views, as Polars writes."""
    indexes = array.indices.to_pylist()
    texts = {index: array.dictionary[index].as_py() for index in set(indexes) - {None}}
    return [texts.get(index) for index in indexes]


def _to_seconds(pa: Any, array: pa.Array) -> list[float]:
    """Return datetimes as seconds since 1970, rounded down to microseconds as in `datetimes`."""
    types, kind = pa.types, array.type
    if types.is_date(kind):
        days = array.cast(pa.date32(), safe=False).cast(pa.int32()).to_pylist()
        return [math.nan if day is None else float(day * SECONDS_PER_DAY) for day in days]
    ticks = array.cast(pa.int32() if types.is_time32(kind) else pa.int64()).to_pylist()
    per_second = TICKS_PER_SECOND[kind.unit]
    return [
        math.nan if tick is None else (tick * MICROSECONDS // per_second) / MICROSECONDS
        for tick in ticks
    ]


def _check_message(head: memoryview) -> None:
    """Reject a message that would take more memory than its size, before reading its buffers.

    A compressed buffer states its decompressed size, and pyarrow allocates it. Each dictionary delta
    copies the whole dictionary. pyarrow reports neither, so they are read from the metadata, a
    flatbuffer whose bounds pyarrow has checked.
    """
    (message,) = struct.unpack_from("<I", head)
    kind, batch = _field(head, message, 1), _table(head, message, 2)
    code = head[kind] if kind else 0
    if code == DICTIONARY_BATCH:
        is_delta = _field(head, batch, 2)
        if is_delta and head[is_delta]:
            raise InvalidRequest(
                "the Arrow stream has dictionary deltas; send each dictionary complete"
            )
        batch = _table(head, batch, 1)
    if code in (DICTIONARY_BATCH, RECORD_BATCH) and _field(head, batch, 3):
        raise InvalidRequest(
            "the buffers of the Arrow stream are compressed; send uncompressed buffers, "
            "or compress the whole body and set Content-Encoding"
        )


def _field(head: memoryview, table: int, number: int) -> int:
    """Return the offset of a field of a flatbuffer table, or 0 if it is absent."""
    (back,) = struct.unpack_from("<i", head, table)
    (size,) = struct.unpack_from("<H", head, table - back)
    entry = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", head, table - back + entry) if entry < size else (0,)
    return table + offset if offset else 0


def _table(head: memoryview, table: int, number: int) -> int:
    """Return the offset of the table or vector that a field refers to."""
    at = _field(head, table, number)
    (ahead,) = struct.unpack_from("<I", head, at)
    return at + int(ahead)
