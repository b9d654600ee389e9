"""Failed requests during restarts under load.

Run it by ``python -m benchmarks.serving.studies.restarts``. It replaces one worker (SIGTERM), all
workers (SIGHUP), and the whole service on the same socket (SIGUSR2, then SIGTERM to the old one),
again and again under the load of wrk. No request and no connection should fail.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.machine import machine_sentence
from benchmarks.markdown import table
from benchmarks.serving.load import wrk
from benchmarks.serving.load.service_process import ServiceProcess, ServiceTimeout

BODY = b'{"instances": [{"height_cm": 172, "weight_kg": 95}]}'

PAUSE_S = 1.5
"""Seconds between two restarts. Connections recover, and a successor notices within a second that
its parent has ended."""

CONNECTION_ERRORS = ("connect", "read", "write", "timeout")
"""The kinds of failed connections that wrk reports."""


@dataclass(frozen=True)
class RestartResult:
    """The results of repeated restarts under load.

    Attributes:
        kind: what was restarted, and how.
        restarts: number of restarts.
        seconds: duration, pauses included.
        requests: completed requests.
        slowest: largest latency with its unit, as wrk prints it.
        connection_errors: failed connections by kind.
        error_statuses: responses of status 400 and above.
    """

    kind: str
    restarts: int
    seconds: float
    requests: int
    slowest: str
    connection_errors: dict[str, int]
    error_statuses: int

    def cells(self) -> list[str]:
        """Return the row of the table."""
        return [
            self.kind,
            str(self.restarts),
            f"{self.requests:,}",
            f"{self.requests / self.seconds:,.0f}",
            self.slowest,
            *(str(self.connection_errors[kind]) for kind in CONNECTION_ERRORS),
            str(self.error_statuses),
        ]


HEADER = [
    *("restarted", "restarts", "requests", "requests/s", "slowest"),
    *(f"{kind} errors" for kind in CONNECTION_ERRORS),
    "statuses >= 400",
]


def restart_under_load(
    kind: str, restart: Callable[[], None], port: int, *, rounds: int, connections: int
) -> RestartResult:
    """Restart repeatedly under load, and return what clients saw.

    Args:
        kind: description of the restart.
        restart: restarts and returns when the restart is complete.
        port: port of the service.
        rounds: number of restarts.
        connections: number of connections of wrk.

    Raises:
        ServiceTimeout: a restart takes too long.
    """
    with tempfile.NamedTemporaryFile() as body:
        body.write(BODY)
        body.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--latency"]
        command += ["--script", str(wrk.POST), "--timeout", "10", "--duration", "24h"]
        load = subprocess.Popen(
            [*command, f"http://127.0.0.1:{port}/predict"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **wrk.script_variables(Path(body.name))},
        )
        started = time.monotonic()
        try:
            for _ in range(rounds):
                time.sleep(PAUSE_S)
                restart()
            time.sleep(PAUSE_S)
        finally:
            seconds = time.monotonic() - started
            load.send_signal(signal.SIGINT)
            output, _ = load.communicate()
    return parse_output(output, kind, rounds, seconds)


def parse_output(output: str, kind: str, restarts: int, seconds: float) -> RestartResult:
    """Return the results in the output of wrk, which omits errors that did not occur."""
    requests = re.search(r"(\d+) requests in", output)
    slowest = re.search(r"Latency +\S+ +\S+ +(\S+)", output)
    socket_errors = re.search(r"Socket errors: (.*)", output)
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = dict.fromkeys(CONNECTION_ERRORS, 0)
    if socket_errors:
        errors |= {name: int(n) for name, n in re.findall(r"(\w+) (\d+)", socket_errors[1])}
    return RestartResult(
        kind,
        restarts,
        seconds,
        requests=int(requests[1]) if requests else 0,
        slowest=slowest[1] if slowest else "-",
        connection_errors=errors,
        error_statuses=int(statuses[1]) if statuses else 0,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Restarts of each kind.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Connections of wrk.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Workers of the service.",
)
def main(*, rounds: int, connections: int, workers: int) -> None:
    """Restart the service under load, and count the failures that clients see."""
    if not wrk.is_installed():
        raise click.ClickException(wrk.MISSING)
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = _restart_rows(Path(folder) / "log", rounds, connections, workers)
        except ServiceTimeout as error:
            raise click.ClickException(str(error)) from None
    click.echo(table(HEADER, rows))
    click.echo(f"\n{workers} workers, wrk with {connections} connections. {machine_sentence()}")


def _restart_rows(log: Path, rounds: int, connections: int, workers: int) -> list[list[str]]:
    service = ServiceProcess(workers, log)
    restarts = {
        "one worker, SIGTERM": service.replace_worker,
        "all workers, SIGHUP": service.replace_workers,
        "whole service, SIGUSR2 and SIGTERM": service.replace_service,
    }
    rows = []
    try:
        for kind, restart in restarts.items():
            result = restart_under_load(
                kind, restart, service.port, rounds=rounds, connections=connections
            )
            rows.append(result.cells())
            click.echo(" ".join(rows[-1]), err=True)
    finally:
        service.stop()
    return rows


if __name__ == "__main__":
    main()
