"""Threads for responses that take too long to compute on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from ...errors import Overloaded
from ..http.messages import BodyStream, Cancel, Send, WireResponse
from ..response import BodyChunks

log = logging.getLogger(__name__)


class ResponseThreads:
    """A thread pool with a bounded queue.

    Args:
        threads: number of threads.
        max_waiting: responses that may wait for a thread.
        name: prefix of the threads' names.
    """

    def __init__(self, threads: int, max_waiting: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free_places, self._max_waiting = threads + max_waiting, max_waiting

    def __call__(self, compute: Callable[[], WireResponse], respond: Send) -> Cancel:
        """Compute a response in a thread. Call this on the event loop.

        Args:
            compute: returns the response; must not raise.
            respond: called with the response, on the loop.

        Returns:
            A function that cancels the computation if it has not begun.

        Raises:
            Overloaded: if the queue is full.
        """
        if not self._free_places:
            raise Overloaded(self._max_waiting)
        self._free_places -= 1
        loop = asyncio.get_running_loop()
        pending = [compute]  # popped by the thread or by the cancellation, whichever is first

        def claim() -> Callable[[], WireResponse] | None:
            try:
                return pending.pop()
            except IndexError:
                return None

        def run() -> WireResponse | None:
            return claimed() if (claimed := claim()) is not None else None

        def on_done(future: Future[WireResponse | None]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish, future)

        def finish(future: Future[WireResponse | None]) -> None:
            # A canceled computation keeps its place in the pool's queue until a thread reaches it.
            self._free_places += 1
            if not future.cancelled() and (response := future.result()) is not None:
                respond(response)

        self._pool.submit(run).add_done_callback(on_done)
        return lambda: claim() is not None

    def stream(self, chunks: BodyChunks) -> BodyStream:
        """Return a stream whose chunks are computed in these threads.

        Streams take no place in the queue, because each connection has at most one waiting chunk.
        """
        return _ThreadedStream(self._pool, chunks)

    def close(self) -> None:
        """Stop the threads after their current work."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _ThreadedStream:
    """A stream that computes its chunks in a thread pool and is otherwise used on the loop only."""

    def __init__(self, pool: ThreadPoolExecutor, chunks: BodyChunks) -> None:
        self._pool, self._chunks = pool, chunks
        self._pending: Future[bytes | None] | None = None
        self._closed = False

    def request_chunk(
        self, on_chunk: Callable[[bytes | None], None], on_error: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()

        def on_done(future: Future[bytes | None]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._finish, future, on_chunk, on_error)

        self._pending = self._pool.submit(next, filter(None, self._chunks), None)
        self._pending.add_done_callback(on_done)

    def close(self) -> None:
        self._closed = True
        if self._pending is None or self._pending.cancel():
            self._chunks.close()

    def _finish(
        self,
        future: Future[bytes | None],
        on_chunk: Callable[[bytes | None], None],
        on_error: Callable[[], None],
    ) -> None:
        self._pending = None
        if self._closed:
            self._chunks.close()  # close() could not, while a thread computed a chunk
            return
        try:
            chunk = future.result()
        except Exception:
            log.exception("a streamed response failed")
            on_error()
        else:
            on_chunk(chunk)
