"""Clients that send requests without a pause on kept connections, and count the results."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

import uvloop

BODY = b'{"instances": [[172, 95]]}'

ANSWER_S = 30
"""Seconds after which a missing response is a failure."""

CONNECT_S = 3
"""Seconds until a connection attempt fails: a host that is gone does not reject it."""

RETRY_S = 0.02
"""Seconds between a rejected connection and the next attempt."""


class Load:
    """Clients that each keep one connection until the service closes it.

    Args:
        address: the service's URL, for example ``http://127.0.0.1:8000``.
        clients: the number of clients.
        pause: seconds between a response and the client's next request. If it exceeds the
            service's keep-alive time, the service closes idle connections meanwhile.
        through_proxy: whether a proxy accepts connections before it knows whether the service
            runs, as Docker does for a published port on loopback. A new connection that ends
            before the first byte then counts as rejected.

    Attributes:
        answered: number of correct responses.
        refused: number of rejected connections.
        failures: number of all other outcomes, by description.
        slowest: seconds of the slowest response, without rejected connections before it.
    """

    def __init__(
        self, address: str, clients: int = 64, *, pause: float = 0, through_proxy: bool = False
    ) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._clients, self._pause, self._through_proxy = clients, pause, through_proxy
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run_clients()))
        self.answered = self.refused = 0
        self.failures: Counter[str] = Counter()
        self.slowest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        self.until_more()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def until_more(self, answers: int = 100) -> None:
        """Wait for so many more responses."""
        wanted = self.answered + answers
        self._until(lambda: self.answered >= wanted)

    def until_refused(self) -> None:
        """Wait until as many connections were rejected as there are clients."""
        self._until(lambda: self.refused >= self._clients)

    def _until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, str(self)
            time.sleep(0.01)

    def __str__(self) -> str:
        failed = dict(self.failures) or "none failed"
        return f"{self.answered} answered, {self.refused} rejected, {failed}"

    async def _run_clients(self) -> None:
        await asyncio.gather(*(self._run_client() for _ in range(self._clients)))

    async def _run_client(self) -> None:
        while not self._over.is_set():
            try:
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection(self._host, self._port), CONNECT_S
                )
            except OSError:
                self.refused += 1
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await self._use(reader, writer)
            finally:
                writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send requests on one connection until it ends."""
        request = (
            b"POST /v1/models/bodymass:predict HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (self._host.encode(), len(BODY), BODY)
        )
        is_new = True
        while not self._over.is_set() and not reader.at_eof():
            begun = time.monotonic()
            try:
                writer.write(request)
                stays, failure = await asyncio.wait_for(_read_answer(reader), ANSWER_S)
            except TimeoutError:
                stays, failure = False, "no response in time"
            except (OSError, asyncio.IncompleteReadError) as error:
                got = getattr(error, "partial", b"")
                if is_new and self._through_proxy and not got:
                    self.refused += 1
                    await asyncio.sleep(RETRY_S)
                    return
                where = "new" if is_new else "kept"
                stays, failure = False, f"{type(error).__name__} on a {where} connection, {got!r}"
            if failure:
                self.failures[failure] += 1
            else:
                self.answered += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
            if not stays:
                return
            is_new = False
            if self._pause:
                await asyncio.sleep(self._pause)


async def _read_answer(reader: asyncio.StreamReader) -> tuple[bool, str]:
    """Read one response.

    Returns:
        Whether the connection stays open, and the response's problem or an empty text.

    Raises:
        OSError: the connection was reset.
        asyncio.IncompleteReadError: the connection ended before the response.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    is_good = head.startswith(b"http/1.1 200 ") and b'"overweight"' in body
    return b"connection: close" not in head, "" if is_good else f"{head[:12]!r} {body[:80]!r}"
