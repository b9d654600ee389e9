"""``tritonclient.http.aio``: the same client for asyncio.

python triton_aio.py ADDRESS    a host and port
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from asking import print_answers
from triton_http import Asked, by_feature, mixed, numbers
from tritonclient import http
from tritonclient.http import aio

Call = Callable[[aio.InferenceServerClient], Awaitable[Any]]


def asked(address: str, call: Call) -> Callable[[], Any]:
    """A call with a client of its own: each runs in a loop of its own."""

    async def ask() -> Any:
        async with aio.InferenceServerClient(address) as client:
            return await call(client)

    return lambda: asyncio.run(ask())


def inferred(model: str, inputs: list[http.InferInput], **more: Any) -> Call:
    """Asks for an inference and reads the answer."""

    async def infer(client: aio.InferenceServerClient) -> dict[str, Any]:
        return Asked.heard(await client.infer(model, inputs, **more))

    return infer


async def twenty(client: aio.InferenceServerClient) -> list[dict[str, Any]]:
    """Twenty calls at once."""
    results = await asyncio.gather(*[client.infer("bodymass", numbers()) for _ in range(20)])
    return [Asked.heard(result) for result in results]


if __name__ == "__main__":
    calls: dict[str, Call] = {
        "live": lambda client: client.is_server_live(),
        "ready": lambda client: client.is_server_ready(),
        "model_ready": lambda client: client.is_model_ready("bodymass"),
        "no_model_ready": lambda client: client.is_model_ready("dogs"),
        "server": lambda client: client.get_server_metadata(),
        "metadata": lambda client: client.get_model_metadata("bodymass"),
        "config": lambda client: client.get_model_config("bodymass"),
        "index": lambda client: client.get_model_repository_index(),
        "statistics": lambda client: client.get_inference_statistics("bodymass"),
        "binary": inferred("bodymass", numbers()),
        "json": inferred("bodymass", numbers(binary=False)),
        "by_feature": inferred("bodymass", by_feature()),
        "mixed": inferred("mixed", mixed()),
        "classes": inferred(
            "bodymass",
            numbers(),
            outputs=[http.InferRequestedOutput("probabilities", class_count=2)],
        ),
        **{
            f"{name}_both_ways": inferred(
                "bodymass",
                numbers(),
                request_compression_algorithm=name,
                response_compression_algorithm=name,
            )
            for name in ("gzip", "deflate")
        },
        "at_once": twenty,
        "wrong_model": inferred("dogs", numbers()),
    }
    print_answers({name: asked(sys.argv[1], call) for name, call in calls.items()})
