from __future__ import annotations

import threading

import pytest

from pigeonhole.service.serving.model_commands import COMMAND, Command, Commands
from pigeonhole.service.serving.shared_state import COUNTER, KEY_BYTES, SharedState


@pytest.fixture
def counters() -> SharedState:
    """A map of three slots, of which two are taken."""
    counters = SharedState(slots=3)
    counters.take(0)
    counters.take(1)
    return counters


@pytest.fixture
def workers(counters) -> list[Commands]:
    return [Commands(counters.worker(slot)) for slot in range(2)]


def wanted(commands: Commands) -> dict[str, bool]:
    return {name: command.load for name, command in commands.all().items()}


def test_before_the_first_command_nothing_is_asked_and_nobody_is_behind(workers) -> None:
    assert workers[0].all() == {}
    assert workers[0].newest() == 0
    assert workers[0].wait(0, seconds=0)


def test_the_newest_command_about_a_model_counts_whoever_gave_it(workers) -> None:
    first, second = workers
    first.give("a", load=False)
    second.give("a", load=True)
    second.give("b", load=False)
    for commands in workers:
        assert wanted(commands) == {"a": True, "b": False}
    stamp = first.give("a", load=False)
    for commands in workers:
        assert commands.all()["a"] == Command(stamp, load=False)
        assert commands.newest() == stamp


def test_commands_given_at_one_moment_are_in_order(workers) -> None:
    stamps = [workers[n % 2].give("a", load=n % 3 == 0) for n in range(1000)]
    assert stamps == sorted(set(stamps))
    assert workers[0].newest() == stamps[-1]


def test_a_command_holds_when_its_worker_is_gone_and_for_its_successor(counters, workers) -> None:
    stamp = workers[1].give("a", load=False)
    counters.release(1)
    assert wanted(workers[0]) == {"a": False}
    counters.take(1)
    successor = Commands(counters.worker(1))
    assert wanted(successor) == {"a": False}
    assert successor.newest() == stamp
    workers[0].follow(stamp)
    assert not workers[0].wait(stamp, seconds=0)  # the successor has not followed yet
    successor.follow(stamp)
    assert workers[0].wait(stamp, seconds=0)


def test_waiting_ends_when_the_last_living_worker_has_followed(counters, workers) -> None:
    first, second = workers
    stamp = first.give("a", load=False)
    first.follow(stamp)
    assert not first.wait(stamp, seconds=0.02)
    later = threading.Timer(0.05, second.follow, [stamp])
    later.start()
    assert first.wait(stamp, seconds=10)
    later.join()
    counters.release(1)
    stamp = first.give("b", load=False)
    first.follow(stamp)
    assert first.wait(stamp, seconds=0)


def test_a_command_that_finds_no_room_is_not_given(counters, workers) -> None:
    slot = counters.worker(0)
    long = "x" * (KEY_BYTES // 4)
    while slot.series("counter", long + str(counters.refused()), ()) is not None:
        long += "x"
    full = Commands(slot)
    assert full.give("y" * (KEY_BYTES // 4), load=False) is None
    assert full.newest() == 0


def test_a_command_that_is_only_being_given_asks_for_nothing(counters, workers) -> None:
    counters.worker(1).series(COUNTER, COMMAND, ["a"])
    assert workers[0].all() == {}


def test_several_may_give_at_once_in_one_worker(workers) -> None:
    seen: list[int] = []
    over = threading.Event()

    def give(name: str) -> None:
        for number in range(300):
            workers[0].give(name, load=number % 2 == 0)

    def look() -> None:
        while not over.is_set():
            seen.append(workers[1].newest())

    looking = threading.Thread(target=look)
    giving = [threading.Thread(target=give, args=(name,)) for name in "abcd"]
    for thread in (looking, *giving):
        thread.start()
    for thread in giving:
        thread.join()
    over.set()
    looking.join()
    assert seen == sorted(seen)
    assert max(command.stamp for command in workers[1].all().values()) == workers[1].newest()


def test_a_command_that_a_newer_one_overtook_is_given_again(counters) -> None:
    first, second = (counters.worker(slot) for slot in range(2))

    class Overtaken(Commands):
        """Another worker gives a command while this one is about to."""

        def newest(self) -> int:
            if first.labels_of(COMMAND) == {("a",)}:
                stamps.append(Commands(second).give("b", load=False))
            return super().newest()

    stamps: list[int | None] = []
    stamp = Overtaken(first).give("a", load=False)
    assert stamps[0] is not None
    assert stamp is not None
    assert stamp > stamps[0]
