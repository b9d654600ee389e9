"""Threads that make answers for an event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Generator, Iterator

import pytest

from pigeonhole.service.errors import Overloaded
from pigeonhole.service.web.handlers.threads import ResponseThreads
from pigeonhole.service.web.http.messages import BodyStream, WireResponse

RESPONSE = WireResponse(b"head", b"body")


@pytest.fixture
def threads() -> Iterator[ResponseThreads]:
    """One thread, and room for two more answers."""
    made = ResponseThreads(1, 2, "test")
    yield made
    made.close()


async def given(ask: Callable[[Callable[[WireResponse], None]], object]) -> WireResponse:
    """The response to what was asked."""
    answered: asyncio.Future[WireResponse] = asyncio.get_running_loop().create_future()
    ask(answered.set_result)
    return await asyncio.wait_for(answered, 5)


def test_response_is_computed_in_a_thread_and_sent_on_the_loop(threads) -> None:
    made_in: list[threading.Thread] = []
    given_in: list[threading.Thread] = []

    def make() -> WireResponse:
        made_in.append(threading.current_thread())
        return RESPONSE

    async def main() -> None:
        def ask(respond: Callable[[WireResponse], None]) -> None:
            def responded(response: WireResponse) -> None:
                given_in.append(threading.current_thread())
                respond(response)

            threads(make, responded)

        assert await given(ask) is RESPONSE

    asyncio.run(main())
    assert given_in == [threading.main_thread()]
    assert made_in[0].name.startswith("test")


def test_full_queue_rejects_until_a_place_is_free(threads) -> None:
    held = threading.Event()

    def make() -> WireResponse:
        held.wait(5)
        return RESPONSE

    async def main() -> None:
        promised = [asyncio.get_running_loop().create_future() for _ in range(3)]
        for response in promised:
            threads(make, response.set_result)
        with pytest.raises(Overloaded):
            threads(make, pytest.fail)
        held.set()
        assert await asyncio.wait_for(asyncio.gather(*promised), 5) == [RESPONSE] * 3
        assert await given(lambda respond: threads(make, respond)) is RESPONSE

    asyncio.run(main())


def test_canceled_computation_never_runs_and_is_freed(threads) -> None:
    held, begun, made = threading.Event(), threading.Event(), []

    class Large:
        """Stands for a request with a large body."""

    def first() -> WireResponse:
        begun.set()
        held.wait(5)
        return RESPONSE

    def make(large: Large) -> Callable[[], WireResponse]:
        def run() -> WireResponse:
            made.append(large)
            return RESPONSE

        return run

    async def main() -> None:
        running = threads(first, lambda _answer: None)
        large = Large()
        seen = weakref.ref(large)
        give_up = threads(make(large), pytest.fail)
        del large
        assert give_up() is True
        assert give_up() is False
        gc.collect()
        assert seen() is None
        begun.wait(5)
        assert running() is False
        # Its place is taken until a thread has seen that there is nothing to do.
        promised = asyncio.get_running_loop().create_future()
        threads(make(Large()), promised.set_result)
        with pytest.raises(Overloaded):
            threads(make(Large()), pytest.fail)
        held.set()
        await asyncio.wait_for(promised, 5)

    asyncio.run(main())
    assert len(made) == 1


def pieces(*made: bytes, ended: list[bool]) -> Generator[bytes, None, None]:
    """A generator of pieces that has begun; tells of its end."""

    def make() -> Generator[bytes, None, None]:
        try:
            yield b"first"
            yield from made
        finally:
            ended.append(True)

    generator = make()
    next(generator)
    return generator


async def piece_of(rest: BodyStream) -> bytes | None:
    """The next piece; a CancelledError where it could not be made."""
    waiting = asyncio.get_running_loop().create_future()
    rest.request_chunk(waiting.set_result, waiting.cancel)
    piece: bytes | None = await asyncio.wait_for(waiting, 5)
    return piece


def test_chunks_are_computed_on_request_and_empty_ones_are_skipped(threads) -> None:
    async def main() -> None:
        ended: list[bool] = []
        rest = threads.stream(pieces(b"a", b"", b"b", ended=ended))
        assert [await piece_of(rest) for _ in range(2)] == [b"a", b"b"]
        assert not ended
        assert await piece_of(rest) is None
        assert ended

    asyncio.run(main())


def test_chunks_take_no_place_in_the_queue(threads) -> None:
    held = threading.Event()
    order: list[str] = []

    def make() -> WireResponse:
        held.wait(5)
        order.append("answer")
        return RESPONSE

    def piece() -> Generator[bytes, None, None]:
        order.append("piece")
        yield b"a"

    async def main() -> None:
        response = asyncio.get_running_loop().create_future()
        threads(make, response.set_result)
        rests = [threads.stream(piece()) for _ in range(5)]
        promised = [asyncio.ensure_future(piece_of(rest)) for rest in rests]
        await asyncio.sleep(0)
        held.set()
        assert await asyncio.gather(*promised) == [b"a"] * 5
        assert await response is RESPONSE

    asyncio.run(main())
    assert order == ["answer", *["piece"] * 5]


def test_closed_stream_computes_no_waiting_chunk(threads) -> None:
    held, begun = threading.Event(), threading.Event()

    def first() -> WireResponse:
        begun.set()
        held.wait(5)
        return RESPONSE

    async def main() -> None:
        response = asyncio.get_running_loop().create_future()
        threads(first, response.set_result)
        begun.wait(5)
        ended: list[bool] = []
        rest = threads.stream(pieces(b"a", ended=ended))
        rest.request_chunk(pytest.fail, pytest.fail)
        rest.close()
        assert ended
        held.set()
        await asyncio.wait_for(response, 5)

    asyncio.run(main())


def test_stream_closed_during_a_chunk_ends_after_it(threads) -> None:
    held, begun, ended = threading.Event(), threading.Event(), []

    def make() -> Generator[bytes, None, None]:
        try:
            begun.set()
            held.wait(5)
            yield b"a"
        finally:
            ended.append(True)

    async def main() -> None:
        rest = threads.stream(make())
        rest.request_chunk(pytest.fail, pytest.fail)
        begun.wait(5)
        rest.close()
        assert not ended
        held.set()
        while not ended:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_failing_chunk_is_reported_and_logged(threads, caplog) -> None:
    def make() -> Generator[bytes, None, None]:
        raise RuntimeError("the reason")
        yield b""

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await piece_of(threads.stream(make()))

    asyncio.run(main())
    (record,) = caplog.records
    assert record.getMessage() == "a streamed response failed"
    assert str(record.exc_info[1]) == "the reason"


def test_computation_that_outlives_the_loop_is_ignored(threads, caplog) -> None:
    held, begun = threading.Event(), threading.Event()

    def make() -> WireResponse:
        begun.set()
        held.wait(5)
        return RESPONSE

    async def main() -> None:
        threads(make, lambda _answer: pytest.fail("the loop has ended"))
        threads(make, lambda _answer: pytest.fail("the loop has ended"))
        begun.wait(5)

    asyncio.run(main())
    threads.close()
    held.set()
    threads._pool.shutdown(wait=True)
    assert caplog.records == []
