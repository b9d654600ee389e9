"""The thread that refreshes at regular intervals."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from pigeonhole.service.serving.reloader import POLL_S, Reloader


def test_reloader_refreshes_until_stopped() -> None:
    refreshes = threading.Semaphore(0)
    reloader = Reloader(refreshes.release, 0.001)
    reloader.start(wait_s=5)
    for _ in range(5):
        assert refreshes.acquire(timeout=5)
    reloader.stop()
    while refreshes.acquire(blocking=False):
        pass
    assert not refreshes.acquire(timeout=0.02)


def test_start_waits_for_the_first_refresh() -> None:
    done = []
    reloader = Reloader(lambda: (time.sleep(0.02), done.append(1)), 60)
    reloader.start(wait_s=10)
    assert done == [1]
    reloader.stop()


def test_start_waits_no_longer_than_its_limit() -> None:
    go_on = threading.Event()
    reloader = Reloader(lambda: go_on.wait(10) and None, 60)
    started = time.monotonic()
    reloader.start(wait_s=0.02)
    assert time.monotonic() - started < 5
    assert not go_on.is_set()
    go_on.set()
    reloader.stop()


def test_failed_refresh_is_logged_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    refreshes = threading.Semaphore(0)

    def refresh() -> None:
        refreshes.release()
        raise OSError("the disk is on fire")

    reloader = Reloader(refresh, 0.001)
    with caplog.at_level(logging.ERROR):
        reloader.start(wait_s=5)
        for _ in range(3):
            assert refreshes.acquire(timeout=5)
        reloader.stop()
    assert caplog.records[0].getMessage() == "refresh failed"
    assert "the disk is on fire" in caplog.text


def test_stop_does_not_wait_for_the_next_refresh() -> None:
    before = set(threading.enumerate())
    reloader = Reloader(lambda: None, 3600)
    reloader.start(wait_s=5)
    assert set(threading.enumerate()) > before
    started = time.monotonic()
    reloader.stop()
    assert time.monotonic() - started < 5
    assert set(threading.enumerate()) <= before


def test_wanted_refresh_does_not_wait_for_the_interval() -> None:
    refreshes, wanted = threading.Semaphore(0), threading.Event()

    def refresh() -> None:
        wanted.clear()
        refreshes.release()

    reloader = Reloader(refresh, 3600, wanted.is_set)
    reloader.start(wait_s=5)
    assert refreshes.acquire(timeout=5)
    wanted.set()
    assert refreshes.acquire(timeout=5)
    assert not refreshes.acquire(timeout=0.3)
    reloader.stop()


def test_failed_wanted_refresh_is_repeated_after_a_pause() -> None:
    refreshes = []

    def refresh() -> None:
        refreshes.append(1)
        raise OSError("the disk is on fire")

    reloader = Reloader(refresh, 3600, lambda: True)
    began = time.monotonic()
    reloader.start(wait_s=5)
    while len(refreshes) < 3 and time.monotonic() < began + 5:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    reloader.stop()
    assert len(refreshes) >= 3
    assert seconds >= 1.5 * POLL_S
