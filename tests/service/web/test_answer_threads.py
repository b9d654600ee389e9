"""Threads that make answers for an event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from service.errors import Overloaded
from service.web.answer_threads import AnswerThreads
from service.web.door import Answer

ANSWER = Answer(b"head", b"body")


@pytest.fixture
def threads() -> Iterator[AnswerThreads]:
    """One thread, and room for two more answers."""
    made = AnswerThreads(1, 2, "test")
    yield made
    made.close()


async def given(ask: Callable[[Callable[[Answer], None]], object]) -> Answer:
    """The answer to what was asked."""
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    ask(answered.set_result)
    return await asyncio.wait_for(answered, 5)


def test_an_answer_is_made_elsewhere_and_given_on_the_loop(threads) -> None:
    made_in: list[threading.Thread] = []
    given_in: list[threading.Thread] = []

    def make() -> Answer:
        made_in.append(threading.current_thread())
        return ANSWER

    async def main() -> None:
        def ask(respond: Callable[[Answer], None]) -> None:
            def responded(answer: Answer) -> None:
                given_in.append(threading.current_thread())
                respond(answer)

            threads(make, responded)

        assert await given(ask) is ANSWER

    asyncio.run(main())
    assert given_in == [threading.main_thread()]
    assert made_in[0].name.startswith("test")


def test_what_finds_no_room_is_refused_and_room_comes_back(threads) -> None:
    held = threading.Event()

    def make() -> Answer:
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

    def first() -> Answer:
        begun.set()
        held.wait(5)
        return ANSWER

    def make(large: Large) -> Callable[[], Answer]:
        def run() -> Answer:
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


def test_what_ends_after_its_loop_does_no_harm(threads, caplog) -> None:
    held, begun = threading.Event(), threading.Event()

    def make() -> Answer:
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
