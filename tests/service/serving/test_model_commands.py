"""Commands to load and unload models, over several workers."""

from __future__ import annotations

import threading

import pytest

from pigeonhole.service.serving.model_commands import Command, CommandBus
from pigeonhole.service.serving.shared_state import COMMANDS, SharedState, WorkerSlot


@pytest.fixture
def shared() -> SharedState:
    """A map of three slots, of which two are claimed."""
    shared = SharedState(slots=3)
    shared.claim(0)
    shared.claim(1)
    return shared


@pytest.fixture
def slots(shared) -> list[WorkerSlot]:
    return [shared.worker(number) for number in range(2)]


@pytest.fixture
def workers(slots) -> list[CommandBus]:
    return [CommandBus(slot) for slot in slots]


def is_loaded(bus: CommandBus) -> dict[str, bool]:
    return {name: command.load for name, command in bus.all().items()}


def test_no_worker_is_behind_before_the_first_command(workers) -> None:
    assert workers[0].all() == {}
    assert workers[0].newest() == 0
    assert workers[0].wait(0, seconds=0)


def test_newest_command_about_a_model_counts_whichever_worker_gave_it(workers) -> None:
    first, second = workers
    first.give("a", load=False)
    second.give("a", load=True)
    second.give("b", load=False)
    for bus in workers:
        assert is_loaded(bus) == {"a": True, "b": False}
    stamp = first.give("a", load=False)
    for bus in workers:
        assert bus.all()["a"] == Command(stamp, load=False)
        assert bus.newest() == stamp


def test_commands_given_at_one_moment_are_in_order(workers) -> None:
    stamps = [workers[n % 2].give("a", load=n % 3 == 0) for n in range(1000)]
    assert stamps == sorted(set(stamps))
    assert workers[0].newest() == stamps[-1]


def test_command_holds_after_its_worker_ended_and_for_the_successor(shared, workers) -> None:
    stamp = workers[1].give("a", load=False)
    shared.release(1)
    assert is_loaded(workers[0]) == {"a": False}
    shared.claim(1)
    successor = CommandBus(shared.worker(1))
    assert is_loaded(successor) == {"a": False}
    assert successor.newest() == stamp
    workers[0].report_followed(stamp)
    assert not workers[0].wait(stamp, seconds=0)  # the successor has not followed yet
    successor.report_followed(stamp)
    assert workers[0].wait(stamp, seconds=0)


def test_slowest_living_worker_decides_what_is_followed(shared, workers) -> None:
    first, second = workers
    assert first.followed() == 0
    first.report_followed(7)
    assert first.followed() == 0
    second.report_followed(9)
    assert first.followed() == 7
    shared.release(0)
    assert second.followed() == 9
    shared.claim(0)  # the new owner of the slot has followed nothing yet
    assert second.followed() == 0


def test_waiting_ends_when_the_last_living_worker_has_followed(shared, workers) -> None:
    first, second = workers
    stamp = first.give("a", load=False)
    first.report_followed(stamp)
    assert not first.wait(stamp, seconds=0.02)
    later = threading.Timer(0.05, second.report_followed, [stamp])
    later.start()
    assert first.wait(stamp, seconds=10)
    later.join()
    shared.release(1)
    stamp = first.give("b", load=False)
    first.report_followed(stamp)
    assert first.wait(stamp, seconds=0)


def test_command_without_room_is_not_given(workers) -> None:
    assert workers[0].give("y" * COMMANDS.key_bytes, load=False) is None
    assert workers[0].newest() == 0


def test_command_that_is_not_complete_yet_has_no_effect(slots, workers) -> None:
    slots[1].tables[COMMANDS].find_or_add(("a",))
    assert workers[0].all() == {}


def test_threads_of_one_worker_may_give_commands_at_once(workers) -> None:
    stamps: list[int] = []
    over = threading.Event()

    def give(name: str) -> None:
        for number in range(300):
            workers[0].give(name, load=number % 2 == 0)

    def read() -> None:
        while not over.is_set():
            stamps.append(workers[1].newest())

    reader = threading.Thread(target=read)
    givers = [threading.Thread(target=give, args=(name,)) for name in "abcd"]
    for thread in (reader, *givers):
        thread.start()
    for thread in givers:
        thread.join()
    over.set()
    reader.join()
    assert stamps == sorted(stamps)
    assert max(command.stamp for command in workers[1].all().values()) == workers[1].newest()


def test_command_that_a_newer_one_overtakes_is_given_again(slots) -> None:
    first, second = slots

    class Overtaken(CommandBus):
        """Gives its command while another worker gives one."""

        def newest(self) -> int:
            if [key for key, _ in first.shared.entries(COMMANDS)] == [("a",)]:
                stamps.append(CommandBus(second).give("b", load=False))
            return super().newest()

    stamps: list[int | None] = []
    stamp = Overtaken(first).give("a", load=False)
    assert stamps[0] is not None
    assert stamp is not None
    assert stamp > stamps[0]
