"""Inference by the Open Inference Protocol (V2): tensors as JSON, or as binary data behind it.

{"inputs": [{"name": "numbers", "shape": [1, 2], "datatype": "FP64", "data": [172, 95]}]}
{"inputs": [{"name": "height_cm", "shape": [1], "datatype": "INT64", "data": [172]}, ...]}

The header ``Inference-Header-Content-Length`` gives the length of the JSON, in bytes. The data of each
input with ``binary_data_size`` follows, in order. Binary outputs are encoded the same way.
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
from ...model.per_model import PerModel
from ...model.validation import truncate
from ..errors import JSON
from ..inference.protocol import Decoded, Header, InferenceResult
from ..response import Response
from .binary_tensor import BinaryTensor, encode_texts
from .json_tensor import JsonTensor
from .request_json import decode_request
from .tensor import RequestTensor
from .tensor_inputs import InputSpec

BINARY_SPEEDUP = 16
"""Decoding binary data is at least this many times faster than JSON of the same size."""

LENGTH_HEADER = "Inference-Header-Content-Length"

_LENGTH_KEY = LENGTH_HEADER.lower()

BINARY = "application/octet-stream"

MAX_LENGTH_DIGITS = 18
"""Longest value of that header; Python rejects numbers of several thousand digits."""

BASE64 = "base64"

LABEL, PROBABILITIES = "label", "probabilities"
"""Names of the outputs."""

MICROSECONDS = 1e-6

MAX_TIMEOUT_S = 1e6
"""A longer time limit has no effect."""

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
    """An infer request. Other keys and parameters are ignored."""

    inputs: list[_Input]
    id: str | _Id | None = None
    parameters: _RequestParameters | None = None
    outputs: list[_Output] | None = None


class _OutputSpec(msgspec.Struct, frozen=True):
    """A requested output.

    Attributes:
        name: of the output.
        is_binary: whether to encode the output as binary data.
        top: number of most likely classes to return; 0 for the plain output.
    """

    name: str
    is_binary: bool = False
    top: int = 0


class _Context(msgspec.Struct, frozen=True):
    """The parts of a request that its response depends on."""

    id: str | int | None
    outputs: tuple[_OutputSpec, ...]


ALL_OUTPUTS = (_OutputSpec(LABEL), _OutputSpec(PROBABILITIES))
ALL_OUTPUTS_BINARY = (
    _OutputSpec(LABEL, is_binary=True),
    _OutputSpec(PROBABILITIES, is_binary=True),
)


class OpenInferenceProtocol:
    """Decodes tensors, and encodes labels and probabilities as tensors.

    Args:
        max_rows: most rows per request.
    """

    def __init__(self, max_rows: int) -> None:
        self._spec_of = PerModel(lambda model: InputSpec(model, max_rows))
        self._decoder = msgspec.json.Decoder(_Request)
        self._encoder = msgspec.json.Encoder()

    def decode(self, model: Model, body: bytes, header: Header) -> Decoded:
        """Return the rows of a body, the requested outputs, and the time limit.

        Raises:
            RequestError: if the body is invalid.
        """
        length = _json_length(header(_LENGTH_KEY), body)
        request = self._decode_request(body[:length])
        tensors = _tensors(request.inputs, memoryview(body)[length:])
        context = _Context(request.id, _requested_outputs(request))
        columns = self._spec_of(model).columns(tensors)
        return Decoded(columns, context, _timeout_s(request))

    def decode_cost(self, header: Header, body: bytes) -> int:
        """Return the size of a JSON body, in bytes, that takes as long to decode as this body."""
        length = _json_length(header(_LENGTH_KEY), body)
        return length + (len(body) - length) // BINARY_SPEEDUP

    def encode(self, result: InferenceResult) -> Response:
        """Return the requested outputs in order, with warnings about values out of range."""
        context: _Context = result.context
        response: dict[str, Any] = {
            "model_name": result.model.name,
            "model_version": str(result.model.version),
        }
        if context.id is not None:
            response["id"] = context.id
        if result.out_of_range:
            # The protocol's parameters are texts, numbers and booleans.
            warnings = self._encoder.encode(result.out_of_range).decode("utf-8")
            response["parameters"] = {"warnings": warnings}
        outputs: list[dict[str, Any]] = []
        chunks: list[bytes] = []
        for spec in context.outputs:
            output, content = _encode_output(spec, result.prediction, result.model)
            outputs.append(output)
            if content is not None:
                chunks.append(content)
        response["outputs"] = outputs
        text = self._encoder.encode(response)
        if not chunks:
            return Response(HTTPStatus.OK, text, JSON)
        headers = ((LENGTH_HEADER, str(len(text))),)
        return Response(HTTPStatus.OK, b"".join((text, *chunks)), BINARY, headers)

    def _decode_request(self, text: bytes) -> _Request:
        if not text:
            raise UnreadableBody("the body is empty")
        return decode_request(self._decoder, text, "infer request")


def _json_length(header: str | None, body: bytes) -> int:
    """Return the length of the JSON in a body, in bytes; without the header, all of it."""
    if header is None:
        return len(body)
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) <= MAX_LENGTH_DIGITS:
        length = int(text)
        if length <= len(body):
            return length
    raise InvalidRequest(
        f"{LENGTH_HEADER} is '{truncate(header)}', expected an integer from 0 to {len(body)}, "
        "the length of the body"
    )


def _timeout_s(request: _Request) -> float | None:
    """Return the time limit, which requests give in microseconds; 0 means none, as in Triton."""
    timeout = request.parameters.timeout if request.parameters else None
    return timeout * MICROSECONDS if timeout and timeout * MICROSECONDS <= MAX_TIMEOUT_S else None


def _tensors(inputs: Sequence[_Input], content: memoryview) -> list[RequestTensor]:
    """Return the inputs of a request, each with its JSON data or its part of the binary data."""
    if not inputs:
        raise InvalidRequest("expected at least one input", "/inputs")
    tensors: list[RequestTensor] = []
    at = 0
    for index, entry in enumerate(inputs):
        place = f"/inputs/{index}"
        size = entry.parameters.binary_data_size if entry.parameters else None
        if size is None:
            tensors.append(_json_tensor(place, entry))
            continue
        where = f"{place}/parameters/binary_data_size"
        if entry.data not in (_ABSENT, _NULL):
            raise InvalidRequest(
                f"input '{truncate(entry.name)}' has both data and binary_data_size, "
                "expected one of them",
                where,
            )
        end = at + size
        if not at <= end <= len(content):
            raise InvalidRequest(
                f"input '{truncate(entry.name)}' has binary_data_size {size}, "
                f"but only {len(content) - at} bytes are left",
                where,
            )
        part = content[at:end]
        tensors.append(BinaryTensor(place, entry.name, entry.datatype, entry.shape, part))
        at = end
    if at != len(content):
        raise InvalidRequest(f"{len(content) - at} bytes after the last input belong to no input")
    return tensors


def _json_tensor(place: str, entry: _Input) -> JsonTensor:
    if entry.data in (_ABSENT, _NULL):
        raise InvalidRequest(f"input '{truncate(entry.name)}' has no data", place)
    # Other codecs of MLServer leave the data unchanged.
    is_base64 = entry.parameters is not None and entry.parameters.content_type == BASE64
    return JsonTensor(
        place, entry.name, entry.datatype, entry.shape, entry.data, is_base64=is_base64
    )


def _requested_outputs(request: _Request) -> tuple[_OutputSpec, ...]:
    """Return the requested outputs in order; all outputs if the request names none."""
    is_binary = bool(request.parameters and request.parameters.binary_data_output)
    if not request.outputs:
        return ALL_OUTPUTS_BINARY if is_binary else ALL_OUTPUTS
    specs: dict[str, _OutputSpec] = {}
    for index, output in enumerate(request.outputs):
        place = f"/outputs/{index}"
        if output.name in specs:
            raise InvalidRequest(f"output '{output.name}' is requested twice", f"{place}/name")
        specs[output.name] = _output_spec(output, place, is_binary=is_binary)
    return tuple(specs.values())


def _output_spec(output: _Output, place: str, *, is_binary: bool) -> _OutputSpec:
    """Return the specification of one requested output.

    Raises:
        InvalidRequest: if the output does not exist, or the classification is invalid.
    """
    name, parameters = output.name, output.parameters or _OutputParameters()
    if name not in (LABEL, PROBABILITIES):
        raise InvalidRequest(
            f"output '{truncate(name)}' does not exist, expected {LABEL} or {PROBABILITIES}",
            f"{place}/name",
        )
    top = parameters.classification or 0
    if top < 0 or (top and name == LABEL):
        raise InvalidRequest(
            f"classification is {top} for output '{name}', expected a positive number "
            f"for {PROBABILITIES}",
            f"{place}/parameters/classification",
        )
    as_binary = is_binary if parameters.binary_data is None else parameters.binary_data
    return _OutputSpec(name, as_binary, top)


def _encode_output(
    spec: _OutputSpec, prediction: Prediction, model: Model
) -> tuple[dict[str, Any], bytes | None]:
    """Return one output as JSON, and its binary data if the request asks for it."""
    probabilities = prediction.probabilities
    shape, datatype = [len(probabilities)], "BYTES"
    if spec.top:
        top = min(spec.top, len(model.signature.classes))
        shape, values = [*shape, top], _top_classes(probabilities, model.signature.classes, top)
    elif spec.name == LABEL:
        values = prediction.labels
    else:
        shape, datatype = list(probabilities.shape), "FP32"
    output: dict[str, Any] = {"name": spec.name, "datatype": datatype, "shape": shape}
    if not spec.is_binary:
        output["data"] = probabilities.ravel().tolist() if datatype == "FP32" else values
        return output, None
    content = (
        probabilities.astype("<f4", copy=False).tobytes()
        if datatype == "FP32"
        else encode_texts(values)
    )
    output["parameters"] = {"binary_data_size": len(content)}
    return output, content


def _top_classes(probabilities: Any, classes: Sequence[str], top: int) -> list[str]:
    """Return the most likely classes of each row as ``score:index:label``; of equals, the first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    scores = np.take_along_axis(probabilities, order, axis=1)
    return [
        f"{score}:{index}:{classes[index]}"
        for score, index in zip(scores.ravel().tolist(), order.ravel().tolist(), strict=True)
    ]
