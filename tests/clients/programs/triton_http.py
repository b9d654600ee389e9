"""``tritonclient.http``: every call that it has for a server like this one.

python triton_http.py ADDRESS [TOKEN]    a host and port; a key with every scope
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from asking import print_answers
from tritonclient import http

ROWS = np.array([[172, 95], [180, 50]], np.float64)

ANIMAL = np.array([[4.22, 24.8, 45.9, 28.1, 6, 38.6, 148, 39.9]])


def tensor(name: str, values: np.ndarray, datatype: str, *, binary: bool = True) -> http.InferInput:
    """An input with its values."""
    made = http.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def numbers(*, binary: bool = True) -> list[http.InferInput]:
    """Two rows for bodymass as the graph's own tensor."""
    return [tensor("numbers", ROWS, "FP64", binary=binary)]


def by_feature(*, binary: bool = True) -> list[http.InferInput]:
    """The same two rows as a tensor for each feature, of other datatypes."""
    height, weight = ROWS.T
    return [
        tensor("weight_kg", weight.astype(np.float32), "FP32", binary=binary),
        tensor("height_cm", height.astype(np.int64).reshape(2, 1), "INT64", binary=binary),
    ]


def mixed(*, binary: bool = True) -> list[http.InferInput]:
    """Two rows of every kind of value, texts among them."""
    ages = np.array([30.0, np.nan if binary else 31.0])  # JSON has no NaN
    return [
        tensor("age", ages, "FP64", binary=binary),
        tensor("member", np.array([True, False]), "BOOL", binary=binary),
        tensor("color", np.array(["red", "gr\u00fcn"], np.object_), "BYTES", binary=binary),
        tensor("size/cm", np.array([2.5, 3], np.float16), "FP16"),
    ]


class Asked:
    """The questions to one server.

    Args:
        address: a host and port.
        token: sent with every call; None where the server has no keys.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self.client = http.InferenceServerClient(address, concurrency=4)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def infer(self, model: str, inputs: list[http.InferInput], **more: Any) -> dict[str, Any]:
        """What came back, as the client reads it."""
        # The client writes its own headers into the mapping that it is given.
        return self.heard(self.client.infer(model, inputs, headers=dict(self.headers), **more))

    @staticmethod
    def heard(result: http.InferResult) -> dict[str, Any]:
        """Every tensor of an answer, and what stands around them."""
        answer = result.get_response()
        tensors = {output["name"]: output for output in answer["outputs"]}
        return {
            "id": answer.get("id"),
            "version": answer["model_version"],
            "tensors": {name: result.as_numpy(name) for name in tensors},
            "datatypes": {name: held["datatype"] for name, held in tensors.items()},
            "as_bytes": [name for name, held in tensors.items() if "data" not in held],
        }

    def at_once(self) -> list[dict[str, Any]]:
        """Twenty calls, four at a time."""
        calls = [
            self.client.async_infer("bodymass", numbers(), headers=dict(self.headers))
            for _ in range(20)
        ]
        return [self.heard(call.get_result()) for call in calls]

    def outputs(self, **options: Any) -> list[http.InferRequestedOutput]:
        """The probabilities alone."""
        return [http.InferRequestedOutput("probabilities", **options)]

    def questions(self) -> dict[str, Any]:
        """Everything to ask of a server whose models are only read."""
        client, headers, infer = self.client, self.headers, self.infer
        no_such_shape = http.InferInput("numbers", [2, 3], "FP64")
        no_such_shape.set_data_from_numpy(np.ones((2, 3)))
        return {
            "live": lambda: client.is_server_live(headers),
            "ready": lambda: client.is_server_ready(headers),
            "model_ready": lambda: client.is_model_ready("bodymass", headers=headers),
            "version_ready": lambda: client.is_model_ready("bodymass", "1", headers=headers),
            "no_model_ready": lambda: client.is_model_ready("dogs", headers=headers),
            "no_version_ready": lambda: client.is_model_ready("bodymass", "9", headers=headers),
            "server": lambda: client.get_server_metadata(headers),
            "metadata": lambda: client.get_model_metadata("bodymass", headers=headers),
            "mixed_metadata": lambda: client.get_model_metadata("mixed", "1", headers=headers),
            "no_metadata": lambda: client.get_model_metadata("dogs", headers=headers),
            "config": lambda: client.get_model_config("bodymass", "1", headers=headers),
            "index": lambda: client.get_model_repository_index(headers),
            "binary": lambda: infer("bodymass", numbers()),
            "json": lambda: infer(
                "bodymass", numbers(binary=False), outputs=self.outputs(binary_data=False)
            ),
            "by_feature": lambda: infer("bodymass", by_feature()),
            "by_feature_json": lambda: infer("bodymass", by_feature(binary=False)),
            "animal": lambda: infer("animals", [tensor("numbers", ANIMAL, "FP64")]),
            "mixed": lambda: infer("mixed", mixed()),
            "mixed_json": lambda: infer("mixed", mixed(binary=False)),
            "dated": lambda: infer(
                "dated",
                [
                    tensor("size", np.array([1.0]), "FP64"),
                    tensor("seen", np.array(["2024-04-03"], np.object_), "BYTES"),
                ],
            ),
            "no_rows": lambda: infer("bodymass", [tensor("numbers", ROWS[:0], "FP64")]),
            "options": lambda: infer(
                "bodymass",
                numbers(),
                model_version="1",
                request_id="mine",
                priority=1,
                timeout=5_000_000,
                sequence_id=7,
                sequence_start=True,
                sequence_end=True,
                parameters={"whose": "own"},
            ),
            "classes": lambda: infer("bodymass", numbers(), outputs=self.outputs(class_count=2)),
            "one_class": lambda: infer(
                "bodymass", numbers(), outputs=self.outputs(binary_data=False, class_count=1)
            ),
            **{
                f"{sent}_in_{received}_out": lambda sent=sent, received=received: infer(
                    "bodymass",
                    [tensor("numbers", np.tile(ROWS, (500, 1)), "FP64")],
                    request_compression_algorithm=sent,
                    response_compression_algorithm=received,
                )
                for sent in (None, "gzip", "deflate")
                for received in (None, "gzip", "deflate")
            },
            "at_once": self.at_once,
            "wrong_shape": lambda: infer("bodymass", [no_such_shape]),
            "wrong_model": lambda: infer("dogs", numbers()),
            "wrong_output": lambda: infer(
                "bodymass", numbers(), outputs=[http.InferRequestedOutput("odds")]
            ),
            "statistics": lambda: client.get_inference_statistics("bodymass", headers=headers),
            "trace_settings": lambda: client.get_trace_settings("bodymass", headers=headers),
            "log_settings": lambda: client.get_log_settings(headers=headers),
            "shared_memory": lambda: client.get_system_shared_memory_status(headers=headers),
            "all_statistics": lambda: client.get_inference_statistics(headers=headers),
        }

    def managing(self) -> dict[str, Any]:
        """Load and unload, in the order in which they are asked."""
        client, headers = self.client, self.headers
        return {
            "unload": lambda: client.unload_model("animals", headers=headers),
            "ready_unloaded": lambda: client.is_model_ready("animals", headers=headers),
            "index_unloaded": lambda: client.get_model_repository_index(headers),
            "infer_unloaded": lambda: self.infer("animals", [tensor("numbers", ANIMAL, "FP64")]),
            "server_ready_unloaded": lambda: client.is_server_ready(headers),
            "load": lambda: client.load_model("animals", headers=headers),
            "ready_loaded": lambda: client.is_model_ready("animals", headers=headers),
            "infer_loaded": lambda: self.infer("animals", [tensor("numbers", ANIMAL, "FP64")]),
            "load_loaded": lambda: client.load_model("animals", headers=headers),
            "load_unknown": lambda: client.load_model("dogs", headers=headers),
            "load_with_file": lambda: client.load_model(
                "animals", headers=headers, config="{}", files={"file:1/model.onnx": b"x"}
            ),
        }


if __name__ == "__main__":
    asked = Asked(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    print_answers(asked.questions() | asked.managing())
