"""Rows as ``application/x-ndjson``: a row a line, answered as it goes by a line a row, in order.

{"height_cm": 172, "weight_kg": 95}      {"label": "overweight", "probability": 0.98, ...}
[180, 50]                                {"label": "underweight", ...}
{"height_cm": "tall"}                    {"row": 2, "error": "2 problems in 1 row", ...}

A wrong row is answered in its line and stops nobody else's. The rows are read, run and written in
slices: so there may be any number of them, and no more memory is taken than the body and a slice.
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
from ...model.validation import columns_from_values, escaped, truncate
from ...serving.observation import Observation
from ..errors import JSON, error_response
from ..inference.protocol import Header, RowStream
from ..json_body import BYTE_ORDER_MARK, REFUSED, media_type, parsed
from .json_answers import RowAnswers

NDJSON = "application/x-ndjson"

MEDIA_TYPES = frozenset(
    {NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"}
    | {"application/jsonlines"}
)
"""What NDJSON is called; it was never registered."""

SLICE_ROWS = 1000
"""Rows that are answered at once at most: of more, the cost of each is hardly smaller."""

SLICE_VALUES = 50_000
"""Features and classes of all of them together."""

SLICE_S = 0.05
"""Seconds that a run of them should take: meanwhile nobody else's of a heavy model begins."""

TOLD_PROBLEMS = 1000
"""Problems in one answer behind which only the first of a row is named: finding them all takes far
longer than answering, and who made so many made the same one in each row."""

MOST_WRONG = 50_000
"""Wrong rows in one answer; with more of them it ends. Two bytes may be one, and its line is long."""

MOST_HELD_BYTES = 256 * 2**20
"""Of bodies that one worker holds while their answers are read: as many as of all other bodies."""

BLANKS = b" \t\r\n"

_encode_lines = msgspec.json.Encoder().encode_lines

Run = Callable[[Columns], Observation]
"""Answers rows."""


@dataclass(frozen=True)
class _Forms:
    """What is made for one model.

    Attributes:
        named: reads a row as an object.
        listed: reads a row as a list.
        answers: writes answers.
        slice_rows: rows that are answered at once.
    """

    named: Callable[[bytes], Any]
    listed: Callable[[bytes], Any]
    answers: RowAnswers
    slice_rows: int


@dataclass
class _Slice:
    """Rows that are answered at once.

    Attributes:
        first: the first one's index in the request.
        written: what stands in each line of the answer, as far as it is known.
        parts: those that can be read, one after the other.
        rows: the place of each of these in the slice.
    """

    first: int
    written: list[Any]
    parts: list[Columns] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class NdjsonProtocol:
    """Rows in lines, as a route takes them; see the module's docstring.

    Args:
        most_held_bytes: of all bodies that are being answered, after inflating; one alone is always
            taken.
    """

    content_type = NDJSON

    def __init__(self, most_held_bytes: int = MOST_HELD_BYTES) -> None:
        self._most_held_bytes, self._held_bytes = most_held_bytes, 0
        self._counting = threading.Lock()

    def takes(self, header: Header) -> bool:
        """Whether the Content-Type names NDJSON."""
        content_type = header("content-type")
        return content_type is not None and media_type(content_type) in MEDIA_TYPES

    def stream(self, model: Model, body: bytes, run: Run) -> RowStream:
        """The answer to a body of lines, each piece of it some whole lines.

        Raises:
            UnreadableBody: when no line holds anything.
            Overloaded: when too much is held already: a slow reader's body is there until he is done.
        """
        forms = model.memo.get(_Forms)
        if forms is None:
            forms = model.memo[_Forms] = _made_forms(model)
        rows = _NdjsonRows(model, forms, body, run, partial(self._hold, -len(body)))
        self._hold(len(body))
        return rows

    def _hold(self, change: int) -> None:
        """Count the bytes of a body that comes, or, below zero, goes."""
        with self._counting:
            if change > 0 < self._held_bytes and self._held_bytes + change > self._most_held_bytes:
                raise Overloaded(self._most_held_bytes, "bytes are held for slow readers")
            self._held_bytes += change

    def failure(self, row: int, error: Exception) -> bytes:
        """The line that a row has in the place of its answer."""
        return failure_line(row, error) + b"\n"


class _NdjsonRows:
    """The answer to one body.

    Args:
        model: what answers.
        forms: made for it.
        body: the lines.
        run: has the model answer some rows; what it raises, but for wrong rows, comes out of here,
            and the slice that it happened to has no answer.
        let_go: told when the body is.

    Raises:
        UnreadableBody: when no line holds anything; from then on InvalidRequest, when too many rows
            are wrong.
    """

    def __init__(
        self,
        model: Model,
        forms: _Forms,
        body: bytes,
        run: Run,
        let_go: Callable[[], None],
    ) -> None:
        self._model, self._forms, self._run, self._let_go = model, forms, run, let_go
        self._source = io.BytesIO(body)  # shares the bytes
        if body.startswith(BYTE_ORDER_MARK):
            self._source.seek(len(BYTE_ORDER_MARK))
        self._wrong = self._problems = 0
        self.row, self.reading_s, self.writing_s = 0, 0.0, 0.0
        self._lines = self._next_lines()
        if not self._lines:
            raise UnreadableBody("the body is empty")

    @property
    def is_over(self) -> bool:
        """Whether every row has its answer."""
        return not self._lines

    def __next__(self) -> bytes:
        lines = self._lines
        if not lines:
            raise StopIteration
        slice_ = _Slice(self.row, [None] * len(lines))
        began = time.perf_counter()
        self._read(lines, 0, slice_)
        self.reading_s += time.perf_counter() - began
        if slice_.rows:
            self._answer(concatenate(slice_.parts), slice_.rows, slice_)
        began = time.perf_counter()
        written = _encode_lines(slice_.written)
        self.row += len(lines)
        self._lines = self._next_lines()
        self.writing_s += time.perf_counter() - began
        return written

    def close(self) -> None:
        """Let go of the body."""
        self._source.close()
        self._lines = []
        self._let_go()

    def _next_lines(self) -> list[bytes]:
        """The lines of the next slice; those without anything on them are none."""
        while lines := list(islice(self._source, self._forms.slice_rows)):
            if rows := [row for line in lines if (row := line.strip(BLANKS))]:
                return rows
        return []

    def _read(self, lines: Sequence[bytes], place: int, slice_: _Slice) -> None:
        """Read rows that stand from ``place`` on in a slice; halve them until wrong ones stand alone."""
        columns = self._quick(lines)
        if columns is not None:
            slice_.parts.append(columns)
            slice_.rows.extend(range(place, place + len(lines)))
        elif len(lines) == 1:
            self._read_thoroughly(lines[0], place, slice_)
        else:
            half = len(lines) // 2
            self._read(lines[:half], place, slice_)
            self._read(lines[half:], place + half, slice_)

    def _quick(self, lines: Sequence[bytes]) -> Columns | None:
        """Rows of one form, if all of them fit; else None, and nothing said of why."""
        decode = self._forms.listed if lines[0].startswith(b"[") else self._forms.named
        try:
            rows = [decode(line) for line in lines]
        except REFUSED:
            return None
        return self._model.forms.from_rows(rows, len(rows))

    def _read_thoroughly(self, line: bytes, place: int, slice_: _Slice) -> None:
        """Read one row, or say everything that is wrong with it."""
        signature = self._model.signature
        try:
            row = _parsed(line)
            if self._problems >= TOLD_PROBLEMS and isinstance(row, Mapping):
                _refuse_strangers(row, signature.by_name)
            slice_.parts.append(columns_from_values(signature, [row], _locate))
            slice_.rows.append(place)
        except RequestError as error:
            slice_.written[place] = self._refusal(slice_.first + place, error)

    def _answer(self, columns: Columns, rows: Sequence[int], slice_: _Slice) -> None:
        """Have the model answer rows; halve them until those without an answer stand alone."""
        try:
            seen = self._run(columns)
        except InvalidRows as error:
            if len(rows) == 1:
                slice_.written[rows[0]] = self._refusal(slice_.first + rows[0], error)
                return
            half = len(rows) // 2
            for start, end in ((0, half), (half, len(rows))):
                numbers, categories = columns.numbers[start:end], columns.categories[start:end]
                self._answer(Columns(numbers, categories), rows[start:end], slice_)
        else:
            indexes = [slice_.first + place for place in rows]
            lines = self._forms.answers.lines(seen.prediction, seen.out_of_range, indexes)
            for place, line in zip(rows, lines, strict=True):
                slice_.written[place] = line

    def _refusal(self, row: int, error: RequestError) -> msgspec.Raw:
        """The line of a wrong row."""
        self._wrong += 1
        if self._wrong > MOST_WRONG:
            raise InvalidRequest(f"more than {MOST_WRONG} rows are wrong: no more are read")
        if isinstance(error, InvalidRows):
            told = [replace(problem, row=row) for problem in error.problems]
            if self._problems >= TOLD_PROBLEMS:
                told = told[:1]
            self._problems += len(told)
            left_out = error.truncated or len(told) < len(error.problems)
            error = InvalidRows(told, truncated=left_out)
        return msgspec.Raw(failure_line(row, error))


def failure_line(row: int, error: Exception) -> bytes:
    """The line of a row that has no answer: the one shape of every failure, and which row it is."""
    return b'{"row":%d,%b' % (row, error_response(error).body[1:])


def _made_forms(model: Model) -> _Forms:
    values = len(model.signature.features) + len(model.signature.classes)
    in_time = SLICE_S / max(model.row_seconds, SLICE_S / SLICE_ROWS)
    return _Forms(
        named=msgspec.json.Decoder(model.forms.named).decode,
        listed=msgspec.json.Decoder(model.forms.listed).decode,
        answers=RowAnswers(model),
        slice_rows=max(1, min(SLICE_VALUES // values, int(in_time))),
    )


def _parsed(line: bytes) -> Any:
    """Any JSON as plain values."""
    try:
        return parsed(line, JSON, 1)
    except UnreadableBody as error:
        told = str(error).replace("the body", "this line", 1).replace("line 1, ", "", 1)
        raise UnreadableBody(told) from None


def _locate(_row: int, name: str | None) -> str:
    """Places of values within their line."""
    return "" if name is None else f"/{escaped(name)}"


def _refuse_strangers(row: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse a row with an unknown name without looking for the one that was meant."""
    for name in row:
        if name not in known:
            said = truncate(name)
            problem = Problem(0, said, _locate(0, name), "a known feature", said)
            raise InvalidRows([problem], truncated=True)
