r"""The rows protocol: ``/predict``, and the same body under TensorFlow Serving's and KServe's paths.

{"instances": [{"height_cm": 172, "weight_kg": 95}]}      rows as objects
{"instances": [[172, 95]]}                                rows as lists, in signature order
{"inputs": {"height_cm": [172], "weight_kg": [95]}}       columns; answered as columns
{"inputs": [[172, 95]]}                                   rows again; answered as columns
height_cm,weight_kg\n172,95                               text/csv
an array (rows, features)                                 application/x-npy
columns by name                                           application/vnd.apache.arrow.stream

(Rows in lines, ``application/x-ndjson``, have a protocol of their own. Any rows are answered in lines
for who asks for that.)

What a body is written in, its Content-Type says; what the answer is written in, ``Accept``. Each has
a table here, and each form a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ...model.artifact import Model
from ...model.columns import Columns
from ...model.signature import Signature
from ..errors import JSON
from ..inference.protocol import Decoded, Header, InferenceResult
from ..inference.route import LONG_BYTES
from ..json_body import as_text, media_type
from ..reply import Response
from . import arrow_format, table_answers
from .arrow_format import read_arrow
from .csv_format import csv_columns
from .json_answers import RowAnswers
from .json_format import JsonRows
from .ndjson_stream import MEDIA_TYPES, NDJSON
from .npy_format import MAGIC, read_npy

CSV = table_answers.CSV

LONGEST_ACCEPT = 1000
"""Characters: an Accept header that is longer is not looked at."""

Write = Callable[[InferenceResult], Response]
"""Writes an answer."""


@dataclass(frozen=True)
class Reader:
    """How bodies of one form are read.

    Attributes:
        read: gives the rows of (body, signature, content type, rows at most).
        cost: how much longer it takes than JSON of as many bytes, about.
    """

    read: Callable[[bytes, Signature, str, int], Columns]
    cost: int


def _read_csv(body: bytes, signature: Signature, content_type: str, max_rows: int) -> Columns:
    parameters = content_type.lower().replace(" ", "").split(";")[1:]
    has_header = "header=absent" not in parameters  # RFC 4180's parameter
    return csv_columns(as_text(body), signature, max_rows, has_header=has_header)


_CSV = Reader(_read_csv, cost=8)

# Numbers are few bytes in an array, and each row has an answer of its own to be written.
_NPY = Reader(lambda body, signature, _, most: read_npy(body, signature, most), cost=8)

# Always more than an event loop should do: pyarrow may still have to be imported.
_ARROW = Reader(lambda body, signature, _, most: read_arrow(body, signature, most), LONG_BYTES)

READERS: Mapping[str, Reader] = {
    CSV: _CSV,
    "application/csv": _CSV,
    table_answers.NPY: _NPY,
    "application/npy": _NPY,
    arrow_format.STREAM: _ARROW,
    arrow_format.FILE: _ARROW,
}
"""The forms of a body by media type. Whatever else it says that it is, it is read as JSON."""

TAKEN = (
    *(JSON, CSV, NDJSON, table_answers.NPY),
    *((arrow_format.STREAM, arrow_format.FILE) if arrow_format.INSTALLED else ()),
)
"""What a body may be written in, NDJSON being read by a protocol of its own."""


def _lines_answer(answered: InferenceResult) -> Response:
    return _forms_of(answered.model).answers.in_lines(answered, NDJSON)


WRITERS: Mapping[str, Write | None] = {
    JSON: None,
    "application/*": None,
    "*/*": None,
    CSV: table_answers.csv_answer,
    "text/*": table_answers.csv_answer,
    table_answers.NPY: table_answers.npy_answer,
    **dict.fromkeys(MEDIA_TYPES, _lines_answer),
    **({arrow_format.STREAM: table_answers.arrow_answer} if arrow_format.INSTALLED else {}),
}
"""The forms of an answer by media range; None is JSON, as rows or as columns."""


@dataclass(frozen=True)
class _Forms:
    """What is made for one model: its reader and its writer of JSON."""

    json: JsonRows
    answers: RowAnswers


def _forms_of(model: Model) -> _Forms:
    forms: _Forms | None = model.memo.get(_Forms)
    if forms is None:
        forms = model.memo[_Forms] = _Forms(JsonRows(model, TAKEN), RowAnswers(model))
    return forms


class RowsProtocol:
    """Decodes rows and encodes labels with probabilities; see the module's docstring.

    Args:
        max_rows: rows in one request at most.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows in a body."""
        forms: _Forms = model.memo.get(_Forms) or _forms_of(model)
        content_type = header("content-type") or ""
        reader = _reader_by_name(content_type)
        if reader is None and body.startswith(MAGIC):
            reader = _NPY
        by_column = False
        if reader is None:
            columns, by_column = forms.json.read(body, content_type, self._max_rows)
        else:
            columns = reader.read(body, model.signature, content_type, self._max_rows)
        accept = header("accept")
        write = None if accept is None else _accepted(accept)
        if write is None:
            write = forms.answers.columns if by_column else forms.answers.rows
        return Decoded(columns, write)

    def writer(self, model: Model, header: Header) -> Write:
        """What writes the answer, by row where it is JSON."""
        return _accepted(header("accept") or "") or _forms_of(model).answers.rows

    def encode(self, answered: InferenceResult) -> Response:
        """The answer in the form that was asked for."""
        reply: Response = answered.form(answered)
        return reply

    def reading_cost(self, header: Header, body: bytes) -> int:
        """Its bytes, and more where they take longer to read than JSON."""
        reader = reader_of(header("content-type") or "", body)
        return len(body) if reader is None else reader.cost * len(body)


def reader_of(content_type: str, body: bytes) -> Reader | None:
    """What reads a body; None for JSON. An array is known by how it begins, too."""
    return _reader_by_name(content_type) or (_NPY if body.startswith(MAGIC) else None)


@lru_cache(64)
def _reader_by_name(content_type: str) -> Reader | None:
    return READERS.get(media_type(content_type))


@lru_cache(64)
def _accepted(accept: str) -> Write | None:
    """The first of the best that can be written; nobody is refused for what he would rather have."""
    if len(accept) > LONGEST_ACCEPT:
        return None
    ranges = [(kind, q) for kind, q in parse_accept_header(accept, MIMEAccept) if q > 0]
    ranges.sort(key=lambda asked: asked[1], reverse=True)
    for kind, _ in ranges:
        known = media_type(kind)
        if known in WRITERS:
            return WRITERS[known]
    return None
