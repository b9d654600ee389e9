r"""The rows protocol: ``/predict``, and the same bodies under TensorFlow Serving's and KServe's paths.

{"instances": [{"height_cm": 172, "weight_kg": 95}]}      rows as objects
{"instances": [[172, 95]]}                                rows as lists, in signature order
{"inputs": {"height_cm": [172], "weight_kg": [95]}}       columns; the response has columns too
{"inputs": [[172, 95]]}                                   rows; the response has columns
height_cm,weight_kg\n172,95                               text/csv
an array (rows, features)                                 application/x-npy
columns by name                                           application/vnd.apache.arrow.stream

Content-Type selects the format of the body, and Accept the format of the response. Each has a table
here, and each format has a module. NDJSON bodies have a protocol of their own, `ndjson_stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ...model.artifact import Model
from ...model.columns import Columns
from ...model.per_model import PerModel
from ...model.signature import Signature
from ..errors import JSON
from ..inference.content_coding import MAX_HEADER_CHARACTERS
from ..inference.protocol import Decoded, Header, InferenceResult
from ..inference.route import SLOW_DECODE_BYTES
from ..json_body import decode_utf8, media_type
from ..response import Response
from . import arrow_format, table_results
from .arrow_format import read_arrow
from .csv_format import read_csv
from .json_format import JsonRowDecoder
from .json_results import JsonResultEncoder
from .ndjson_stream import MEDIA_TYPES, NDJSON
from .npy_format import MAGIC, read_npy

CSV = table_results.CSV

Encode = Callable[[InferenceResult], Response]
"""Returns the response with a prediction."""


@dataclass(frozen=True)
class RowFormat:
    """A format of bodies other than JSON.

    Attributes:
        read: returns the rows, given the body, the signature, the Content-Type and the row limit.
        cost: decoding time relative to JSON of the same size.
    """

    read: Callable[[bytes, Signature, str, int], Columns]
    cost: int


def _read_csv(body: bytes, signature: Signature, content_type: str, max_rows: int) -> Columns:
    parameters = content_type.lower().replace(" ", "").split(";")[1:]
    has_header = "header=absent" not in parameters  # RFC 4180, section 3
    return read_csv(decode_utf8(body), signature, max_rows, has_header=has_header)


_CSV = RowFormat(_read_csv, cost=8)

# A number takes fewer bytes than in JSON, and each row has a result to encode.
_NPY = RowFormat(lambda body, signature, _, limit: read_npy(body, signature, limit), cost=8)

# Always too slow for an event loop, because the first body imports pyarrow.
_ARROW = RowFormat(
    lambda body, signature, _, limit: read_arrow(body, signature, limit), cost=SLOW_DECODE_BYTES
)

FORMATS: Mapping[str, RowFormat] = {
    CSV: _CSV,
    "application/csv": _CSV,
    table_results.NPY: _NPY,
    "application/npy": _NPY,
    arrow_format.STREAM: _ARROW,
    arrow_format.FILE: _ARROW,
}
"""Formats of bodies by media type. A body of any other media type is read as JSON."""

ACCEPTED_TYPES = (
    *(JSON, CSV, NDJSON, table_results.NPY),
    *((arrow_format.STREAM, arrow_format.FILE) if arrow_format.INSTALLED else ()),
)
"""Media types of bodies, for error messages."""


def _encode_ndjson(result: InferenceResult) -> Response:
    return _codecs_of(result.model).encoder.encode_lines(result, NDJSON)


ENCODERS: Mapping[str, Encode | None] = {
    JSON: None,
    "application/*": None,
    "*/*": None,
    CSV: table_results.encode_csv,
    "text/*": table_results.encode_csv,
    table_results.NPY: table_results.encode_npy,
    **dict.fromkeys(MEDIA_TYPES, _encode_ndjson),
    **({arrow_format.STREAM: table_results.encode_arrow} if arrow_format.INSTALLED else {}),
}
"""Encoders of responses by media range. None is JSON, in rows or in columns as the body."""


@dataclass(frozen=True)
class _ModelCodecs:
    """The JSON decoder and encoder of one model."""

    decoder: JsonRowDecoder
    encoder: JsonResultEncoder


_codecs_of = PerModel(
    lambda model: _ModelCodecs(JsonRowDecoder(model, ACCEPTED_TYPES), JsonResultEncoder(model))
)


class RowsProtocol:
    """Decodes rows, encodes labels with probabilities; the module's docstring shows the formats.

    Args:
        max_rows: limit of rows in one request.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """Return the rows in a body. The context is the encoder of the response."""
        codecs = _codecs_of(model)
        content_type = header("content-type") or ""
        row_format = _format_by_name(content_type)
        if row_format is None and body.startswith(MAGIC):
            row_format = _NPY
        by_column = False
        if row_format is None:
            columns, by_column = codecs.decoder.decode(body, content_type, self._max_rows)
        else:
            columns = row_format.read(body, model.signature, content_type, self._max_rows)
        accept = header("accept")
        encode = None if accept is None else _choose_encoder(accept)
        if encode is None:
            encode = codecs.encoder.encode_columns if by_column else codecs.encoder.encode_rows
        return Decoded(columns, encode)

    def encoder_for(self, model: Model, header: Header) -> Encode:
        """Return the encoder that Accept selects; JSON is encoded in rows."""
        accept = header("accept") or ""
        return _choose_encoder(accept) or _codecs_of(model).encoder.encode_rows

    def encode(self, result: InferenceResult) -> Response:
        """Return the response in the format that Accept selects."""
        reply: Response = result.context(result)
        return reply

    def decode_cost(self, header: Header, body: bytes) -> int:
        """Return the size of the body, times the cost of its format."""
        row_format = format_of(header("content-type") or "", body)
        return len(body) if row_format is None else row_format.cost * len(body)


def format_of(content_type: str, body: bytes) -> RowFormat | None:
    """Return the format of a body, or None for JSON. A .npy body is also detected by its magic."""
    return _format_by_name(content_type) or (_NPY if body.startswith(MAGIC) else None)


@lru_cache(64)
def _format_by_name(content_type: str) -> RowFormat | None:
    return FORMATS.get(media_type(content_type))


@lru_cache(64)
def _choose_encoder(accept: str) -> Encode | None:
    """Return the encoder of the highest weight, or None for JSON.

    A client that accepts none of the formats gets JSON. So does a client with a very long header.
    """
    if len(accept) > MAX_HEADER_CHARACTERS:
        return None
    weights = [(name, weight) for name, weight in parse_accept_header(accept, MIMEAccept) if weight]
    weights.sort(key=lambda pair: pair[1], reverse=True)
    for name, _ in weights:
        known = media_type(name)
        if known in ENCODERS:
            return ENCODERS[known]
    return None
