"""Doors asked without a server around them: what a client would have of the answers."""

from __future__ import annotations

import asyncio

from pigeonhole.service.web.http.messages import Handler, Request, WireResponse


class Told:
    """An answer as a client would have it."""

    def __init__(self, answer: WireResponse, rest: bytes = b"") -> None:
        start, *lines = answer.head.decode("latin-1").removesuffix("\r\n").split("\r\n")
        self.status_code = int(start.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.data = answer.body + rest


async def whole(answer: WireResponse) -> Told:
    """An answer with its rest, if it has one."""
    received = b""
    while answer.stream is not None:
        waiting = asyncio.get_running_loop().create_future()
        answer.stream.request_chunk(waiting.set_result, waiting.cancel)
        piece = await asyncio.wait_for(waiting, 30)
        if piece is None:
            break
        received += piece
    return Told(answer, received)


def answers(handler: Handler, *requests: Request) -> list[Told]:
    """What the door answers to requests that the loop reads in one turn."""

    async def ask() -> list[Told]:
        loop = asyncio.get_running_loop()
        waiting = [loop.create_future() for _ in requests]
        for request, future in zip(requests, waiting, strict=True):
            handler(request, future.set_result)
        found = [await whole(await asyncio.wait_for(future, 30)) for future in waiting]
        await asyncio.sleep(0)  # the door counts and tells after it has answered
        return found

    return asyncio.run(ask())
