"""gunicorn around the service: workers, their slots in the shared counters, and a graceful stop.

The parent process holds no model and no onnxruntime session, for one inherited through a fork hangs
or crashes: each worker puts its own ``Service`` together after the fork.
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
from .serving.shared_state import SharedState, WorkerCounters
from .settings import Settings
from .web.http.connection import Limits
from .web.http.server import HttpServer

if TYPE_CHECKING:
    from .app import Service

log = logging.getLogger(__name__)

TIMEOUT_S = 60
"""A worker whose event loop has not moved for so long is killed and replaced."""

SPARE_S = 10
"""How much longer than it waits for its models a worker may be silent."""

BEAT_S = 1.0
"""How often a worker tells the parent that its event loop moves."""

IDLE_S = 3.0
"""When a worker stops, a connection that was silent for so long is closed without a last answer. A
client that asks more seldom might be asking just then: the longer, the fewer do. Within Docker's ten
seconds for a stop."""

LOST_S = 0.01
"""How long connections get to hear that they were closed, and to give up what waits for them."""

STUCK_FINISH_S = 2.0
"""How long a worker with a run that does not end goes on with its other requests."""

STUCK_EXIT = 1
"""What it ends with; gunicorn tells it in the log."""

CLOSE_S = 5
"""How long a worker may take to close: what runs, the access log and the spans get their seconds."""

BACKLOG = 2048
"""Connections that the system keeps until a worker takes them."""

SWITCH_S = 0.0002
"""How long a thread may keep the interpreter while another waits for it. A request takes about as
long, and the event loop should not wait for several: at Python's 5 ms a worker under load answers
half as many."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a heartbeat file on a disk may block


class Server(BaseApplication):  # type: ignore[misc]
    """The service under gunicorn.

    Args:
        settings: as read at the start.
        keys: the key file that they name, where it was read already.
    """

    def __init__(self, settings: Settings, keys: KeyFile | None = None) -> None:
        self.settings = settings
        self.ending = mmap.mmap(-1, 1)  # shared with the workers
        self.share: WorkerCounters | None = None
        # Followed here too: a worker that is started while the file can't be used has the last good
        # keys, and none that were taken out since.
        self.keys = keys or open_keys(settings.keys)
        self._counters = SharedState()
        super().__init__()

    def run(self) -> None:
        """Serve until told to stop."""
        arbiter = Arbiter(self)
        # On SIGUSR2 the parent starts itself again, by the command that it was started with: what
        # gunicorn thinks that was is wrong for ``python -m``.
        arbiter.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]
        arbiter.run()

    def load_config(self) -> None:
        """Tell gunicorn what the settings say."""
        settings = self.settings
        options: dict[str, Any] = {
            "bind": settings.address,
            "workers": settings.workers,
            "worker_class": EventLoopWorker,
            "backlog": BACKLOG,
            # A worker is silent while it waits for its models.
            "timeout": max(TIMEOUT_S, int(settings.load_wait_seconds) + SPARE_S),
            "graceful_timeout": int(settings.drain_seconds + settings.graceful_seconds) + CLOSE_S,
            "logconfig_dict": logging_table(settings.log_level),
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
        """One worker's service; called in each, after the fork."""
        sys.setswitchinterval(SWITCH_S)
        # No matrix is multiplied by numpy here: its library's threads would only delay the start.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # Imported here so that the parent never loads onnxruntime.
        from .app import Service  # noqa: PLC0415

        if self.share is None:
            log.error("more workers than counter slots: this one is not counted")
        return Service(self.settings, self.share, self.keys)

    def follow_keys(self) -> None:
        """Read the key file again, if there is one."""
        if self.keys is not None:
            self.keys.refresh()

    def _pre_fork(self, _arbiter: Arbiter, worker: Any) -> None:
        worker.slot = self._counters.free_slot()
        if worker.slot is not None:
            self._counters.take(worker.slot)

    def _post_fork(self, _arbiter: Arbiter, worker: Any) -> None:
        if worker.slot is not None:
            self.share = self._counters.worker(worker.slot)

    def _child_exit(self, _arbiter: Arbiter, worker: Any) -> None:
        if worker.slot is not None:
            self._counters.release(worker.slot)


def _tell_addresses(arbiter: Arbiter) -> None:
    """Log where the service listens: with port 0 nobody else knows."""
    log.info("listening", extra={"addresses": [str(listener) for listener in arbiter.LISTENERS]})


class Arbiter(GunicornArbiter):  # type: ignore[misc]
    """gunicorn's parent process; it replaces workers only by others that take connections."""

    def stop(self, graceful: bool = True) -> None:
        """End the workers; they are told if nobody will listen here after them.

        That is not so where another parent shares the sockets (SIGUSR2).
        """
        self.maybe_promote_master()  # the parent whose successor this is may just have ended
        if self.reexec_pid == self.master_pid == 0:
            self.app.ending[0] = 1
        super().stop(graceful)

    def reload(self) -> None:
        """Start a new generation of workers; `manage_workers` ends the one before it.

        gunicorn's own reads its settings again, of which we keep none, ends the old workers before
        the new ones have loaded their models, and hears of nothing else until all of them are gone.
        """
        for _ in range(self.num_workers):
            self.spawn_worker()

    def manage_workers(self) -> None:
        """Start workers that are missing, and end the oldest of too many once all are up.

        It is called once a second, and whenever something happened.
        """
        self.app.follow_keys()
        by_age = sorted(self.WORKERS.values(), key=lambda worker: worker.age)
        surplus = by_age[: max(0, len(by_age) - self.num_workers)]
        if not surplus:
            super().manage_workers()
        elif all(worker.is_up for worker in by_age):
            for worker in surplus:
                if not worker.told_to_stop:
                    worker.told_to_stop = True
                    self.kill_worker(worker.pid, signal.SIGTERM)

    def reap_workers(self) -> None:
        """Take note of workers that have ended.

        To gunicorn one that fails at its start is the end of everything. To us it is not while
        another is up: so a new generation that can't start leaves the old one serving.
        """
        known = list(self.WORKERS.values())
        while True:
            try:
                super().reap_workers()
            except HaltServer:
                is_stopping = not self.LISTENERS  # then it has been said already
                if not is_stopping and not any(w.is_up for w in self.WORKERS.values()):
                    raise
                for worker in known:
                    if worker.pid not in self.WORKERS:
                        worker.tmp.close()
                        self.cfg.child_exit(self, worker)
            else:
                return


class EventLoopWorker(Worker):  # type: ignore[misc]
    """A worker process: an event loop with the HTTP server in it.

    On SIGTERM every answer says that the connection ends with it. Where other workers take
    connections, this one takes no more: it is not missed. Where it may be the last, readiness
    fails while connections are taken as before: so a load balancer notices, and clients go
    elsewhere, before anyone is refused. Then no more are taken, and those that are open get their
    time.

    Attributes:
        told_to_stop: whether the parent has told it to; known to the parent alone.
    """

    told_to_stop = False
    _is_stuck = False

    @property
    def is_up(self) -> bool:
        """Whether its loop has moved yet, as the parent sees it.

        The time on the heartbeat's file is that of its making until the first beat, and on the
        monotonic clock's scale, which is far behind, from then on.
        """
        last_beat: float = self.tmp.last_update()
        return last_beat <= time.monotonic()

    def init_signals(self) -> None:
        """Until the loop runs there is nobody to be polite to."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # reopens log files; there are none

    def run(self) -> None:
        """Serve until told to stop."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        settings: Settings = self.app.settings
        service: Service = self.wsgi
        loop = asyncio.get_running_loop()
        self._told, self._hurried = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._told.set)
        for number in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._hurry)
        server = HttpServer(
            service.handler,
            _limits(settings),
            self.app.share,
            service.authenticator.is_authenticated,
        )
        server.listen([listener.sock for listener in self.sockets])
        beating = loop.create_task(self._beat(service))
        await self._told.wait()
        log.info("stopping", extra={"drain_seconds": settings.drain_seconds})
        service.drain()
        server.draining = True
        if self._is_stuck:
            service.give_up()
        elif self.app.ending[0] or not self._others_take():
            await self._sleep(settings.drain_seconds)
        await server.stop_listening(last=bool(self.app.ending[0]) and not self._hurried.is_set())
        if not self._hurried.is_set():
            most = STUCK_FINISH_S if self._is_stuck else settings.graceful_seconds
            await server.finish(most, IDLE_S)
        server.close()
        await asyncio.sleep(LOST_S)
        service.close()
        beating.cancel()
        log.info("stopped")
        if self._is_stuck:
            os._exit(STUCK_EXIT)  # its threads would be waited for

    def _others_take(self) -> bool:
        """Whether other workers of this parent take connections: those that have some do."""
        share: WorkerCounters | None = self.app.share
        if share is None:
            return False
        share.tell(None)
        return share.shared.connections() > 0

    async def _beat(self, service: Service) -> None:
        """Tell the parent that the loop moves.

        End when there is no parent any more, or when a run of a model does not end: nobody can stop
        it, and others wait for its turn to be over.
        """
        patience = self.app.settings.stuck_seconds
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                log.warning("the parent process is gone")
                self._told.set()
            if patience and not self._is_stuck and (run := service.stuck(patience)) is not None:
                self._is_stuck = True
                seconds = round(time.monotonic() - run.since, 3)
                facts = {"model": run.model, "version": run.version, "seconds": seconds}
                log.error("a run is stuck", extra=facts)
                self._told.set()
            await asyncio.sleep(BEAT_S)

    def _hurry(self) -> None:
        self._hurried.set()
        self._told.set()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), seconds)


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.max_body_bytes,
        connections=settings.max_connections,
        head_s=settings.header_seconds,
        body_s=settings.body_seconds,
        idle_s=settings.keepalive_seconds,
    )
