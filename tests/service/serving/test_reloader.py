from __future__ import annotations

import logging
import threading
import time

import pytest

from pigeonhole.service.serving.reloader import LISTEN_S, Reloader


def test_it_looks_again_and_again_until_stopped() -> None:
    looks = threading.Semaphore(0)
    reloader = Reloader(looks.release, 0.001)
    reloader.start(wait_s=5)
    for _ in range(5):
        assert looks.acquire(timeout=5)
    reloader.stop()
    while looks.acquire(blocking=False):
        pass
    assert not looks.acquire(timeout=0.02)


def test_starting_waits_for_the_end_of_the_first_look() -> None:
    done = []
    reloader = Reloader(lambda: (time.sleep(0.02), done.append(1)), 60)
    reloader.start(wait_s=10)
    assert done == [1]
    reloader.stop()


def test_starting_waits_no_longer_than_it_was_told() -> None:
    go_on = threading.Event()
    reloader = Reloader(lambda: go_on.wait(10) and None, 60)
    started = time.monotonic()
    reloader.start(wait_s=0.02)
    assert time.monotonic() - started < 5
    assert not go_on.is_set()
    go_on.set()
    reloader.stop()


def test_it_outlives_a_look_that_fails_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    looks = threading.Semaphore(0)

    def refresh() -> None:
        looks.release()
        raise OSError("the disk is on fire")

    reloader = Reloader(refresh, 0.001)
    with caplog.at_level(logging.ERROR):
        reloader.start(wait_s=5)
        for _ in range(3):
            assert looks.acquire(timeout=5)
        reloader.stop()
    assert caplog.records[0].getMessage() == "looking for new models failed"
    assert "the disk is on fire" in caplog.text


def test_stopping_does_not_wait_for_the_next_look() -> None:
    before = set(threading.enumerate())
    reloader = Reloader(lambda: None, 3600)
    reloader.start(wait_s=5)
    assert set(threading.enumerate()) > before
    started = time.monotonic()
    reloader.stop()
    assert time.monotonic() - started < 5
    assert set(threading.enumerate()) <= before


def test_what_is_wanted_at_once_is_looked_for_before_the_next_look_is_due() -> None:
    looks, wanted = threading.Semaphore(0), threading.Event()

    def refresh() -> None:
        wanted.clear()
        looks.release()

    reloader = Reloader(refresh, 3600, wanted.is_set)
    reloader.start(wait_s=5)
    assert looks.acquire(timeout=5)
    wanted.set()
    assert looks.acquire(timeout=5)
    assert not looks.acquire(timeout=0.3)
    reloader.stop()


def test_a_look_that_fails_though_it_is_wanted_is_not_tried_without_a_pause() -> None:
    looks = []

    def refresh() -> None:
        looks.append(1)
        raise OSError("the disk is on fire")

    reloader = Reloader(refresh, 3600, lambda: True)
    began = time.monotonic()
    reloader.start(wait_s=5)
    while len(looks) < 3 and time.monotonic() < began + 5:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    reloader.stop()
    assert len(looks) >= 3
    assert seconds >= 1.5 * LISTEN_S
