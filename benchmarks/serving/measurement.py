"""One server with one model: started, checked, loaded and stopped."""

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

from benchmarks.processes import OUTPUT_LINES, CommandFailed
from benchmarks.serving.load import process_tree, wrk
from benchmarks.serving.loads import Load
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import WrongResponse
from benchmarks.serving.servers import Server

START_TIMEOUT_S = 60

STOP_TIMEOUT_S = 20

ORPHANS_TIMEOUT_S = 2
"""Seconds that the other processes of a server may take to end after its root."""

RESPONSE_TIMEOUT_S = 30

POLL_S = 0.01
"""Seconds between two requests to a server that starts: the resolution of its start time."""

WARM_UP_S = 1.0

QUOTED_BYTES = 200
"""Bytes of an unexpected response that are quoted."""

PORTS = 3
"""HTTP; some servers need a second port for metrics and a third for gRPC."""

SETTINGS_PREFIX = "PIGEONHOLE_"
"""Prefix of our settings in the environment, which are removed: defaults are measured."""


@dataclass(frozen=True)
class Measurement:
    """One load on one server.

    Attributes:
        load: the load.
        requests_per_second: responses of status 200 per second.
        p50_ms: median latency in milliseconds.
        p99_ms: 99th percentile of latency in milliseconds.
        errors: responses of status 400 and above, and failed connections.
        cpu_ms_per_request: CPU milliseconds of the server per request, on all cores; equal to CPU
            seconds per 1,000 requests.
        memory_bytes: memory of the server right after the load.
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
        """Return predicted rows per second."""
        return self.requests_per_second * self.load.rows


@dataclass(frozen=True)
class ServerMeasurement:
    """One start of a server with one model.

    Attributes:
        start_seconds: seconds from the start of the process to the first response of status 200.
        measurements: one per load.
    """

    start_seconds: float
    measurements: list[Measurement]


def measure_server(
    server: Server, model: Model, loads: Sequence[Load], seconds: float
) -> ServerMeasurement:
    """Start a server, measure it under some loads, and stop it.

    Args:
        server: a prepared server.
        model: the model that it serves.
        loads: loads of that model.
        seconds: duration of each load, after one second of warm-up.

    Raises:
        CommandFailed: the server did not start, or exited early.
        WrongResponse: the server's predictions are not the model's.
    """
    with _started(server, model) as process:
        first = server.protocols[loads[0].encoding].request(model, loads[0].rows)
        start_seconds = process.wait_for_first_response(first)
        measurements = [_measure_load(server, process, model, load, seconds) for load in loads]
        return ServerMeasurement(start_seconds, measurements)


def _measure_load(
    server: Server, process: _ServerProcess, model: Model, load: Load, seconds: float
) -> Measurement:
    protocol = server.protocols[load.encoding]
    request = protocol.request(model, load.rows)
    status, headers, body = process.send(request)
    if status != http.HTTPStatus.OK:
        raise WrongResponse(f"status {status}, expected 200: {body[:QUOTED_BYTES]!r}")
    if not server.constant:
        protocol.check(model, load.rows, body, headers)
    wrk.generate_load(process.port, request, load.connections, WARM_UP_S)
    cpu_before = process_tree.cpu_seconds(process.pid)
    result = wrk.generate_load(process.port, request, load.connections, seconds)
    cpu_seconds = process_tree.cpu_seconds(process.pid) - cpu_before
    process.check_running()
    return Measurement(
        load,
        requests_per_second=result.requests / result.seconds,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        errors=result.errors,
        cpu_ms_per_request=1000 * cpu_seconds / max(result.requests, 1),
        memory_bytes=process_tree.memory_bytes(process.pid),
    )


class _ServerProcess:
    """A running server.

    Args:
        process: root of the server's process tree, in its own session.
        port: port on loopback.
        started: start time, by ``time.perf_counter``.
        output: file of standard output and standard error.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, started: float, output: IO[bytes]
    ) -> None:
        self.pid = process.pid
        self.port = port
        self._process = process
        self._started = started
        self._output = output

    def wait_for_first_response(self, request: wrk.PostRequest) -> float:
        """Wait for a response of status 200, and return the seconds since the start.

        Raises:
            CommandFailed: the server exited, or did not respond in time.
        """
        last = "no response"
        while time.perf_counter() - self._started < START_TIMEOUT_S:
            try:
                status, _, body = self.send(request)
            except (OSError, http.client.HTTPException):
                pass
            else:
                if status == http.HTTPStatus.OK:
                    return time.perf_counter() - self._started
                last = f"status {status}: {body[:QUOTED_BYTES]!r}"
            time.sleep(POLL_S)
            self.check_running()
        raise CommandFailed(f"not ready after {START_TIMEOUT_S} s, {last}\n{self._last_lines()}")

    def send(self, request: wrk.PostRequest) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request, and return status, headers and body of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=RESPONSE_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request("POST", request.path, request.body, request.headers)
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()

    def check_running(self) -> None:
        """Check that the server has not exited.

        Raises:
            CommandFailed: it has.
        """
        if self._process.poll() is not None:
            code = self._process.returncode
            raise CommandFailed(f"exited with code {code}: {self._last_lines()}")

    def stop(self) -> None:
        """Terminate the server, and kill the processes that remain."""
        pids = {process.pid for process in process_tree.tree(self.pid)}
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        deadline = time.monotonic() + ORPHANS_TIMEOUT_S
        while (running := set(filter(process_tree.is_running, pids))) and (
            time.monotonic() < deadline
        ):
            time.sleep(POLL_S)
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _last_lines(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-OUTPUT_LINES:])


@contextlib.contextmanager
def _started(server: Server, model: Model) -> Iterator[_ServerProcess]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS_PREFIX)}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w+b") as output:
        ports = _free_ports()
        command, variables = server.start_command(model, ports, folder)
        started = time.perf_counter()
        root = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.folder,
            env={**inherited, **variables, "TMPDIR": folder},
            start_new_session=True,
        )
        process = _ServerProcess(root, ports[0], started, output)
        try:
            yield process
        finally:
            process.stop()


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(PORTS)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
