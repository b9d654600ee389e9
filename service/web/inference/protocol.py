"""What an inference protocol is: it decodes rows from a body and encodes predictions as one.

An `InferenceProtocol` answers whole bodies, a `StreamProtocol` bodies of any number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from ...model.artifact import Model
from ...model.columns import Columns, Prediction
from ...model.training_range import OutOfRange
from ...serving.observation import Observation
from ..reply import Response

Header = Callable[[str], str | None]
"""Gives a request header by its name in lower case, or None."""


class Decoded(msgspec.Struct, frozen=True):
    """A request's rows, and what the protocol wants to remember until it encodes the answer.

    Attributes:
        columns: the rows.
        form: the protocol's own; handed to ``encode`` as it is.
        timeout_s: seconds that the body gives for the answer; None where it says nothing.
    """

    columns: Columns
    form: Any
    timeout_s: float | None = None


class InferenceResult(msgspec.Struct, frozen=True):
    """A prediction with all that an encoder may want to say of it."""

    model: Model
    prediction: Prediction
    out_of_range: Sequence[OutOfRange]
    request_id: str
    form: Any


class InferenceProtocol(Protocol):
    """One way to write rows and predictions as bytes."""

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows in a body, by the model's signature.

        Raises:
            RequestError: for whatever is wrong with them.
        """

    def encode(self, answered: InferenceResult) -> Response:
        """The answer."""

    def reading_cost(self, header: Header, body: bytes) -> int:
        """How many bytes of JSON take as long to read as this body does."""


class RowStream(Protocol):
    """The answer to a body of any number of rows, made in slices.

    Attributes:
        row: index of the first row that has no answer yet.
        is_over: whether there is none.
        reading_s: seconds that it took to read rows so far.
        writing_s: seconds that it took to write answers so far.
    """

    row: int
    reading_s: float
    writing_s: float

    @property
    def is_over(self) -> bool:
        """See the attributes."""

    def __next__(self) -> bytes:
        """The answers to the next slice."""

    def close(self) -> None:
        """Let go of the rows; called once, when there are to be no more answers."""


class StreamProtocol(Protocol):
    """One way to write rows and predictions one after the other.

    Attributes:
        content_type: of the answers.
    """

    content_type: str

    def takes(self, header: Callable[[str], str | None]) -> bool:
        """Whether a body is written so; quick, for every body is asked about."""

    def stream(self, model: Model, body: bytes, run: Callable[[Columns], Observation]) -> RowStream:
        """The answer to a body, of which nothing has been made yet.

        Args:
            model: whose rows they are.
            body: all of them.
            run: has the model answer some of them.

        Raises:
            RequestError: when the body holds none.
            Overloaded: when too much is held for others already.
        """

    def failure(self, row: int, error: Exception) -> bytes:
        """What is written in the place of the answer to a row."""
