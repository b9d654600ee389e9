"""The interfaces of an inference protocol: decode rows from a body, encode predictions.

An `InferenceProtocol` decodes whole bodies. A `StreamProtocol` decodes bodies of any number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from ...model.artifact import Model
from ...model.columns import Columns, Prediction
from ...model.training_range import OutOfRange
from ...serving.observation import Observation
from ..response import Response

Header = Callable[[str], str | None]
"""Returns a request header by its name in lower case, or None."""


class Decoded(msgspec.Struct, frozen=True):
    """The rows of a request.

    Attributes:
        columns: the rows.
        context: the protocol's own state, handed to ``encode`` unchanged.
        timeout_s: time limit in the body, in seconds; None without one.
    """

    columns: Columns
    context: Any
    timeout_s: float | None = None


class InferenceResult(msgspec.Struct, frozen=True):
    """A prediction, and everything else that an encoder may write.

    Attributes:
        model: the model that predicted.
        prediction: labels and probabilities of all rows.
        out_of_range: values outside the training range.
        request_id: id of the request.
        context: the ``context`` of `Decoded`.
    """

    model: Model
    prediction: Prediction
    out_of_range: Sequence[OutOfRange]
    request_id: str
    context: Any


class InferenceProtocol(Protocol):
    """Decodes rows from a body and encodes their predictions."""

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """Return the rows in a body, checked against the model's signature.

        Raises:
            RequestError: for an invalid body.
        """

    def encode(self, result: InferenceResult) -> Response:
        """Return the response with a prediction."""

    def decode_cost(self, header: Header, body: bytes) -> int:
        """Return the size of a JSON body, in bytes, that takes as long to decode as this body."""


class RowStream(Protocol):
    """Predictions for a body of any number of rows, computed and encoded slice by slice.

    Attributes:
        rows_done: rows with an encoded result.
        decode_seconds: time spent on decoding rows.
        encode_seconds: time spent on encoding results.
    """

    rows_done: int
    decode_seconds: float
    encode_seconds: float

    @property
    def is_finished(self) -> bool:
        """Whether every row has an encoded result."""

    def __next__(self) -> bytes:
        """Return the encoded results of the next slice."""

    def close(self) -> None:
        """Release the body; called once, after the last slice."""


class StreamProtocol(Protocol):
    """Decodes and encodes rows one by one.

    Attributes:
        content_type: of the responses.
    """

    content_type: str

    def accepts(self, header: Header) -> bool:
        """Return whether the headers announce a body of this protocol; called for every request."""

    def stream(self, model: Model, body: bytes, run: Callable[[Columns], Observation]) -> RowStream:
        """Return a stream over a body; no slice is computed yet.

        Args:
            model: the model.
            body: all rows.
            run: runs the model on some rows.

        Raises:
            RequestError: for a body without rows.
            Overloaded: while other streams hold too many bytes.
        """

    def encode_error(self, row: int, error: Exception) -> bytes:
        """Return the bytes that stand for the result of a row that failed."""
