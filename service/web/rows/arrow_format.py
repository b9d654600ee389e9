"""Rows as Apache Arrow's IPC stream or file: columns by the names of their features.

pyarrow is an extra of its own, for it is many times the size of the service; it is imported with the
first request that asks for it. What it reads was sent by strangers, so nothing is looked at before
``validate(full=True)`` let it pass. A few bytes may also mean a great many, and each way to that is
closed: compressed buffers, which may claim any size; dictionaries that grow from batch to batch;
blocks of a file that overlap; batches that share a dictionary, and rows that share a text.
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
from ...model.table_validation import Coded, Numbers, columns_from_table
from ...model.validation import check_names, check_unique, invalid_rows, truncate
from ..errors import UnsupportedMediaType

if TYPE_CHECKING:
    import pyarrow as pa

STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"

LEAST_RELEASE = 24
"""Of pyarrow: before it some malformed streams end the process."""

FILE_MAGIC = b"ARROW1\0\0"

FILE_END = struct.Struct("<I6x")
"""The end of a file: the length of the footer before it, and the magic again."""

BLOCK = struct.Struct("<qi4xq")
"""Where a file has a message: its place, and the lengths of its head and its body."""

BUFFER_BYTES = 2**26
"""Of all batches together, each with a dictionary of its own."""

TEXT_BYTES = 2**24
"""Of all texts together, written out."""

DICTIONARY_BATCH, RECORD_BATCH = 2, 3
"""Kinds of message that hold buffers, by Arrow's ``Message.fbs``."""

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""How many make a second, by unit."""

MICROSECONDS = 10**6

DAY_S = 86_400

ASKED_FOR = {
    Kind.NUMBER: "a column of numbers",
    Kind.BOOLEAN: "a column of booleans, or of 0 and 1",
    Kind.DATETIME: "a column of timestamps, dates, times or texts",
    Kind.CATEGORY: "a column of texts, numbers or booleans",
}
"""What the column of a feature of each kind may hold, in words."""


def _is_installed() -> bool:
    try:
        release = metadata.version("pyarrow")
    except metadata.PackageNotFoundError:
        return False
    return int(release.partition(".")[0]) >= LEAST_RELEASE


INSTALLED = _is_installed()
"""Whether a pyarrow is there to be imported that may be shown what strangers sent."""


def read_arrow(body: bytes, signature: Signature, max_rows: int) -> Columns:
    """The rows of an Arrow stream or file.

    Args:
        body: all of it.
        signature: which features there are.
        max_rows: rows in one request at most.

    Raises:
        UnsupportedMediaType: where pyarrow is not installed.
        UnreadableBody: for what is no Arrow, or not all of it.
        InvalidRequest: for buffers that are compressed, texts that are too long together, and a
            column that pyarrow can't convert.
        InvalidRows: for unknown and missing columns, columns of another type, and values that don't
            fit, every problem named.
        TooManyRows: for more than ``max_rows``.
    """
    if not INSTALLED:
        raise UnsupportedMediaType(
            "Apache Arrow is not read here: pyarrow is not installed beside the service (its extra "
            "'arrow', pigeonhole[service,arrow])"
        )
    import pyarrow as pa  # noqa: PLC0415 - only who is sent Arrow pays for it

    try:
        batches = _batches(pa, body, signature, max_rows)
    except (pa.ArrowException, OSError, EOFError, ValueError, IndexError, struct.error):
        said = "is no Arrow stream, or not all of one" if body else "is empty"
        raise UnreadableBody(f"the body {said}") from None
    rows = sum(batch.num_rows for batch in batches)
    return columns_from_table(signature, _columns(pa, batches, signature), rows)


def _batches(pa: Any, body: bytes, signature: Signature, max_rows: int) -> list[pa.RecordBatch]:
    """The batches, once it is sure that their columns are the features and hold what they say."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    content = pa.py_buffer(body)
    if body.startswith(FILE_MAGIC):
        reader = pa.ipc.open_file(content, options=options)
        messages = _messages_of_file(pa, body)
        read: Iterator[pa.RecordBatch] = map(reader.get_batch, range(reader.num_record_batches))
    else:
        reader = read = pa.ipc.open_stream(content, options=options)
        messages = pa.ipc.MessageReader.open_stream(content)
    _check_columns(pa, reader.schema, signature)
    for message in messages:
        _refuse_growth(memoryview(message.metadata))
    batches = []
    rows = size = 0
    for batch in read:
        rows += batch.num_rows
        check_row_count(rows, max_rows)
        size += batch.get_total_buffer_size()  # unlike nbytes it follows no offset yet
        if size > BUFFER_BYTES:
            raise InvalidRequest(
                f"the batches take more than {BUFFER_BYTES} bytes when each has a dictionary of its "
                "own; send the rows in parts"
            )
        batch.validate(full=True)
        batches.append(batch)
    return batches


def _messages_of_file(pa: Any, body: bytes) -> list[pa.Message]:
    """The messages that the footer of a file names."""
    end = len(body) - FILE_END.size
    (length,) = FILE_END.unpack_from(body, end)
    footer = memoryview(body)[end - length : end]
    (table,) = struct.unpack_from("<I", footer)
    messages = []
    left = len(body)
    for number in (2, 3):  # the dictionaries, the batches
        if not _field(footer, table, number):
            continue
        vector = _table(footer, table, number)
        (count,) = struct.unpack_from("<I", footer, vector)
        for place in range(count):
            start, _, _ = BLOCK.unpack_from(footer, vector + 4 + place * BLOCK.size)
            message = pa.ipc.read_message(memoryview(body)[start:])
            left -= message.metadata.size + (message.body.size if message.body else 0)
            if left < 0:
                raise InvalidRequest("the blocks of the Arrow file overlap")
            messages.append(message)
    return messages


def _check_columns(pa: Any, schema: pa.Schema, signature: Signature) -> None:
    """Refuse columns that are no features, or can't hold the values of theirs."""
    names = schema.names
    check_unique(names, "the Arrow schema")
    check_names(signature, names)
    found = [
        Problem(0, field.name, None, ASKED_FOR[feature.kind], f"a column of {truncate(str(kind))}")
        for field in schema
        for feature in [signature.by_name[field.name]]
        for kind in [field.type]
        if not _can_hold(pa.types, feature, kind)
    ]
    if found:
        raise invalid_rows(found)


def _can_hold(types: Any, feature: Feature, kind: pa.DataType) -> bool:
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


def _columns(
    pa: Any, batches: list[pa.RecordBatch], signature: Signature
) -> dict[str, Coded | Numbers]:
    """The columns of all batches."""
    if not batches:
        return {}
    left = TEXT_BYTES
    columns: dict[str, Coded | Numbers] = {}
    for place, name in enumerate(batches[0].schema.names):
        feature = signature.by_name[name]
        arrays = [batch.column(place) for batch in batches]
        try:
            left -= sum(_text_bytes(pa, array) for array in arrays)
            if left < 0:
                raise InvalidRequest(
                    f"the texts take more than {TEXT_BYTES} bytes when each row has its own; "
                    "send the rows in parts"
                )
            columns[name] = _column(pa, feature, arrays)
        except (pa.ArrowException, ValueError):
            raise InvalidRequest(
                f"the column {truncate(name)!r} of {truncate(str(arrays[0].type))} can't be converted; "
                f"send {ASKED_FOR[feature.kind]}"
            ) from None
    return columns


def _text_bytes(pa: Any, array: pa.Array) -> int:
    """How many bytes the texts of an array take when they are written out."""
    if pa.types.is_dictionary(array.type):
        if not _is_text(pa.types, array.type.value_type):
            return 0
        lengths = _lengths(pa, array.dictionary)
        indices = array.indices.drop_null().to_numpy(zero_copy_only=False)
        return int(lengths[indices].sum())
    return int(_lengths(pa, array).sum()) if _is_text(pa.types, array.type) else 0


def _lengths(pa: Any, texts: pa.Array) -> Any:
    """The bytes of each text; of one that is null, whatever is there, but no fewer than none."""
    if not len(texts):
        return np.empty(0, np.int64)
    if pa.types.is_string_view(texts.type):  # sixteen bytes each, the first four its length
        views = np.frombuffer(texts.buffers()[1], np.int32, 4 * (texts.offset + len(texts)))
        lengths = views[4 * texts.offset :: 4]
    else:
        size = np.int64 if pa.types.is_large_string(texts.type) else np.int32
        offsets = np.frombuffer(texts.buffers()[1], size, texts.offset + len(texts) + 1)
        lengths = np.diff(offsets[texts.offset :])
    return np.maximum(lengths, 0).astype(np.int64)


def _column(pa: Any, feature: Feature, arrays: list[pa.Array]) -> Coded | Numbers:
    """The values of one feature, of a type that can hold them."""
    kind = arrays[0].type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        if _is_text(pa.types, kind):
            return Coded.of([text for array in arrays for text in _looked_up(array)])
        arrays = [array.dictionary_decode() for array in arrays]
    if pa.types.is_null(kind):
        return Coded([None] * sum(map(len, arrays)), {None: None})
    if _is_text(pa.types, kind):
        return Coded.of([text for array in arrays for text in array.to_pylist()])
    if feature.kind is Kind.DATETIME:
        return np.array([s for array in arrays for s in _seconds(pa, array)], np.float64)
    if feature.kind is Kind.CATEGORY:
        values = [value for array in arrays for value in array.to_pylist()]
        if pa.types.is_floating(kind):
            values = [None if value is None or math.isnan(value) else value for value in values]
        return Coded.of(values)
    doubles = [array.cast(pa.float64(), safe=False) for array in arrays]
    return np.concatenate([array.to_numpy(zero_copy_only=False) for array in doubles])


def _looked_up(array: pa.DictionaryArray) -> list[str | None]:
    """The texts of a dictionary's rows. pyarrow can't decode one of views, as Polars writes them."""
    places = array.indices.to_pylist()
    texts = {place: array.dictionary[place].as_py() for place in set(places) - {None}}
    return [texts.get(place) for place in places]


def _seconds(pa: Any, array: pa.Array) -> list[float]:
    """Moments as seconds since 1970, divided as `datetimes` does; what is finer is cut off there."""
    types, kind = pa.types, array.type
    if types.is_date(kind):
        days = array.cast(pa.date32(), safe=False).cast(pa.int32()).to_pylist()
        return [math.nan if day is None else float(day * DAY_S) for day in days]
    ticks = array.cast(pa.int32() if types.is_time32(kind) else pa.int64()).to_pylist()
    per_second = TICKS[kind.unit]
    return [
        math.nan if tick is None else (tick * MICROSECONDS // per_second) / MICROSECONDS
        for tick in ticks
    ]


def _refuse_growth(head: memoryview) -> None:
    """Refuse a message that is larger than it looks: before any of its buffers is read.

    A compressed buffer says how large it becomes, and as much is taken for it. Each addition to a
    dictionary copies all of it. pyarrow tells of neither, so this is read from the message's head, a
    flatbuffer whose bounds it has checked.
    """
    (message,) = struct.unpack_from("<I", head)
    kind, batch = _field(head, message, 1), _table(head, message, 2)
    code = head[kind] if kind else 0
    if code == DICTIONARY_BATCH:
        is_delta = _field(head, batch, 2)
        if is_delta and head[is_delta]:
            raise InvalidRequest("the dictionaries of the Arrow stream grow; send them whole")
        batch = _table(head, batch, 1)
    if code in (DICTIONARY_BATCH, RECORD_BATCH) and _field(head, batch, 3):
        raise InvalidRequest(
            "the buffers of the Arrow stream are compressed; send them as they are, "
            "or compress the whole body and say so in Content-Encoding"
        )


def _field(head: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table stands; 0 where it has none."""
    (back,) = struct.unpack_from("<i", head, table)
    (size,) = struct.unpack_from("<H", head, table - back)
    at = 4 + 2 * number
    (found,) = struct.unpack_from("<H", head, table - back + at) if at < size else (0,)
    return table + found if found else 0


def _table(head: memoryview, table: int, number: int) -> int:
    """Where the table stands that a field refers to."""
    at = _field(head, table, number)
    (ahead,) = struct.unpack_from("<I", head, at)
    return at + int(ahead)
