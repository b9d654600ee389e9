"""Rows as ``application/x-ndjson``: one row per line, one result per line, in the same order.

{"height_cm": 172, "weight_kg": 95}      {"label": "overweight", "probability": 0.98, ...}
[180, 50]                                {"label": "underweight", ...}
{"height_cm": "tall"}                    {"row": 2, "error": "2 problems in 1 row", ...}

An invalid row gets an error in its line, and the other rows get their results. Rows are decoded, run
and encoded in slices, so any number of rows takes the memory of the body and one slice.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from ...errors import (
    InvalidRequest,
    InvalidRows,
    Overloaded,
    Problem,
    RequestError,
    UnreadableBody,
)
from ...model.artifact import Model
from ...model.columns import Columns, concatenate
from ...model.per_model import PerModel
from ...model.validation import columns_from_values, pointer_token, truncate
from ...serving.observation import Observation
from ..errors import JSON, error_response
from ..inference.protocol import Header, RowStream
from ..json_body import BYTE_ORDER_MARK, DECODE_ERRORS, media_type, parse_json
from .json_results import JsonResultEncoder

NDJSON = "application/x-ndjson"

MEDIA_TYPES = frozenset(
    {NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"}
    | {"application/jsonlines"}
)
"""Names of NDJSON, which has no registered media type."""

SLICE_ROWS = 1000
"""Limit of rows in a slice. Larger slices hardly reduce the cost of a row."""

SLICE_VALUES = 50_000
"""Limit of a slice's rows times features and classes."""

SLICE_S = 0.05
"""Target duration of a slice's run. Other calls of a heavy model wait for its end."""

DETAILED_PROBLEMS = 1000
"""After so many problems in a response, only the first problem of each row is reported.

Finding all problems takes far longer than predicting, and a client with so many problems repeats one
mistake in each row."""

MAX_INVALID_ROWS = 50_000
"""A response with more invalid rows ends with an error: two bytes may be a row, and its error is long."""

MAX_HELD_BYTES = 256 * 2**20
"""Limit of bodies that a worker holds while clients read responses; other bodies have the same limit."""

BLANKS = b" \t\r\n"

_encode_lines = msgspec.json.Encoder().encode_lines

Run = Callable[[Columns], Observation]
"""Runs the model on rows."""


@dataclass(frozen=True)
class _LineCodecs:
    """The decoders and the encoder of one model.

    Attributes:
        decode_object: decodes a row written as an object.
        decode_list: decodes a row written as a list.
        encoder: encodes results.
        slice_rows: rows in a slice.
    """

    decode_object: Callable[[bytes], Any]
    decode_list: Callable[[bytes], Any]
    encoder: JsonResultEncoder
    slice_rows: int


@dataclass
class _Slice:
    """Rows that run together.

    Attributes:
        first: index of the first row in the request.
        lines: content of each line of the response; None until it is known.
        parts: the valid rows, in order.
        rows: index in the slice of each valid row.
    """

    first: int
    lines: list[Any]
    parts: list[Columns] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class NdjsonProtocol:
    """Decodes and encodes rows in lines; the module's docstring shows them.

    Args:
        max_held_bytes: limit of all bodies in streams, decompressed. A single body may exceed it.
    """

    content_type = NDJSON

    def __init__(self, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_held_bytes, self._held_bytes = max_held_bytes, 0
        self._lock = threading.Lock()

    def accepts(self, header: Header) -> bool:
        """Return whether the Content-Type names NDJSON."""
        content_type = header("content-type")
        return content_type is not None and media_type(content_type) in MEDIA_TYPES

    def stream(self, model: Model, body: bytes, run: Run) -> RowStream:
        """Return the stream over a body. Each chunk is some whole lines.

        Raises:
            UnreadableBody: for a body without rows.
            Overloaded: while bodies of other streams take too many bytes. A slow client's body is
                held until its response ends.
        """
        rows = _NdjsonStream(model, _codecs_of(model), body, run, partial(self._hold, -len(body)))
        self._hold(len(body))
        return rows

    def _hold(self, change: int) -> None:
        """Add the bytes of a new body, or subtract the bytes of a released one."""
        with self._lock:
            if change > 0 < self._held_bytes and self._held_bytes + change > self._max_held_bytes:
                raise Overloaded(self._max_held_bytes, "bytes are held for slow clients")
            self._held_bytes += change

    def encode_error(self, row: int, error: Exception) -> bytes:
        """Return the line of a row without a result."""
        return error_line(row, error) + b"\n"


class _NdjsonStream:
    """The stream over one body.

    Args:
        model: the model.
        codecs: the model's codecs.
        body: the lines.
        run: runs the model on rows. Errors other than invalid rows leave ``__next__``, and their
            slice has no results.
        release: called when the body is released.

    Raises:
        UnreadableBody: for a body without rows.
        InvalidRequest: by ``__next__``, for too many invalid rows.
    """

    def __init__(
        self,
        model: Model,
        codecs: _LineCodecs,
        body: bytes,
        run: Run,
        release: Callable[[], None],
    ) -> None:
        self._model, self._codecs, self._run, self._release = model, codecs, run, release
        self._source = io.BytesIO(body)  # shares the bytes
        if body.startswith(BYTE_ORDER_MARK):
            self._source.seek(len(BYTE_ORDER_MARK))
        self._invalid_rows = self._problems = 0
        self.rows_done, self.decode_seconds, self.encode_seconds = 0, 0.0, 0.0
        self._lines = self._next_lines()
        if not self._lines:
            raise UnreadableBody("the body is empty")

    @property
    def is_finished(self) -> bool:
        """Whether every row has an encoded result."""
        return not self._lines

    def __next__(self) -> bytes:
        lines = self._lines
        if not lines:
            raise StopIteration
        slice_ = _Slice(self.rows_done, [None] * len(lines))
        started = time.perf_counter()
        self._decode(lines, 0, slice_)
        self.decode_seconds += time.perf_counter() - started
        if slice_.rows:
            self._predict(concatenate(slice_.parts), slice_.rows, slice_)
        started = time.perf_counter()
        chunk = _encode_lines(slice_.lines)
        self.rows_done += len(lines)
        self._lines = self._next_lines()
        self.encode_seconds += time.perf_counter() - started
        return chunk

    def close(self) -> None:
        """Release the body."""
        self._source.close()
        self._lines = []
        self._release()

    def _next_lines(self) -> list[bytes]:
        """Return the lines of the next slice, without blank lines."""
        while lines := list(islice(self._source, self._codecs.slice_rows)):
            if rows := [row for line in lines if (row := line.strip(BLANKS))]:
                return rows
        return []

    def _decode(self, lines: Sequence[bytes], start: int, slice_: _Slice) -> None:
        """Decode the lines from index ``start`` of a slice; bisect them to isolate invalid rows."""
        columns = self._decode_fast(lines)
        if columns is not None:
            slice_.parts.append(columns)
            slice_.rows.extend(range(start, start + len(lines)))
        elif len(lines) == 1:
            self._decode_with_errors(lines[0], start, slice_)
        else:
            half = len(lines) // 2
            self._decode(lines[:half], start, slice_)
            self._decode(lines[half:], start + half, slice_)

    def _decode_fast(self, lines: Sequence[bytes]) -> Columns | None:
        """Return the rows if all fit and are written alike, else None, without a reason."""
        is_list = lines[0].startswith(b"[")
        decode = self._codecs.decode_list if is_list else self._codecs.decode_object
        try:
            rows = [decode(line) for line in lines]
        except DECODE_ERRORS:
            return None
        return self._model.row_types.from_rows(rows, len(rows))

    def _decode_with_errors(self, line: bytes, index: int, slice_: _Slice) -> None:
        """Decode one row, or put an error with every problem in its line."""
        signature = self._model.signature
        try:
            row = _parse_line(line)
            if self._problems >= DETAILED_PROBLEMS and isinstance(row, Mapping):
                _reject_unknown_names(row, signature.by_name)
            slice_.parts.append(columns_from_values(signature, [row], _locate))
            slice_.rows.append(index)
        except RequestError as error:
            slice_.lines[index] = self._error_line(slice_.first + index, error)

    def _predict(self, columns: Columns, rows: Sequence[int], slice_: _Slice) -> None:
        """Put results in the lines of some rows; bisect the rows to isolate those that fail."""
        try:
            observation = self._run(columns)
        except InvalidRows as error:
            if len(rows) == 1:
                slice_.lines[rows[0]] = self._error_line(slice_.first + rows[0], error)
                return
            half = len(rows) // 2
            for start, end in ((0, half), (half, len(rows))):
                numbers, categories = columns.numbers[start:end], columns.categories[start:end]
                self._predict(Columns(numbers, categories), rows[start:end], slice_)
        else:
            lines = self._codecs.encoder.lines(
                observation.prediction,
                observation.out_of_range,
                [slice_.first + row for row in rows],
            )
            for row, line in zip(rows, lines, strict=True):
                slice_.lines[row] = line

    def _error_line(self, row: int, error: RequestError) -> msgspec.Raw:
        """Return the line of an invalid row, and count it.

        Raises:
            InvalidRequest: after ``MAX_INVALID_ROWS``.
        """
        self._invalid_rows += 1
        if self._invalid_rows > MAX_INVALID_ROWS:
            raise InvalidRequest(
                f"more than {MAX_INVALID_ROWS} rows are invalid, and the rest of the body is ignored"
            )
        if isinstance(error, InvalidRows):
            problems = [replace(problem, row=row) for problem in error.problems]
            if self._problems >= DETAILED_PROBLEMS:
                problems = problems[:1]
            self._problems += len(problems)
            is_truncated = error.truncated or len(problems) < len(error.problems)
            error = InvalidRows(problems, truncated=is_truncated)
        return msgspec.Raw(error_line(row, error))


def error_line(row: int, error: Exception) -> bytes:
    """Return an error response's JSON with the row index added."""
    return b'{"row":%d,%b' % (row, error_response(error).body[1:])


def _make_codecs(model: Model) -> _LineCodecs:
    values_per_row = len(model.signature.features) + len(model.signature.classes)
    rows_in_time = SLICE_S / max(model.row_seconds, SLICE_S / SLICE_ROWS)
    return _LineCodecs(
        decode_object=msgspec.json.Decoder(model.row_types.object_row).decode,
        decode_list=msgspec.json.Decoder(model.row_types.array_row).decode,
        encoder=JsonResultEncoder(model),
        slice_rows=max(1, min(SLICE_VALUES // values_per_row, int(rows_in_time))),
    )


_codecs_of = PerModel(_make_codecs)


def _parse_line(line: bytes) -> Any:
    """Parse any JSON into plain values."""
    try:
        return parse_json(line, JSON, 1)
    except UnreadableBody as error:
        message = str(error).replace("the body", "this line", 1).replace("line 1, ", "", 1)
        raise UnreadableBody(message) from None


def _locate(_row: int, name: str | None) -> str:
    """Return the JSON pointer of a value within its line."""
    return "" if name is None else f"/{pointer_token(name)}"


def _reject_unknown_names(row: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Reject a row with an unknown name, without the slow search for similar names."""
    for name in row:
        if name not in known:
            shown = truncate(name)
            problem = Problem(0, shown, _locate(0, name), "a known feature", shown)
            raise InvalidRows([problem], truncated=True)
