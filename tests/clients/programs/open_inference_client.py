"""``open-inference-openapi``: made from the protocol's published document, and strict in reading.

python open_inference_client.py URL    where the server is
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from asking import print_answers
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.types import (
    InferenceRequest,
    RequestInput,
    RequestOutput,
    TensorData,
)


def request(**more: Any) -> InferenceRequest:
    """Two rows for bodymass."""
    numbers = RequestInput(
        name="numbers",
        shape=[2, 2],
        datatype="FP64",
        data=TensorData(__root__=[172.0, 95.0, 180.0, 50.0]),
    )
    return InferenceRequest(inputs=[numbers], **more)


def plain(parsed: Any) -> Any:
    """What was parsed, as JSON has it."""
    return json.loads(parsed.json())


if __name__ == "__main__":
    url = sys.argv[1]
    client = OpenInferenceClient(base_url=url)
    print_answers(
        {
            "live": client.check_server_liveness,
            "ready": client.check_server_readiness,
            "model_ready": lambda: client.check_model_readiness("bodymass"),
            "version_ready": lambda: client.check_model_version_readiness("bodymass", "1"),
            "no_model_ready": lambda: client.check_model_readiness("dogs"),
            "server": lambda: plain(client.read_server_metadata()),
            "metadata": lambda: plain(client.read_model_metadata("bodymass")),
            "version_metadata": lambda: plain(client.read_model_version_metadata("mixed", "1")),
            "no_metadata": lambda: plain(client.read_model_metadata("dogs")),
            "infer": lambda: plain(client.model_infer("bodymass", request=request(id="mine"))),
            "version_infer": lambda: plain(
                client.model_version_infer(
                    "bodymass",
                    "1",
                    request=request(outputs=[RequestOutput(name="probabilities")]),
                )
            ),
            "wrong_infer": lambda: plain(
                client.model_infer(
                    "bodymass", request=request(outputs=[RequestOutput(name="odds")])
                )
            ),
            "async_infer": lambda: plain(
                asyncio.run(
                    AsyncOpenInferenceClient(base_url=url).model_infer(
                        "bodymass", request=request()
                    )
                )
            ),
        }
    )
