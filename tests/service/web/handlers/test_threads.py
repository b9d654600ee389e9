"""Threads that compute responses for an event loop."""

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
    """Make one thread with a queue of two responses."""
    one_thread = ResponseThreads(1, 2, "test")
    yield one_thread
    one_thread.close()


async def response_of(compute: Callable[[Callable[[WireResponse], None]], object]) -> WireResponse:
    """Return the response of a computation."""
    responded: asyncio.Future[WireResponse] = asyncio.get_running_loop().create_future()
    compute(responded.set_result)
    return await asyncio.wait_for(responded, 5)


def test_response_is_computed_in_a_thread_and_sent_on_the_loop(threads) -> None:
    computed_in: list[threading.Thread] = []
    sent_in: list[threading.Thread] = []

    def make() -> WireResponse:
        computed_in.append(threading.current_thread())
        return RESPONSE

    async def main() -> None:
        def compute(respond: Callable[[WireResponse], None]) -> None:
            def send(response: WireResponse) -> None:
                sent_in.append(threading.current_thread())
                respond(response)

            threads(make, send)

        assert await response_of(compute) is RESPONSE

    asyncio.run(main())
    assert sent_in == [threading.main_thread()]
    assert computed_in[0].name.startswith("test")


def test_full_queue_rejects_until_a_place_is_free(threads) -> None:
    released = threading.Event()

    def make() -> WireResponse:
        released.wait(5)
        return RESPONSE

    async def main() -> None:
        pending = [asyncio.get_running_loop().create_future() for _ in range(3)]
        for response in pending:
            threads(make, response.set_result)
        with pytest.raises(Overloaded):
            threads(make, pytest.fail)
        released.set()
        assert await asyncio.wait_for(asyncio.gather(*pending), 5) == [RESPONSE] * 3
        assert await response_of(lambda respond: threads(make, respond)) is RESPONSE

    asyncio.run(main())


def test_canceled_computation_never_runs_and_is_freed(threads) -> None:
    released, begun, computed = threading.Event(), threading.Event(), []

    class Large:
        """A request with a large body."""

    def first() -> WireResponse:
        begun.set()
        released.wait(5)
        return RESPONSE

    def make(large: Large) -> Callable[[], WireResponse]:
        def run() -> WireResponse:
            computed.append(large)
            return RESPONSE

        return run

    async def main() -> None:
        running = threads(first, lambda _response: None)
        large = Large()
        reference = weakref.ref(large)
        cancel = threads(make(large), pytest.fail)
        del large
        assert cancel() is True
        assert cancel() is False
        gc.collect()
        assert reference() is None
        begun.wait(5)
        assert running() is False
        # The canceled computation keeps its place until a thread reaches it.
        pending = asyncio.get_running_loop().create_future()
        threads(make(Large()), pending.set_result)
        with pytest.raises(Overloaded):
            threads(make(Large()), pytest.fail)
        released.set()
        await asyncio.wait_for(pending, 5)

    asyncio.run(main())
    assert len(computed) == 1


def started_chunks(*others: bytes, ended: list[bool]) -> Generator[bytes, None, None]:
    """Return a generator of chunks that has started; it appends to ``ended`` at its end."""

    def make() -> Generator[bytes, None, None]:
        try:
            yield b"first"
            yield from others
        finally:
            ended.append(True)

    generator = make()
    next(generator)
    return generator


async def next_chunk(stream: BodyStream) -> bytes | None:
    """Return the next chunk; raise CancelledError if it fails."""
    pending = asyncio.get_running_loop().create_future()
    stream.request_chunk(pending.set_result, pending.cancel)
    chunk: bytes | None = await asyncio.wait_for(pending, 5)
    return chunk


def test_chunks_are_computed_on_request_and_empty_ones_are_skipped(threads) -> None:
    async def main() -> None:
        ended: list[bool] = []
        stream = threads.stream(started_chunks(b"a", b"", b"b", ended=ended))
        assert [await next_chunk(stream) for _ in range(2)] == [b"a", b"b"]
        assert not ended
        assert await next_chunk(stream) is None
        assert ended

    asyncio.run(main())


def test_chunks_take_no_place_in_the_queue(threads) -> None:
    released = threading.Event()
    order: list[str] = []

    def make() -> WireResponse:
        released.wait(5)
        order.append("response")
        return RESPONSE

    def chunk() -> Generator[bytes, None, None]:
        order.append("chunk")
        yield b"a"

    async def main() -> None:
        response = asyncio.get_running_loop().create_future()
        threads(make, response.set_result)
        streams = [threads.stream(chunk()) for _ in range(5)]
        pending = [asyncio.ensure_future(next_chunk(stream)) for stream in streams]
        await asyncio.sleep(0)
        released.set()
        assert await asyncio.gather(*pending) == [b"a"] * 5
        assert await response is RESPONSE

    asyncio.run(main())
    assert order == ["response", *["chunk"] * 5]


def test_closed_stream_computes_no_waiting_chunk(threads) -> None:
    released, begun = threading.Event(), threading.Event()

    def first() -> WireResponse:
        begun.set()
        released.wait(5)
        return RESPONSE

    async def main() -> None:
        response = asyncio.get_running_loop().create_future()
        threads(first, response.set_result)
        begun.wait(5)
        ended: list[bool] = []
        stream = threads.stream(started_chunks(b"a", ended=ended))
        stream.request_chunk(pytest.fail, pytest.fail)
        stream.close()
        assert ended
        released.set()
        await asyncio.wait_for(response, 5)

    asyncio.run(main())


def test_stream_closed_during_a_chunk_ends_after_it(threads) -> None:
    released, begun, ended = threading.Event(), threading.Event(), []

    def make() -> Generator[bytes, None, None]:
        try:
            begun.set()
            released.wait(5)
            yield b"a"
        finally:
            ended.append(True)

    async def main() -> None:
        stream = threads.stream(make())
        stream.request_chunk(pytest.fail, pytest.fail)
        begun.wait(5)
        stream.close()
        assert not ended
        released.set()
        while not ended:  # noqa: ASYNC110 - the end sets no event
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_failing_chunk_is_reported_and_logged(threads, caplog) -> None:
    def make() -> Generator[bytes, None, None]:
        raise RuntimeError("the reason")
        yield b""

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await next_chunk(threads.stream(make()))

    asyncio.run(main())
    (record,) = caplog.records
    assert record.getMessage() == "a streamed response failed"
    assert str(record.exc_info[1]) == "the reason"


def test_computation_that_outlives_the_loop_is_ignored(threads, caplog) -> None:
    released, begun = threading.Event(), threading.Event()

    def make() -> WireResponse:
        begun.set()
        released.wait(5)
        return RESPONSE

    async def main() -> None:
        threads(make, lambda _response: pytest.fail("the loop has ended"))
        threads(make, lambda _response: pytest.fail("the loop has ended"))
        begun.wait(5)

    asyncio.run(main())
    threads.close()
    released.set()
    threads._pool.shutdown(wait=True)
    assert caplog.records == []
