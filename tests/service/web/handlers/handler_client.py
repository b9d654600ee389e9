"""A client that calls a handler directly, without a server."""

from __future__ import annotations

import asyncio

from pigeonhole.service.web.http.messages import Handler, Request, WireResponse


class ClientResponse:
    """A response as a client reads it."""

    def __init__(self, response: WireResponse, streamed: bytes = b"") -> None:
        start, *lines = response.head.decode("latin-1").removesuffix("\r\n").split("\r\n")
        self.status_code = int(start.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.data = response.body + streamed


async def read_response(response: WireResponse) -> ClientResponse:
    """Return a response with all chunks of its stream."""
    streamed = b""
    while response.stream is not None:
        next_chunk = asyncio.get_running_loop().create_future()
        response.stream.request_chunk(next_chunk.set_result, next_chunk.cancel)
        chunk = await asyncio.wait_for(next_chunk, 30)
        if chunk is None:
            break
        streamed += chunk
    return ClientResponse(response, streamed)


def responses_of(handler: Handler, *requests: Request) -> list[ClientResponse]:
    """Return a handler's responses to requests that the loop reads in one turn."""

    async def send() -> list[ClientResponse]:
        loop = asyncio.get_running_loop()
        pending = [loop.create_future() for _ in requests]
        for request, future in zip(requests, pending, strict=True):
            handler(request, future.set_result)
        found = [await read_response(await asyncio.wait_for(future, 30)) for future in pending]
        await asyncio.sleep(0)  # the handler counts and notifies after it has responded
        return found

    return asyncio.run(send())
