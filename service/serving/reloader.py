"""A thread that calls a refresh function at regular intervals, or at once when one is wanted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

STOP_S = 1.0

POLL_S = 0.1
"""Seconds between two checks whether a refresh is wanted at once."""

log = logging.getLogger(__name__)


class Reloader:
    """Calls ``refresh`` every ``every_s`` seconds in its own thread until stopped.

    Args:
        refresh: brings the live models in line with the folder.
        every_s: seconds between the end of one refresh and the start of the next.
        is_wanted: whether to refresh at once; called often, so it must be quick.
    """

    def __init__(
        self,
        refresh: Callable[[], None],
        every_s: float,
        is_wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._refresh, self._every_s, self._is_wanted = refresh, every_s, is_wanted
        self._stopped, self._refreshed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)

    def start(self, wait_s: float) -> None:
        """Start the thread; wait at most ``wait_s`` seconds for the end of the first refresh.

        A worker that took requests before its models are loaded would reject requests that its
        predecessor would have answered. A model that takes very long must not stop the start.
        """
        self._thread.start()
        self._refreshed.wait(wait_s)

    def stop(self) -> None:
        """Stop refreshing; return when the thread has ended, or after ``STOP_S`` seconds."""
        self._stopped.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._refresh()
            except Exception:
                # The thread must survive any error: without it no new version is ever loaded.
                log.exception("refresh failed")
            self._refreshed.set()
            self._pause()

    def _pause(self) -> None:
        """Wait for the time of the next refresh, or until one is wanted."""
        end = time.monotonic() + self._every_s
        while (left := end - time.monotonic()) > 0:
            if self._stopped.wait(min(left, POLL_S)) or self._is_wanted():
                return
