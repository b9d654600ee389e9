"""A constant answer from an ASGI application, which uvicorn runs: the ceiling of ASGI servers."""

from __future__ import annotations

from typing import Any

from constant_answer import ANSWER

BODY = ANSWER.encode()

HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application: reads a body and answers the same to each."""
    del scope  # whatever it says
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
