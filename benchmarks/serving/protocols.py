"""The protocols of the servers: requests for rows, and checks of the responses."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.served_model import ServedModel
from benchmarks.serving.load.wrk import PostRequest
from benchmarks.serving.models import Model

JSON = {"Content-Type": "application/json"}

HEADER_LENGTH = "Inference-Header-Content-Length"

TOLERANCE = 1e-5
"""Largest difference of a probability, because the peers run several onnxruntime releases."""

QUOTED_BYTES = 200
"""Bytes of a wrong response that are quoted."""


class WrongResponse(Exception):
    """A server's predictions differ from the model's, or can't be read."""


@dataclass(frozen=True)
class Predictions:
    """The predictions in a response.

    Attributes:
        labels: predicted class of each row.
        probabilities: (rows, classes), in the order of the model's classes.
    """

    labels: list[str]
    probabilities: np.ndarray


class Protocol(ABC):
    """A format of requests and responses.

    Args:
        path: path of the URL; ``{model}`` stands for the model's name.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def request(self, model: Model, count: int) -> PostRequest:
        """Return the request for the first ``count`` rows of a model."""
        body, headers = self._encode(ServedModel(str(model.file)), model.rows[:count])
        return PostRequest(self._path.format(model=model.name), body, headers)

    def check(self, model: Model, count: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Compare a response with the predictions of the model file.

        Args:
            model: the requested model.
            count: number of requested rows.
            body: response body.
            headers: response headers.

        Raises:
            WrongResponse: the predictions differ, or can't be read.
        """
        served = ServedModel(str(model.file))
        labels, probabilities = served.run(served.arrays(model.rows[:count]))
        try:
            predictions = self._decode(served, body, headers)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise WrongResponse(f"unreadable, {error!r}: {body[:QUOTED_BYTES]!r}") from None
        if predictions.labels != labels.tolist():
            raise WrongResponse(f"labels differ from the model's: {body[:QUOTED_BYTES]!r}")
        same_shape = predictions.probabilities.shape == probabilities.shape
        if not (
            same_shape and np.allclose(predictions.probabilities, probabilities, atol=TOLERANCE)
        ):
            raise WrongResponse(f"probabilities differ from the model's: {body[:QUOTED_BYTES]!r}")

    @abstractmethod
    def _encode(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of a request."""

    @abstractmethod
    def _decode(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Predictions:
        """Return the predictions in a response."""


class RowProtocol(Protocol):
    """Rows as JSON objects.

    The request is ``{"instances": [{...}]}``, the response
    ``{"predictions": [{"label": ..., "probabilities": {...}}]}``.
    """

    key = "instances"

    def _encode(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        del served
        return json.dumps({self.key: rows}).encode(), JSON

    def _decode(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Predictions:
        del headers
        predictions = json.loads(body)["predictions"]
        return Predictions(
            [each["label"] for each in predictions],
            np.array(
                [[each["probabilities"][name] for name in served.classes] for each in predictions]
            ),
        )


class DataFrameProtocol(RowProtocol):
    """MLflow's protocol: rows as the records of a data frame."""

    key = "dataframe_records"


class TensorProtocol(Protocol):
    """The Open Inference Protocol V2 with JSON tensors."""

    def _encode(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        inputs = [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": "BYTES" if array.dtype == object else "FP64",
                "data": array.ravel().tolist(),
            }
            for name, array in served.arrays(rows).items()
        ]
        return json.dumps({"inputs": inputs}).encode(), JSON

    def _decode(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Predictions:
        del headers
        outputs = {each["name"]: each for each in json.loads(body)["outputs"]}
        flat = np.array(outputs["probabilities"]["data"], dtype=np.float64)
        return Predictions(
            list(np.ravel(outputs["label"]["data"])), flat.reshape(-1, len(served.classes))
        )


class BinaryTensorProtocol(Protocol):
    """The Open Inference Protocol V2 with binary tensors, for models without categories."""

    def _encode(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        numbers = served.arrays(rows)["numbers"]
        data = numbers.astype("<f8").tobytes()
        header = {
            "inputs": [
                {
                    "name": "numbers",
                    "shape": list(numbers.shape),
                    "datatype": "FP64",
                    "parameters": {"binary_data_size": len(data)},
                }
            ],
            "outputs": [
                {"name": name, "parameters": {"binary_data": True}}
                for name in ("label", "probabilities")
            ],
        }
        encoded = json.dumps(header).encode()
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(encoded))}
        return encoded + data, headers

    def _decode(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Predictions:
        length = int(headers[HEADER_LENGTH])
        tensors, start = {}, length
        for output in json.loads(body[:length])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            tensors[output["name"]] = body[start : start + size]
            start += size
        probabilities = np.frombuffer(tensors["probabilities"], "<f4")
        return Predictions(
            _read_strings(tensors["label"]), probabilities.reshape(-1, len(served.classes))
        )


def _read_strings(data: bytes) -> list[str]:
    """Return the strings of a BYTES tensor, each after its length in four bytes."""
    strings, start = [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        strings.append(data[start + 4 : end].decode())
        start = end
    return strings
