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

ANSWER = WireResponse(b"head", b"body")


@pytest.fixture
def threads() -> Iterator[ResponseThreads]:
    """One thread, and room for two more answers."""
    made = ResponseThreads(1, 2, "test")
    yield made
    made.close()


async def given(ask: Callable[[Callable[[WireResponse], None]], object]) -> WireResponse:
    """The answer to what was asked."""
    answered: asyncio.Future[WireResponse] = asyncio.get_running_loop().create_future()
    ask(answered.set_result)
    return await asyncio.wait_for(answered, 5)


def test_an_answer_is_made_elsewhere_and_given_on_the_loop(threads) -> None:
    made_in: list[threading.Thread] = []
    given_in: list[threading.Thread] = []

    def make() -> WireResponse:
        made_in.append(threading.current_thread())
        return ANSWER

    async def main() -> None:
        def ask(respond: Callable[[WireResponse], None]) -> None:
            def responded(answer: WireResponse) -> None:
                given_in.append(threading.current_thread())
                respond(answer)

            threads(make, responded)

        assert await given(ask) is ANSWER

    asyncio.run(main())
    assert given_in == [threading.main_thread()]
    assert made_in[0].name.startswith("test")


def test_what_finds_no_room_is_refused_and_room_comes_back(threads) -> None:
    held = threading.Event()

    def make() -> WireResponse:
        held.wait(5)
        return ANSWER

    async def main() -> None:
        promised = [asyncio.get_running_loop().create_future() for _ in range(3)]
        for answer in promised:
            threads(make, answer.set_result)
        with pytest.raises(Overloaded):
            threads(make, pytest.fail)
        held.set()
        assert await asyncio.wait_for(asyncio.gather(*promised), 5) == [ANSWER] * 3
        assert await given(lambda respond: threads(make, respond)) is ANSWER

    asyncio.run(main())


def test_what_is_given_up_is_never_made_and_let_go_at_once(threads) -> None:
    held, begun, made = threading.Event(), threading.Event(), []

    class Large:
        """Stands for a request with a large body."""

    def first() -> WireResponse:
        begun.set()
        held.wait(5)
        return ANSWER

    def make(large: Large) -> Callable[[], WireResponse]:
        def run() -> WireResponse:
            made.append(large)
            return ANSWER

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


def test_pieces_are_made_one_by_one_as_they_are_asked_for_and_empty_ones_left_out(threads) -> None:
    async def main() -> None:
        ended: list[bool] = []
        rest = threads.stream(pieces(b"a", b"", b"b", ended=ended))
        assert [await piece_of(rest) for _ in range(2)] == [b"a", b"b"]
        assert not ended
        assert await piece_of(rest) is None
        assert ended

    asyncio.run(main())


def test_pieces_take_no_room_from_answers_and_their_turn_like_them(threads) -> None:
    held = threading.Event()
    order: list[str] = []

    def make() -> WireResponse:
        held.wait(5)
        order.append("answer")
        return ANSWER

    def piece() -> Generator[bytes, None, None]:
        order.append("piece")
        yield b"a"

    async def main() -> None:
        answer = asyncio.get_running_loop().create_future()
        threads(make, answer.set_result)
        rests = [threads.stream(piece()) for _ in range(5)]
        promised = [asyncio.ensure_future(piece_of(rest)) for rest in rests]
        await asyncio.sleep(0)
        held.set()
        assert await asyncio.gather(*promised) == [b"a"] * 5
        assert await answer is ANSWER

    asyncio.run(main())
    assert order == ["answer", *["piece"] * 5]


def test_a_rest_that_is_closed_ends_and_a_piece_that_has_not_begun_is_never_made(threads) -> None:
    held, begun = threading.Event(), threading.Event()

    def first() -> WireResponse:
        begun.set()
        held.wait(5)
        return ANSWER

    async def main() -> None:
        answer = asyncio.get_running_loop().create_future()
        threads(first, answer.set_result)
        begun.wait(5)
        ended: list[bool] = []
        rest = threads.stream(pieces(b"a", ended=ended))
        rest.request_chunk(pytest.fail, pytest.fail)
        rest.close()
        assert ended
        held.set()
        await asyncio.wait_for(answer, 5)

    asyncio.run(main())


def test_a_rest_that_is_closed_while_a_piece_is_made_ends_behind_it(threads) -> None:
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


def test_a_piece_that_can_not_be_made_is_told_of_and_logged(threads, caplog) -> None:
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


def test_what_ends_after_its_loop_does_no_harm(threads, caplog) -> None:
    held, begun = threading.Event(), threading.Event()

    def make() -> WireResponse:
        begun.set()
        held.wait(5)
        return ANSWER

    async def main() -> None:
        threads(make, lambda _answer: pytest.fail("the loop has ended"))
        threads(make, lambda _answer: pytest.fail("the loop has ended"))
        begun.wait(5)

    asyncio.run(main())
    threads.close()
    held.set()
    threads._pool.shutdown(wait=True)
    assert caplog.records == []
