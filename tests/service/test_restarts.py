"""Workers and whole services are replaced under load, and no request fails."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.running_service import RunningService
from tests.tiny_models import write_heavy_model

pytestmark = pytest.mark.slow

BODY = b'{"instances": [[172, 95]]}'
CLIENTS = 12
times = pytest.mark.parametrize("times", [1, pytest.param(50, marks=pytest.mark.chaos)])
"""How often a test replaces its workers or its service."""

FLAGS = ("--workers", "2", "--drain-seconds", "0.3", "--graceful-seconds", "10")


class Load:
    """Clients that repeat a request on a kept connection, each in a thread.

    Attributes:
        answered: number of responses.
        failures: error statuses, and exceptions after the connection was accepted.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        self.answered = 0
        self.failures: list[object] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.until_more()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self.join()

    def join(self) -> None:
        """Wait for the clients, which end when a connection is refused."""
        for thread in self._threads:
            thread.join()

    def until_more(self, answers: int = 100) -> None:
        """Wait for so many more responses."""
        target, deadline = self.answered + answers, time.monotonic() + 30
        while self.answered < target:
            assert time.monotonic() < deadline, self.failures
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.connect()
            except OSError:
                return
            try:
                self._use(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
            finally:
                connection.close()

    def _use(self, connection: http.client.HTTPConnection) -> None:
        while not self._over.is_set():
            connection.request("POST", "/predict", BODY)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.failures.append(answer.status)
            with self._lock:
                self.answered += 1
            if answer.will_close:
                return


@pytest.fixture
def server(serve, tmp_path: Path, write_model):
    write_model(tmp_path)
    server = serve(tmp_path, *FLAGS)
    server.until(lambda: len(server.lines("model live")) == 2)
    return server


def replace_workers(server, gone: list[int], signal_them: Callable[[], None]) -> None:
    """Signal workers and wait until they are replaced."""
    live = len(server.lines("model live"))
    signal_them()
    server.until(lambda: len(server.lines("model live")) >= live + len(gone))
    server.until(lambda: not set(gone) & set(server.workers()))


@times
def test_stop_under_load_fails_no_request(serve, tmp_path, write_model, times: int) -> None:
    write_model(tmp_path)
    for _ in range(times):
        server = serve(tmp_path, *FLAGS)
        with Load(server.port) as load:
            assert server.stop() == 0
            load.join()
        assert load.failures == []
        assert load.answered >= 100


@times
def test_new_generation_of_workers_fails_no_request(server, times: int) -> None:
    with Load(server.port) as load:
        for _ in range(times):
            old = server.workers()
            replace_workers(server, old, lambda: os.kill(server.process.pid, signal.SIGHUP))
            load.until_more()
        assert len(server.workers()) == 2
    assert load.failures == []


def test_stop_during_a_new_generation_fails_no_request(server) -> None:
    with Load(server.port) as load:
        os.kill(server.process.pid, signal.SIGHUP)
        server.until(lambda: len(server.workers()) > 2)
        assert server.stop() == 0
        load.join()
    assert load.failures == []


def test_old_workers_stay_until_the_new_ones_accept_connections(
    serve, tmp_path, write_model
) -> None:
    write_model(tmp_path / "quick")
    models = tmp_path / "models"
    models.symlink_to("quick")
    server = serve(models, *FLAGS, "--reload-seconds", "600")
    server.until(lambda: len(server.lines("model live")) == 2)
    old = server.workers()
    # Workers that start now need several seconds for their model.
    models.unlink()
    write_heavy_model(tmp_path / "slow", products=200)
    models.symlink_to("slow")
    with Load(server.port) as load:
        os.kill(server.process.pid, signal.SIGHUP)
        server.until(lambda: len(server.workers()) == 4)
        time.sleep(1.5)  # the parent checks once a second
        assert len(server.lines("model live")) == 2
        assert set(old) < set(server.workers())
        load.until_more()
    assert load.failures == []


@times
def test_workers_ended_one_by_one_fail_no_request(server, times: int) -> None:
    with Load(server.port) as load:
        for _ in range(times):
            victim = server.workers()[0]
            replace_workers(server, [victim], lambda victim=victim: os.kill(victim, signal.SIGTERM))
            load.until_more()
    assert load.failures == []


def successor(pid: int) -> int | None:
    """Return the process id of the service that a parent has started, or None."""
    mark = b"GUNICORN_PID=%d" % pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if mark in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    return None


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def upgrade(server, old: int) -> int:
    """Replace a whole service by its successor; return the successor's process id."""
    live = len(server.lines("model live"))

    def has_begun() -> bool:
        # A parent that is a successor itself notices only within a second that it is alone.
        if successor(old) is None:
            os.kill(old, signal.SIGUSR2)
            time.sleep(0.3)
        return successor(old) is not None

    until(has_begun)
    new = successor(old) or 0
    until(lambda: len(server.lines("model live")) == live + 2)
    os.kill(old, signal.SIGTERM)
    until(lambda: has_ended(old))
    return new


@times
def test_new_service_on_the_same_socket_fails_no_request(server, times: int) -> None:
    parent = server.process.pid
    with Load(server.port) as load:
        try:
            for _ in range(times):
                parent = upgrade(server, parent)
                load.until_more()
        finally:
            os.kill(parent, signal.SIGTERM)
        load.join()
    assert load.failures == []
    until(lambda: has_ended(parent))


def test_stopped_successor_leaves_the_old_service_running(server) -> None:
    old = server.process.pid
    with Load(server.port) as load:
        os.kill(old, signal.SIGUSR2)
        server.until(lambda: successor(old))
        server.until(lambda: len(server.lines("model live")) == 4)
        new = successor(old)
        os.kill(new, signal.SIGTERM)
        server.until(lambda: has_ended(new))
        load.until_more()
        assert server.stop() == 0
        load.join()
    assert load.failures == []


def connections_of(pid: int) -> set[int]:
    """Return the client ports of a process's open connections."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].split(":")[1], 16) for row in table if f"socket:[{row[9]}]" in sockets} - {0}


def test_killed_worker_loses_only_its_own_connections(server) -> None:
    clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(20)]
    try:
        for client in clients:
            client.request("GET", "/health/live")
            assert client.getresponse().read() == b'{"live":true}'
        first, second = map(connections_of, server.workers())
        assert first
        assert second  # workers share connections evenly
        assert abs(len(first) - len(second)) <= 2
        os.kill(server.workers()[0], signal.SIGKILL)
        failed = set()
        for client in clients:
            port = client.sock.getsockname()[1]
            try:
                client.request("POST", "/predict", BODY)
                assert client.getresponse().read()
            except (OSError, http.client.HTTPException):
                failed.add(port)
        assert failed == first
    finally:
        for client in clients:
            client.close()
    server.until(lambda: len(server.workers()) == 2)


def test_workers_of_a_killed_parent_finish_and_end(server) -> None:
    workers = server.workers()
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        client.request("POST", "/predict", BODY)
        assert client.getresponse().status == 200
    finally:
        client.close()
    until(lambda: all(map(has_ended, workers)))
    assert len(server.lines("the parent process has ended")) == 2
    assert len(server.lines("stopped")) == 2


SCRIPT = """
import sys
from pathlib import Path
from pigeonhole.service.gunicorn_server import GunicornServer
from pigeonhole.service.settings import Settings

models, blocker = map(Path, sys.argv[1:])


class FailingServer(GunicornServer):
    def load(self):
        if blocker.exists():
            raise RuntimeError("this worker can't start")
        return super().load()


server = FailingServer(Settings(models=models, port=0, workers=2, drain_seconds=0.1))
server.cfg.set("timeout", 2)
server.run()
"""
"""The service with a short timeout, whose workers can't start while a certain file exists."""


class ScriptedService(RunningService):
    """The service of `SCRIPT`."""

    def __init__(self, folder: Path) -> None:
        self.blocker = folder / "blocker"
        command = [sys.executable, "-c", SCRIPT, folder / "models", self.blocker]
        super().__init__(folder / "models", folder / "log", command=command)
        self.until(lambda: len(self.lines("model live")) == 2)

    def raw_lines(self) -> list[str]:
        # gunicorn also prints the reason of a failed start as plain text.
        return [line for line in super().raw_lines() if line.startswith("{")]

    def is_answering(self) -> bool:
        return self.post("/predict", content=BODY).status_code == 200

    def failed_starts(self) -> int:
        messages = [line["message"] for line in self.lines()]
        return sum(message.startswith("Exception in worker process") for message in messages)


@pytest.fixture
def scripted(tmp_path, write_model) -> Iterator[ScriptedService]:
    write_model(tmp_path / "models")
    service = ScriptedService(tmp_path)
    yield service
    service.stop()


def test_hanging_worker_is_replaced_while_the_others_answer(scripted) -> None:
    hanging = scripted.workers()[0]
    os.kill(hanging, signal.SIGSTOP)
    assert all(scripted.is_answering() for _ in range(20))
    until(lambda: has_ended(hanging))
    until(lambda: len(scripted.lines("model live")) == 3)


def test_new_generation_that_can_not_start_leaves_the_old_one_serving(scripted) -> None:
    old = scripted.workers()
    scripted.blocker.touch()
    os.kill(scripted.process.pid, signal.SIGHUP)
    until(lambda: scripted.failed_starts() == 2)
    until(lambda: scripted.workers() == old)
    assert all(scripted.is_answering() for _ in range(20))
    scripted.blocker.unlink()
    os.kill(scripted.process.pid, signal.SIGHUP)
    until(lambda: len(scripted.lines("model live")) == 4)
    until(lambda: not set(old) & set(scripted.workers()))
    assert all(scripted.is_answering() for _ in range(20))


def test_service_ends_when_no_worker_can_start(tmp_path, write_model) -> None:
    write_model(tmp_path / "models")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "models", tmp_path],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 3
