"""The thread that notices new versions and commands: it looks for them again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

STOP_S = 1.0

LISTEN_S = 0.1
"""How often is looked whether something is wanted at once."""

log = logging.getLogger(__name__)


class Reloader:
    """Calls ``refresh`` every ``every_s`` seconds in a thread of its own, until stopped.

    Args:
        refresh: brings the live models in line with the folder.
        every_s: seconds between the end of one look and the start of the next.
        is_wanted: whether the next look is wanted at once; asked often, so quick.
    """

    def __init__(
        self,
        refresh: Callable[[], None],
        every_s: float,
        is_wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._refresh, self._every_s, self._is_wanted = refresh, every_s, is_wanted
        self._stopped, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)

    def start(self, wait_s: float) -> None:
        """Start looking, and wait for the end of the first look, but no longer than ``wait_s``.

        A worker that took requests before its models were there would refuse what the one it
        replaces would have answered; a model that takes very long must not stop the start.
        """
        self._thread.start()
        self._looked.wait(wait_s)

    def stop(self) -> None:
        """Stop looking; returns when the thread has ended, or is busy with a large model."""
        self._stopped.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._refresh()
            except Exception:
                # This thread must outlive any surprise, or no new version is ever seen.
                log.exception("looking for new models failed")
            self._looked.set()
            self._pause()

    def _pause(self) -> None:
        """Wait for the time of the next look, or until one is wanted."""
        end = time.monotonic() + self._every_s
        while (left := end - time.monotonic()) > 0:
            if self._stopped.wait(min(left, LISTEN_S)) or self._is_wanted():
                return
