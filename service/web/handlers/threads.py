"""Threads for answers that take their time, so that the event loop never does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from ...errors import Overloaded
from ..http.messages import BodyStream, Cancel, Send, WireResponse
from ..reply import BodyChunks

log = logging.getLogger(__name__)


class ResponseThreads:
    """A few threads, and a bound on what may wait for them.

    Args:
        threads: how many answers are made at once.
        max_waiting: how many more may wait for a thread.
        name: of the threads.
    """

    def __init__(self, threads: int, max_waiting: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room, self._max_waiting = threads + max_waiting, max_waiting

    def __call__(self, make: Callable[[], WireResponse], respond: Send) -> Cancel:
        """Make an answer in a thread; to be called on the event loop.

        Args:
            make: raises nothing.
            respond: called with the answer, on the loop.

        Returns:
            What gives it up, if it has not begun.

        Raises:
            Overloaded: when too much waits already.
        """
        if not self._room:
            raise Overloaded(self._max_waiting)
        self._room -= 1
        loop = asyncio.get_running_loop()
        unmade = [make]  # whoever takes it out has it: a thread, or who gives it up

        def taken_out() -> Callable[[], WireResponse] | None:
            try:
                return unmade.pop()
            except IndexError:
                return None

        def run() -> WireResponse | None:
            return make() if (make := taken_out()) is not None else None

        def ended(future: Future[WireResponse | None]) -> None:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(hand_over, future)

        def hand_over(future: Future[WireResponse | None]) -> None:
            # Not earlier, though given up: until then its place in the threads' queue is taken.
            self._room += 1
            if not future.cancelled() and (answer := future.result()) is not None:
                respond(answer)

        self._pool.submit(run).add_done_callback(ended)
        return lambda: taken_out() is not None

    def rest(self, pieces: BodyChunks) -> BodyStream:
        """The rest of an answer, whose pieces are made in these threads in turn with the others.

        They take no room from answers that have not begun: of each connection one waits at most.
        """
        return _Rest(self._pool, pieces)

    def close(self) -> None:
        """Let the threads end with what they do now."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Rest:
    """See `ResponseThreads.rest`; all but the pieces themselves is done on the loop."""

    def __init__(self, pool: ThreadPoolExecutor, pieces: BodyChunks) -> None:
        self._pool, self._pieces = pool, pieces
        self._being_made: Future[bytes | None] | None = None
        self._closed = False

    def ask(self, take: Callable[[bytes | None], None], fail: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def ended(future: Future[bytes | None]) -> None:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(self._hand_over, future, take, fail)

        self._being_made = self._pool.submit(next, filter(None, self._pieces), None)
        self._being_made.add_done_callback(ended)

    def close(self) -> None:
        self._closed = True
        if self._being_made is None or self._being_made.cancel():
            self._pieces.close()

    def _hand_over(
        self,
        future: Future[bytes | None],
        take: Callable[[bytes | None], None],
        fail: Callable[[], None],
    ) -> None:
        self._being_made = None
        if self._closed:
            self._pieces.close()  # not earlier: a piece was being made
            return
        try:
            piece = future.result()
        except Exception:
            log.exception("an answer broke off")
            fail()
        else:
            take(piece)
