"""An ASGI application with a constant response: the ceiling of ASGI servers."""

from __future__ import annotations

from typing import Any

from constant_response import RESPONSE

BODY = RESPONSE.encode()

HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, and send the constant response."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
