"""The Open Inference Protocol (V2): tensors in, tensors out, as JSON or as bytes behind it.

{"inputs": [{"name": "numbers", "shape": [1, 2], "datatype": "FP64", "data": [172, 95]}]}
{"inputs": [{"name": "height_cm", "shape": [1], "datatype": "INT64", "data": [172]}, ...]}

Where a request has the header ``Inference-Header-Content-Length``, its body is so many bytes of JSON
and then the bytes of those inputs that say ``binary_data_size``, in their order. Answers are written
the same way for outputs that are asked for as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import numpy as np

from ...errors import InvalidRequest, UnreadableBody
from ...model.artifact import Model
from ...model.columns import Prediction
from ...model.validation import truncate
from ..errors import JSON
from ..inference.protocol import Decoded, Header, InferenceResult
from ..reply import Response
from .tensor import Tensor, decoded, framed
from .tensor_inputs import InputSpec

ARRAY_GAIN = 16
"""How much quicker arrays are read than the JSON of as many bytes, at the least."""

LENGTH_HEADER = "Inference-Header-Content-Length"

_LENGTH_KEY = LENGTH_HEADER.lower()

BINARY = "application/octet-stream"

LONGEST_LENGTH = 18
"""Digits of that header; Python refuses to read numbers of some thousand digits."""

BASE64 = "base64"

LABEL, PROBABILITIES = "label", "probabilities"
"""The outputs that there are."""

MICROSECONDS = 1e-6

LONGEST_S = 1e6
"""A time limit that is longer is none."""

_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_ABSENT, _NULL = msgspec.Raw(), msgspec.Raw(b"null")


class _InputParameters(msgspec.Struct):
    binary_data_size: int | None = None
    content_type: Any = None


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: _InputParameters | None = None
    data: msgspec.Raw = _ABSENT


def _is_base64(given: _Input) -> bool:
    """Whether the texts are written as MLServer's Base64Codec does; its other codecs change nothing."""
    return given.parameters is not None and given.parameters.content_type == BASE64


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: int | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: _OutputParameters | None = None


class _RequestParameters(msgspec.Struct):
    binary_data_output: bool | None = None
    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _Request(msgspec.Struct):
    """An infer request. Keys and parameters that are not named here are passed over."""

    inputs: list[_Input]
    id: str | _Id | None = None
    parameters: _RequestParameters | None = None
    outputs: list[_Output] | None = None


class _Wanted(msgspec.Struct, frozen=True):
    """An output as it is asked for: as bytes or not, and of how many of the best classes, if so."""

    name: str
    binary: bool = False
    best: int = 0


class _Form(msgspec.Struct, frozen=True):
    """What of a request its answer depends on."""

    id: str | int | None
    outputs: tuple[_Wanted, ...]


EVERY_OUTPUT = (_Wanted(LABEL), _Wanted(PROBABILITIES))
EVERY_OUTPUT_BINARY = (_Wanted(LABEL, binary=True), _Wanted(PROBABILITIES, binary=True))


class OpenInferenceProtocol:
    """Decodes tensors and encodes labels and probabilities as tensors; see the module's docstring.

    Args:
        max_rows: rows in one request at most.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._decoder = msgspec.json.Decoder(_Request)
        self._encoder = msgspec.json.Encoder()

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """The rows in a body, what is asked of them, and the time that there is for it."""
        length = _json_bytes(header(_LENGTH_KEY), body)
        request = self._request(body[:length])
        tensors = _tensors(request.inputs, memoryview(body)[length:])
        outputs = _wanted(request)
        key = InputSpec, self._max_rows
        forms = model.memo.get(key)
        if forms is None:
            forms = model.memo[key] = InputSpec(model, self._max_rows)
        return Decoded(forms.columns(tensors), _Form(request.id, outputs), _timeout_s(request))

    def decode_cost(self, header: Header, body: bytes) -> int:
        """The bytes of its JSON; arrays are taken as they are, for a fraction of the time."""
        length = _json_bytes(header(_LENGTH_KEY), body)
        return length + (len(body) - length) // ARRAY_GAIN

    def encode(self, answered: InferenceResult) -> Response:
        """The outputs asked for, in that order, and what was unusual in the rows."""
        form: _Form = answered.context
        answer: dict[str, Any] = {
            "model_name": answered.model.name,
            "model_version": str(answered.model.version),
        }
        if form.id is not None:
            answer["id"] = form.id
        if answered.out_of_range:
            # The protocol's parameters are texts, numbers and booleans.
            warnings = self._encoder.encode(answered.out_of_range).decode("utf-8")
            answer["parameters"] = {"warnings": warnings}
        outputs: list[dict[str, Any]] = []
        chunks: list[bytes] = []
        for wanted in form.outputs:
            output, content = _output(wanted, answered.prediction, answered.model)
            outputs.append(output)
            if content is not None:
                chunks.append(content)
        answer["outputs"] = outputs
        text = self._encoder.encode(answer)
        if not chunks:
            return Response(HTTPStatus.OK, text, JSON)
        headers = ((LENGTH_HEADER, str(len(text))),)
        return Response(HTTPStatus.OK, b"".join((text, *chunks)), BINARY, headers)

    def _request(self, text: bytes) -> _Request:
        if not text:
            raise UnreadableBody("the body is empty")
        return decoded(self._decoder, text, "infer request")


def _json_bytes(header: str | None, body: bytes) -> int:
    """How many bytes of a body are JSON, by its header; without it, all of them."""
    if header is None:
        return len(body)
    length = header.strip()
    if length.isascii() and length.isdigit() and len(length) <= LONGEST_LENGTH:
        count = int(length)
        if count <= len(body):
            return count
    raise InvalidRequest(
        f"{LENGTH_HEADER} is '{truncate(header)}', expected a whole number from 0 to {len(body)}, "
        "which is how long the body is"
    )


def _timeout_s(request: _Request) -> float | None:
    """The time limit of a request, which it gives in microseconds; 0 is none, as in Triton."""
    given = request.parameters.timeout if request.parameters else None
    return given * MICROSECONDS if given and given * MICROSECONDS <= LONGEST_S else None


def _tensors(inputs: Sequence[_Input], content: memoryview) -> list[Tensor]:
    """The inputs of a request, each with its data or its share of the bytes behind the JSON."""
    if not inputs:
        raise InvalidRequest("expected an input at least", "/inputs")
    tensors = []
    at = 0
    for index, given in enumerate(inputs):
        place = f"/inputs/{index}"
        size = given.parameters.binary_data_size if given.parameters else None
        data = None if given.data in (_ABSENT, _NULL) else given.data
        named = place, given.name, given.datatype, given.shape
        if size is None:
            if data is None:
                raise InvalidRequest(f"input '{truncate(given.name)}' has no data", place)
            tensors.append(Tensor(*named, data, None, is_base64=_is_base64(given)))
            continue
        where = f"{place}/parameters/binary_data_size"
        if data is not None:
            raise InvalidRequest(
                f"input '{truncate(given.name)}' has both data and binary_data_size", where
            )
        end = at + size
        if not at <= end <= len(content):
            raise InvalidRequest(
                f"input '{truncate(given.name)}' says {size} bytes, there are {len(content) - at} left",
                where,
            )
        share = content[at:end]
        tensors.append(Tensor(*named, None, share))
        at = end
    if at != len(content):
        raise InvalidRequest(f"{len(content) - at} bytes after the last input belong to none")
    return tensors


def _wanted(request: _Request) -> tuple[_Wanted, ...]:
    """The outputs that are asked for, in order; all where none is."""
    binary = bool(request.parameters and request.parameters.binary_data_output)
    if not request.outputs:
        return EVERY_OUTPUT_BINARY if binary else EVERY_OUTPUT
    wanted: dict[str, _Wanted] = {}
    for index, output in enumerate(request.outputs):
        name, parameters = output.name, output.parameters or _OutputParameters()
        place = f"/outputs/{index}"
        if name not in (LABEL, PROBABILITIES):
            raise InvalidRequest(
                f"there is no output '{truncate(name)}', expected {LABEL} or {PROBABILITIES}",
                f"{place}/name",
            )
        if name in wanted:
            raise InvalidRequest(f"output '{name}' is asked for twice", f"{place}/name")
        best = parameters.classification or 0
        if best < 0 or (best and name == LABEL):
            raise InvalidRequest(
                f"classification of {best} for output '{name}', expected some of {PROBABILITIES}",
                f"{place}/parameters/classification",
            )
        as_bytes = binary if parameters.binary_data is None else parameters.binary_data
        wanted[name] = _Wanted(name, as_bytes, best)
    return tuple(wanted.values())


def _output(
    wanted: _Wanted, prediction: Prediction, model: Model
) -> tuple[dict[str, Any], bytes | None]:
    """One output as JSON, and its bytes where it is asked for as bytes."""
    probabilities = prediction.probabilities
    shape, datatype = [len(probabilities)], "BYTES"
    if wanted.best:
        best = min(wanted.best, len(model.signature.classes))
        shape, values = [*shape, best], _best(probabilities, model.signature.classes, best)
    elif wanted.name == LABEL:
        values = prediction.labels
    else:
        shape, datatype = list(probabilities.shape), "FP32"
    output: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": shape}
    if not wanted.binary:
        output["data"] = probabilities.ravel().tolist() if datatype == "FP32" else values
        return output, None
    content = (
        probabilities.astype("<f4", copy=False).tobytes() if datatype == "FP32" else framed(values)
    )
    output["parameters"] = {"binary_data_size": len(content)}
    return output, content


def _best(probabilities: Any, classes: Sequence[str], best: int) -> list[str]:
    """The ``best`` likeliest classes of each row as ``score:index:label``, of equals the first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :best]
    scores = np.take_along_axis(probabilities, order, axis=1)
    return [
        f"{score}:{index}:{classes[index]}"
        for score, index in zip(scores.ravel().tolist(), order.ravel().tolist(), strict=True)
    ]
