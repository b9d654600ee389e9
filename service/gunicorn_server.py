"""The service under gunicorn: workers, their slots in the shared map, and a graceful stop.

The parent process has no model and no onnxruntime session, because a session inherited through a
fork hangs or crashes. Each worker makes its own ``Service`` after the fork.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvloop
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter as GunicornArbiter
from gunicorn.errors import HaltServer
from gunicorn.workers.base import Worker

from .api_keys import KeyFile, open_keys
from .logs import logging_table
from .serving.connection_share import ConnectionShare
from .serving.shared_state import SharedState, WorkerSlot
from .settings import Settings
from .web.http.limits import Limits
from .web.http.server import HttpServer

if TYPE_CHECKING:
    from .app import Service

log = logging.getLogger(__name__)

TIMEOUT_S = 60
"""Seconds without a heartbeat after which the parent kills and replaces a worker."""

TIMEOUT_MARGIN_S = 10
"""Seconds added to the wait for models: a worker sends no heartbeat while it loads them."""

HEARTBEAT_S = 1.0
"""Seconds between two heartbeats of a worker's event loop."""

IDLE_S = 3.0
"""Idle seconds after which a stopping worker closes a connection without a last response. A client
that sends requests less often could lose one: the longer, the fewer do. Must fit into the ten seconds
that Docker allows for a stop."""

DISCONNECT_S = 0.01
"""Seconds for handlers to notice that their connections were closed, and to cancel their calls."""

STUCK_FINISH_S = 2.0
"""Seconds that a worker with a stuck run gives its other requests to finish."""

STUCK_EXIT = 1
"""Exit code of such a worker; gunicorn logs it."""

CLOSE_S = 5
"""Seconds for a worker to close: for runs in progress, the access log and the spans."""

BACKLOG = 2048
"""Most connections in the kernel's queue."""

SWITCH_S = 0.0002
"""Longest time that a thread keeps the interpreter while another one waits. A request takes about as
long, and the event loop should not wait for several: with Python's default of 5 ms a worker under
load answers half as many."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a heartbeat file on a disk may block


class GunicornServer(BaseApplication):  # type: ignore[misc]
    """The service under gunicorn.

    Args:
        settings: the settings.
        keys: the key file of the settings, if it is open already.

    Attributes:
        settings: the settings.
        last_stop: one byte shared with the workers; 1 when no other process will accept
            connections after them.
        slot: in a worker, its slot in the shared map; None without a free one.
        keys: the key file. The parent follows it too, so that a worker that starts while the file
            is not valid has the last valid keys.
    """

    def __init__(self, settings: Settings, keys: KeyFile | None = None) -> None:
        self.settings = settings
        self.last_stop = mmap.mmap(-1, 1)
        self.slot: WorkerSlot | None = None
        self.keys = keys or open_keys(settings.keys)
        self._shared = SharedState()
        super().__init__()

    def run(self) -> None:
        """Serve until a signal stops the service."""
        arbiter = Arbiter(self)
        # On SIGUSR2 the parent starts its successor by the command in START_CTX. gunicorn's own
        # guess of that command is wrong for ``python -m``.
        arbiter.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]
        arbiter.run()

    def load_config(self) -> None:
        """Set gunicorn's options from the settings."""
        settings = self.settings
        options: dict[str, Any] = {
            "bind": settings.address,
            "workers": settings.workers,
            "worker_class": EventLoopWorker,
            "backlog": BACKLOG,
            "timeout": max(TIMEOUT_S, int(settings.load_wait_seconds) + TIMEOUT_MARGIN_S),
            "graceful_timeout": int(settings.drain_seconds + settings.graceful_seconds) + CLOSE_S,
            "logconfig_dict": logging_table(settings.log_level),
            "control_socket_disable": True,
            "worker_tmp_dir": SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None,  # noqa: PTH112
            "when_ready": _log_addresses,
            "pre_fork": self._pre_fork,
            "post_fork": self._post_fork,
            "child_exit": self._child_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return one worker's service; gunicorn calls this in each worker, after the fork."""
        sys.setswitchinterval(SWITCH_S)
        # numpy multiplies no matrix here: the threads of its library would only delay the start.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # Imported here so that the parent never loads onnxruntime.
        from .app import Service  # noqa: PLC0415

        if self.slot is None:
            log.error("no free slot in the shared map: this worker is not counted")
        return Service(self.settings, self.slot, self.keys)

    def refresh_keys(self) -> None:
        """Read the key file again, if there is one."""
        if self.keys is not None:
            self.keys.refresh()

    def _pre_fork(self, _arbiter: Arbiter, worker: Any) -> None:
        worker.slot_number = self._shared.free_slot()
        if worker.slot_number is not None:
            self._shared.claim(worker.slot_number)

    def _post_fork(self, _arbiter: Arbiter, worker: Any) -> None:
        if worker.slot_number is not None:
            self.slot = self._shared.worker(worker.slot_number)

    def _child_exit(self, _arbiter: Arbiter, worker: Any) -> None:
        if worker.slot_number is not None:
            self._shared.release(worker.slot_number)


def _log_addresses(arbiter: Arbiter) -> None:
    """Log where the service listens: with port 0 the log is the only source."""
    log.info("listening", extra={"addresses": [str(listener) for listener in arbiter.LISTENERS]})


class Arbiter(GunicornArbiter):  # type: ignore[misc]
    """gunicorn's parent process; it ends a worker only after its successor takes connections."""

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; tell them whether another process will accept connections after them.

        That is so after SIGUSR2, when another parent shares the sockets.
        """
        self.maybe_promote_master()  # the parent that started this one may just have ended
        if self.reexec_pid == self.master_pid == 0:
            self.app.last_stop[0] = 1
        super().stop(graceful)

    def reload(self) -> None:
        """Start a new generation of workers; `manage_workers` ends the previous one.

        gunicorn's own method reads its settings again, which we don't use. It also stops the old
        workers before the new ones have loaded their models, and handles no other event meanwhile.
        """
        for _ in range(self.num_workers):
            self.spawn_worker()

    def manage_workers(self) -> None:
        """Start missing workers; stop surplus workers, oldest first, once all workers are up.

        gunicorn calls this once a second and after each event.
        """
        self.app.refresh_keys()
        by_age = sorted(self.WORKERS.values(), key=lambda worker: worker.age)
        surplus = by_age[: max(0, len(by_age) - self.num_workers)]
        if not surplus:
            super().manage_workers()
        elif all(worker.is_up for worker in by_age):
            for worker in surplus:
                if not worker.is_stopping:
                    worker.is_stopping = True
                    self.kill_worker(worker.pid, signal.SIGTERM)

    def reap_workers(self) -> None:
        """Remove workers that have ended.

        gunicorn stops everything when a worker fails at its start. Here the service continues while
        another worker is up, so a new generation that can't start leaves the old one serving.
        """
        known = list(self.WORKERS.values())
        while True:
            try:
                super().reap_workers()
            except HaltServer:
                is_stopping = not self.LISTENERS
                if not is_stopping and not any(w.is_up for w in self.WORKERS.values()):
                    raise
                for worker in known:
                    if worker.pid not in self.WORKERS:
                        worker.tmp.close()
                        self.cfg.child_exit(self, worker)
            else:
                return


class EventLoopWorker(Worker):  # type: ignore[misc]
    """A worker process: an event loop that runs the HTTP server.

    After SIGTERM every response closes its connection. If other workers accept connections, this one
    stops accepting at once. Otherwise it first drains: readiness fails while connections are still
    accepted, so that load balancers move on before a client is rejected. Then requests in flight get
    their time to finish.

    Attributes:
        is_stopping: in the parent, whether it has sent SIGTERM.
    """

    is_stopping = False
    _is_stuck = False

    @property
    def is_up(self) -> bool:
        """Whether its event loop has started, as the parent sees it.

        Until the first heartbeat, the heartbeat file has its creation time in seconds since 1970.
        From then on it has times of the monotonic clock, which are far smaller.
        """
        last_heartbeat: float = self.tmp.last_update()
        return last_heartbeat <= time.monotonic()

    def init_signals(self) -> None:
        """Let signals end the process at once until the loop runs."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # gunicorn: reopen log files; we have none

    def run(self) -> None:
        """Serve until a signal stops the worker."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        settings: Settings = self.app.settings
        service: Service = self.wsgi
        slot: WorkerSlot | None = self.app.slot
        share = None if slot is None else ConnectionShare(slot)
        self._handle_signals()
        server = HttpServer(
            service.handler, _limits(settings), share, service.authenticator.is_authenticated
        )
        server.listen([listener.sock for listener in self.sockets])
        heartbeat = asyncio.create_task(self._send_heartbeats(service))
        await self._stop_requested.wait()
        log.info("stopping", extra={"drain_seconds": settings.drain_seconds})
        await self._drain(service, server, share)
        server.close()
        await asyncio.sleep(DISCONNECT_S)
        service.close()
        heartbeat.cancel()
        log.info("stopped")
        if self._is_stuck:
            os._exit(STUCK_EXIT)  # a normal exit would wait for the stuck thread

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop_requested, self._hurry_requested = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._stop_requested.set)
        for number in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._hurry)

    async def _drain(
        self, service: Service, server: HttpServer, share: ConnectionShare | None
    ) -> None:
        """Fail readiness, stop accepting connections, and let requests in flight finish."""
        settings: Settings = self.app.settings
        service.drain()
        server.draining = True
        if self._is_stuck:
            service.reject_queued()
        elif self.app.last_stop[0] or not _others_accept(share):
            await self._sleep(settings.drain_seconds)
        is_last = bool(self.app.last_stop[0]) and not self._hurry_requested.is_set()
        await server.stop_listening(last=is_last)
        if not self._hurry_requested.is_set():
            limit_s = STUCK_FINISH_S if self._is_stuck else settings.graceful_seconds
            await server.finish(limit_s, IDLE_S)

    async def _send_heartbeats(self, service: Service) -> None:
        """Tell the parent that the loop runs.

        Request a stop when the parent has ended, or when a model run is stuck: a run can't be
        cancelled, and other calls wait for its thread.
        """
        limit_s = self.app.settings.stuck_seconds
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                log.warning("the parent process has ended")
                self._stop_requested.set()
            if limit_s and not self._is_stuck and (run := service.stuck(limit_s)) is not None:
                self._is_stuck = True
                seconds = round(time.monotonic() - run.since, 3)
                facts = {"model": run.model, "version": run.version, "seconds": seconds}
                log.error("model run stuck", extra=facts)
                self._stop_requested.set()
            await asyncio.sleep(HEARTBEAT_S)

    def _hurry(self) -> None:
        self._hurry_requested.set()
        self._stop_requested.set()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless a signal asks to hurry."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry_requested.wait(), seconds)


def _others_accept(share: ConnectionShare | None) -> bool:
    """Report that this worker accepts no more; return whether other workers have connections."""
    if share is None:
        return False
    share.report(None)
    return share.total() > 0


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.max_body_bytes,
        connections=settings.max_connections,
        head_s=settings.header_seconds,
        body_s=settings.body_seconds,
        idle_s=settings.keepalive_seconds,
    )
