"""``kserve.InferenceRESTClient``: both of its protocols.

python kserve_rest.py URL [TOKEN]    where the server is; a key with the scopes predict and read
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from asking import print_answers
from kserve import InferenceRESTClient, InferInput, InferOutput, InferRequest, InferResponse
from kserve.inference_client import RESTConfig

ROWS = np.array([[172, 95], [180, 50]], np.float64)

INSTANCES = {
    "instances": [{"height_cm": 172, "weight_kg": 95}, {"height_cm": 180, "weight_kg": 50}]
}

Call = Callable[[InferenceRESTClient], Awaitable[Any]]


def request(*, binary_in: bool, binary_out: bool) -> InferRequest:
    """Two rows for bodymass."""
    numbers = InferInput("numbers", list(ROWS.shape), "FP64")
    numbers.set_data_from_numpy(ROWS, binary_data=binary_in)
    parameters = {"binary_data_output": True} if binary_out else None
    return InferRequest("bodymass", [numbers], request_id="mine", parameters=parameters)


def mixed_request() -> InferRequest:
    """Texts and booleans, as bytes."""
    values = {
        "member": (np.array([True, False]), "BOOL"),
        "color": (np.array(["red", "blue"], np.object_), "BYTES"),
        "size/cm": (np.array([2.5, 3.0], np.float32), "FP32"),
    }
    inputs = []
    for name, (array, datatype) in values.items():
        inputs.append(InferInput(name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array, binary_data=True)
    return InferRequest("mixed", inputs)


def heard(answer: InferResponse) -> dict[str, Any]:
    """An answer as the client reads it."""
    outputs: list[InferOutput] = answer.outputs
    return {
        "id": answer.id,
        "model": answer.model_name,
        "version": answer.model_version,
        "tensors": {output.name: output.as_numpy() for output in outputs},
    }


class Asked:
    """The questions to one server.

    Args:
        url: where it is.
        token: sent with every call; None where the server has no keys.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def by(self, protocol: str, call: Call) -> Callable[[], Any]:
        """A call with a client of its own: each runs in a loop of its own."""

        async def ask() -> Any:
            config = RESTConfig(protocol=protocol, retries=0, timeout=20)
            client = InferenceRESTClient(config=config)
            try:
                return await call(client)
            finally:
                await client.close()

        return lambda: asyncio.run(ask())

    def infer(self, sent: InferRequest) -> Call:
        """Asks for an inference by version 2 and reads the answer."""

        async def infer(client: InferenceRESTClient) -> dict[str, Any]:
            return heard(
                await client.infer(
                    self.url, sent, model_name=sent.model_name, headers=dict(self.headers)
                )
            )

        return infer

    def questions(self) -> dict[str, Callable[[], Any]]:
        """Everything that the client can ask."""
        url, headers = self.url, self.headers
        found: dict[str, Callable[[], Any]] = {}
        for protocol in ("v1", "v2"):
            calls: dict[str, Call] = {
                "live": lambda client: client.is_server_live(url, headers=headers),
                "model_ready": lambda client: client.is_model_ready(
                    url, "bodymass", headers=headers
                ),
                "no_model_ready": lambda client: client.is_model_ready(
                    url, "dogs", headers=headers
                ),
            }
            found |= {f"{protocol}_{name}": self.by(protocol, c) for name, c in calls.items()}
        return found | {
            "v2_ready": self.by("v2", lambda c: c.is_server_ready(url, headers=headers)),
            "v1_predict": self.by(
                "v1",
                lambda c: c.infer(url, INSTANCES, model_name="bodymass", headers=dict(headers)),
            ),
            "v1_wrong_model": self.by(
                "v1", lambda c: c.infer(url, INSTANCES, model_name="dogs", headers=dict(headers))
            ),
            "v1_wrong_row": self.by(
                "v1",
                lambda c: c.infer(
                    url, {"instances": [{}]}, model_name="bodymass", headers=dict(headers)
                ),
            ),
            "v1_explain": self.by(
                "v1",
                lambda c: c.explain(url, "bodymass", INSTANCES, headers=dict(headers)),
            ),
            **{
                f"v2_infer_{'binary' if into else 'json'}_{'binary' if out else 'json'}": self.by(
                    "v2", self.infer(request(binary_in=into, binary_out=out))
                )
                for into in (False, True)
                for out in (False, True)
            },
            "v2_mixed": self.by("v2", self.infer(mixed_request())),
        }


if __name__ == "__main__":
    print_answers(Asked(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None).questions())
