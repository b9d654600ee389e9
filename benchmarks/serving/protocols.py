"""How rows are asked for, and how the answers are read, in each form that a server speaks."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.served_model import ServedModel
from benchmarks.serving.load.wrk import Post
from benchmarks.serving.models import Model

JSON = {"Content-Type": "application/json"}

HEAD_LENGTH = "Inference-Header-Content-Length"

TOLERANCE = 1e-5
"""How far a probability may be off: the same file is run by several releases of one runtime."""


class WrongAnswer(Exception):
    """A server answered something else than the model; the text says what."""


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        labels: of each row.
        probabilities: (rows, classes), in the order of the model's classes.
    """

    labels: list[str]
    probabilities: np.ndarray


class Protocol(ABC):
    """A form of requests and answers.

    Args:
        path: of the route; ``{model}`` in it stands for the model's name.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def post(self, model: Model, count: int) -> Post:
        """The request for a model's first rows."""
        body, headers = self._request(ServedModel(str(model.file)), model.rows[:count])
        return Post(self._path.format(model=model.name), body, headers)

    def check(self, model: Model, count: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Compare an answer with what the file itself gives.

        Args:
            model: that was asked.
            count: rows that were asked for.
            body: of the answer.
            headers: of the answer.

        Raises:
            WrongAnswer: it is something else, or can't be read.
        """
        served = ServedModel(str(model.file))
        labels, probabilities = served.run(served.arrays(model.rows[:count]))
        try:
            answer = self._answer(served, body, headers)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise WrongAnswer(f"unreadable, {error!r}: {body[:200]!r}") from None
        if answer.labels != labels.tolist():
            raise WrongAnswer(f"labels are not the model's: {body[:200]!r}")
        same_shape = answer.probabilities.shape == probabilities.shape
        if not (same_shape and np.allclose(answer.probabilities, probabilities, atol=TOLERANCE)):
            raise WrongAnswer(f"probabilities are not the model's: {body[:200]!r}")

    @abstractmethod
    def _request(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers."""

    @abstractmethod
    def _answer(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer in a body."""


class Rows(Protocol):
    """``{"instances": [{...}]}`` is answered by ``{"predictions": [{"label", "probabilities"}]}``."""

    key = "instances"

    def _request(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        del served
        return json.dumps({self.key: rows}).encode(), JSON

    def _answer(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Answer:
        del headers
        predictions = json.loads(body)["predictions"]
        return Answer(
            [each["label"] for each in predictions],
            np.array(
                [[each["probabilities"][name] for name in served.classes] for each in predictions]
            ),
        )


class Frames(Rows):
    """MLflow's: the rows are a data frame's records."""

    key = "dataframe_records"


class Tensors(Protocol):
    """The Open Inference Protocol V2, tensors as JSON."""

    def _request(
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

    def _answer(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Answer:
        del headers
        outputs = {each["name"]: each for each in json.loads(body)["outputs"]}
        flat = np.array(outputs["probabilities"]["data"], dtype=np.float64)
        return Answer(
            list(np.ravel(outputs["label"]["data"])), flat.reshape(-1, len(served.classes))
        )


class BinaryTensors(Protocol):
    """The same with tensors as bytes behind the JSON; for models of numbers alone."""

    def _request(
        self, served: ServedModel, rows: list[dict[str, Any]]
    ) -> tuple[bytes, dict[str, str]]:
        numbers = served.arrays(rows)["numbers"]
        data = numbers.astype("<f8").tobytes()
        head = {
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
        encoded = json.dumps(head).encode()
        headers = {"Content-Type": "application/octet-stream", HEAD_LENGTH: str(len(encoded))}
        return encoded + data, headers

    def _answer(self, served: ServedModel, body: bytes, headers: Mapping[str, str]) -> Answer:
        length = int(headers[HEAD_LENGTH])
        parts, start = {}, length
        for output in json.loads(body[:length])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            parts[output["name"]] = body[start : start + size]
            start += size
        probabilities = np.frombuffer(parts["probabilities"], "<f4")
        return Answer(_texts(parts["label"]), probabilities.reshape(-1, len(served.classes)))


def _texts(data: bytes) -> list[str]:
    """Texts that stand behind their lengths, four bytes each."""
    found, start = [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        found.append(data[start + 4 : end].decode())
        start = end
    return found
