"""One server's turn with one model: started, compared, loaded, stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.processes import SHOWN_LINES, CommandFailed
from benchmarks.serving.load import process_tree, wrk
from benchmarks.serving.loads import Load
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import WrongAnswer
from benchmarks.serving.servers import Server

START_LIMIT_S = 60

STOP_LIMIT_S = 20

ORPHANS_LIMIT_S = 2
"""How much longer than its root the rest of a server may take to end."""

ANSWER_LIMIT_S = 30

LOOK_S = 0.01
"""How often a server that starts is asked: so exact are the seconds to its first answer."""

WARM_UP_S = 1.0

SHOWN_BYTES = 200
"""Of an answer that is not the right one."""

PORTS = 3
"""Some servers want one more for metrics, and one for gRPC."""

FOREIGN = "PIGEONHOLE_"
"""Variables that begin so would be settings of our service: it is measured with its defaults."""


@dataclass(frozen=True)
class Measured:
    """What one load on one server gave.

    Attributes:
        load: what was asked.
        requests_per_second: that were answered rightly.
        p50_ms: milliseconds within which half of the answers came.
        p99_ms: and 99 in 100.
        errors: answers of status 400 and above, and failed connections.
        cpu_ms_per_request: milliseconds of all cores that the server took for a request, the same
            figure as seconds for a thousand.
        memory_bytes: of the server right after the load.
    """

    load: Load
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_ms_per_request: float
    memory_bytes: int

    @property
    def rows_per_second(self) -> float:
        """Rows answered in a second."""
        return self.requests_per_second * self.load.rows


@dataclass(frozen=True)
class Turn:
    """What a turn gave.

    Attributes:
        start_seconds: from the start of the process to its first answer.
        measured: load by load.
    """

    start_seconds: float
    measured: list[Measured]


def take_turn(server: Server, model: Model, loads: Sequence[Load], seconds: float) -> Turn:
    """Start a server, let it answer some loads, and stop it.

    Args:
        server: which was prepared.
        model: what it serves.
        loads: of that model, in forms that the server speaks.
        seconds: each load lasts, after a second that isn't counted.

    Raises:
        CommandFailed: it didn't start, or ended before it was told to.
        WrongAnswer: it answers something else than the model does.
    """
    with _running(server, model) as running:
        first = server.protocols[loads[0].form].post(model, loads[0].rows)
        start_seconds = running.first_answer(first)
        return Turn(
            start_seconds,
            [_measured(server, running, model, load, seconds) for load in loads],
        )


def _measured(
    server: Server, running: _Running, model: Model, load: Load, seconds: float
) -> Measured:
    protocol = server.protocols[load.form]
    post = protocol.post(model, load.rows)
    status, headers, body = running.ask(post)
    if status != http.HTTPStatus.OK:
        raise WrongAnswer(f"status {status}: {body[:SHOWN_BYTES]!r}")
    if not server.constant:
        protocol.check(model, load.rows, body, headers)
    wrk.load(running.port, post, load.connections, WARM_UP_S)
    before = process_tree.cpu_seconds(running.pid)
    told = wrk.load(running.port, post, load.connections, seconds)
    cpu_seconds = process_tree.cpu_seconds(running.pid) - before
    running.check()
    return Measured(
        load,
        told.requests / told.seconds,
        told.p50_ms,
        told.p99_ms,
        told.errors,
        1000 * cpu_seconds / max(told.requests, 1),
        process_tree.memory_bytes(running.pid),
    )


class _Running:
    """A server's process.

    Args:
        process: the root of its tree, in a session of its own.
        port: on loopback.
        started: when, by ``time.perf_counter``.
        output: the file that it prints to.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, started: float, output: IO[bytes]
    ) -> None:
        self.pid = process.pid
        self.port = port
        self._process = process
        self._started = started
        self._output = output

    def first_answer(self, post: wrk.Post) -> float:
        """Wait for the first answer of status 200; the seconds since the start."""
        told = "nothing"
        while time.perf_counter() - self._started < START_LIMIT_S:
            try:
                status, _, body = self.ask(post)
            except (OSError, http.client.HTTPException):
                time.sleep(LOOK_S)
            else:
                if status == http.HTTPStatus.OK:
                    return time.perf_counter() - self._started
                told = f"status {status}: {body[:SHOWN_BYTES]!r}"
                time.sleep(LOOK_S)
            self.check()
        raise CommandFailed(f"after {START_LIMIT_S} s it answers {told}\n{self._last_lines()}")

    def ask(self, post: wrk.Post) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_LIMIT_S)
        with contextlib.closing(connection):
            connection.request("POST", post.path, post.body, post.headers)
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()

    def check(self) -> None:
        """Raise CommandFailed if it has ended."""
        if self._process.poll() is not None:
            code = self._process.returncode
            raise CommandFailed(f"ended with code {code}: {self._last_lines()}")

    def stop(self) -> None:
        """Ask it to end, and end what is left of it after a while."""
        pids = {process.pid for process in process_tree.tree(self.pid)}
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_LIMIT_S)
        deadline = time.monotonic() + ORPHANS_LIMIT_S
        while (left := {pid for pid in pids if process_tree.runs(pid)}) and (
            time.monotonic() < deadline
        ):
            time.sleep(LOOK_S)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _last_lines(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-SHOWN_LINES:])


@contextlib.contextmanager
def _running(server: Server, model: Model) -> Iterator[_Running]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w+b") as output:
        ports = _free_ports()
        command, variables = server.started_by(model, ports, folder)
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.folder,
            env={**inherited, **variables, "TMPDIR": folder},
            start_new_session=True,
        )
        running = _Running(process, ports[0], started, output)
        try:
            yield running
        finally:
            running.stop()


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(PORTS)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
