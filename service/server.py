"""gunicorn around the service: workers, their slots in the shared counters, and a graceful stop.

The parent process holds no model and no onnxruntime session, for one inherited through a fork hangs
or crashes: each worker puts its own ``Service`` together after the fork.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gasgi import ASGIWorker

from service.logs import logging_table
from service.serving.counters import CounterMap
from service.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_S = 60
"""A worker whose event loop has not moved for so long is killed and replaced."""

SPARE_S = 10
"""How much longer than it waits for its models a worker may be silent."""

FLUSH_S = 0.5
"""Seconds at the end for what the network has not yet taken of the last answers."""

SWITCH_S = 0.0002
"""How long a thread may keep the interpreter while another waits for it. A request takes about as
long, and the event loop should not wait for several: at Python's 5 ms a worker under load answers
half as many."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a heartbeat file on a disk may block


class Server(BaseApplication):  # type: ignore[misc]
    """The service under gunicorn.

    Args:
        settings: as read at the start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counters = CounterMap()
        self._slot: int | None = None
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what the settings say."""
        settings = self._settings
        options: dict[str, Any] = {
            "bind": f"{settings.host}:{settings.port}",
            "workers": settings.workers,
            "worker_class": DrainingWorker,
            # gunicorn's fast parser asks for a newer release than there is to be had.
            "http_parser": "python",
            "keepalive": settings.keepalive_seconds,
            # A worker is silent while it waits for its models.
            "timeout": max(TIMEOUT_S, int(settings.load_wait_seconds) + SPARE_S),
            "graceful_timeout": int(settings.drain_seconds + settings.graceful_seconds) + 2,
            "logconfig_dict": logging_table(settings.log_level, access_log=settings.access_log),
            "control_socket_disable": True,
            "worker_tmp_dir": SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None,  # noqa: PTH112
            "when_ready": _tell_addresses,
            "pre_fork": self._pre_fork,
            "post_fork": self._post_fork,
            "child_exit": self._child_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The ASGI application; called in each worker, after the fork."""
        sys.setswitchinterval(SWITCH_S)
        # Imported here so that the parent never loads onnxruntime.
        from service.app import Service  # noqa: PLC0415

        if self._slot is None:
            log.error("more workers than counter slots: this one is not counted")
            return Service(self._settings).asgi
        return Service(self._settings, self._counters, self._slot).asgi

    def _pre_fork(self, _arbiter: Arbiter, worker: Any) -> None:
        worker.slot = self._counters.free_slot()
        if worker.slot is not None:
            self._counters.take(worker.slot)

    def _post_fork(self, _arbiter: Arbiter, worker: Any) -> None:
        self._slot = worker.slot

    def _child_exit(self, _arbiter: Arbiter, worker: Any) -> None:
        if worker.slot is not None:
            self._counters.release(worker.slot)


def _tell_addresses(arbiter: Arbiter) -> None:
    """Log where the service listens: with port 0 nobody else knows."""
    log.info("listening", extra={"addresses": [str(listener) for listener in arbiter.LISTENERS]})


class DrainingWorker(ASGIWorker):  # type: ignore[misc]
    """gunicorn's ASGI worker, which on SIGTERM fails readiness first and stops a little later.

    In between it takes connections and answers as before, and every answer closes its connection,
    so that a load balancer can notice before anyone is refused. Then it ends with the last running
    request: gunicorn itself would wait for idle connections until its graceful time is over.
    """

    def handle_exit_signal(self) -> None:
        """SIGTERM: drain, then stop gracefully as gunicorn does."""
        log.info("stopping", extra={"drain_seconds": self._settings.drain_seconds})
        self.asgi.drain()
        self.loop.call_later(self._settings.drain_seconds, super().handle_exit_signal)

    async def _shutdown(self) -> None:
        for server in self.servers:
            server.close()
        await self._until(lambda: self.asgi.running == 0, self._settings.graceful_seconds)
        await self._until(lambda: self.nr_conns == 0, FLUSH_S)
        self.nr_conns = 0  # the rest are idle
        await super()._shutdown()
        log.info("stopped", extra={"running": self.asgi.running})

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = self.loop.time() + seconds
        # gunicorn counts its connections without an event to wait for.
        while not (done() or self._quick_shutdown) and self.loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    @property
    def _settings(self) -> Settings:
        settings: Settings = self.app._settings  # noqa: SLF001 - two halves of one thing
        return settings
