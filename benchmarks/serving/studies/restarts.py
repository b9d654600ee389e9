"""Restarts under load, and what clients notice: ``python -m benchmarks.serving.studies.restarts``.

Workers are replaced one by one and all at once (SIGHUP), and the whole service by a new one on the
same socket (SIGUSR2, then SIGTERM to the old one), again and again, while wrk keeps asking. A
request that fails in any way, or a connection, is counted; none should be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.places import REPOSITORY
from benchmarks.serving.load import wrk

BODY = b'{"instances": [{"height_cm": 172, "weight_kg": 95}]}'

FLAGS = ("--models", "models", "--default-model", "bodymass", "--port", "0")

LIMIT_S = 60.0
"""How long one restart may take."""

ROOM_S = 1.5
"""Between two restarts: connections find their way back, and a parent looks once a second whether
it is the only one now."""

LOOK_S = 0.05

ERRORS = ("connect", "read", "write", "timeout")
"""Kinds of failed connections that wrk tells apart."""


class Stuck(Exception):
    """Something that a restart brings about did not happen in time."""


@dataclass(frozen=True)
class Noticed:
    """What clients noticed of some restarts.

    Attributes:
        kind: what was restarted, and how.
        restarts: how many.
        seconds: of all of them, with the pauses between them.
        requests: that were answered.
        slowest: answer, with its unit, as wrk tells it.
        failed: connections by the kind of their failure.
        statuses: answers of status 400 and above.
    """

    kind: str
    restarts: int
    seconds: float
    requests: int
    slowest: str
    failed: dict[str, int]
    statuses: int


class Service:
    """``pigeonhole serve`` on a port that the system chose, and its successors there.

    Args:
        workers: how many.
        log: the file that standard error goes to.

    Attributes:
        parent: the pid of the workers' parent at this time.
        port: on loopback.
    """

    def __init__(self, workers: int, log: Path) -> None:
        self._workers, self._log = workers, log
        command = [sys.executable, "-m", "pigeonhole", "serve", *FLAGS, "--workers", str(workers)]
        with log.open("wb") as errors:
            self._first = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=errors, cwd=REPOSITORY
            )
        self.parent = self._first.pid
        _until(lambda: self._live() >= workers)
        self.port = int(self._lines("listening")[0]["addresses"][0].rpartition(":")[2])

    def workers(self) -> list[int]:
        """The pids of the workers."""
        return _children(self.parent)

    def replace_worker(self) -> None:
        """End one worker gracefully, and wait for the one that takes its place."""
        self._replaced(self.workers()[:1], lambda gone: os.kill(gone[0], signal.SIGTERM))

    def replace_workers(self) -> None:
        """Replace all workers at once."""
        self._replaced(self.workers(), lambda _gone: os.kill(self.parent, signal.SIGHUP))

    def replace_all(self) -> None:
        """Start a whole new service on the same socket, and end the old one when it is ready."""
        old, live = self.parent, self._live()
        os.kill(old, signal.SIGUSR2)
        _until(lambda: _successor(old) is not None)
        self.parent = _successor(old) or 0
        _until(lambda: self._live() >= live + self._workers)
        os.kill(old, signal.SIGTERM)
        _until(lambda: _has_ended(old))

    def stop(self) -> None:
        """End it."""
        if not _has_ended(self.parent):
            os.kill(self.parent, signal.SIGTERM)
        _until(lambda: _has_ended(self.parent))
        self._first.wait()

    def _replaced(self, gone: list[int], restart: Callable[[list[int]], None]) -> None:
        live = self._live()
        restart(gone)
        _until(lambda: self._live() >= live + len(gone))
        _until(lambda: not set(gone) & set(self.workers()))

    def _live(self) -> int:
        """How many workers ever said that they serve the model."""
        return sum(line.get("model") == "bodymass" for line in self._lines("model live"))

    def _lines(self, message: str) -> list[dict[str, object]]:
        whole = self._log.read_text("utf-8").rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if line["message"] == message]


def noticed(
    kind: str, restart: Callable[[], None], port: int, *, rounds: int, connections: int
) -> Noticed:
    """Restart again and again under load.

    Args:
        kind: as it is told of.
        restart: returns when it is complete.
        port: of the service.
        rounds: how many restarts.
        connections: that wrk keeps open.

    Raises:
        Stuck: a restart came to no end.
    """
    with tempfile.NamedTemporaryFile() as body:
        body.write(BODY)
        body.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--latency"]
        command += ["--script", str(wrk.SCRIPT), "--timeout", "10", "--duration", "24h"]
        loading = subprocess.Popen(
            [*command, f"http://127.0.0.1:{port}/predict"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **wrk.variables(Path(body.name))},
        )
        started = time.monotonic()
        try:
            for _ in range(rounds):
                time.sleep(ROOM_S)
                restart()
            time.sleep(ROOM_S)
        finally:
            seconds = time.monotonic() - started
            loading.send_signal(signal.SIGINT)
            output, _ = loading.communicate()
    return _read(output, kind, rounds, seconds)


def _read(output: str, kind: str, rounds: int, seconds: float) -> Noticed:
    """What wrk printed; it is silent of errors where there are none."""
    requests = re.search(r"(\d+) requests in", output)
    slowest = re.search(r"Latency +\S+ +\S+ +(\S+)", output)
    failed = re.search(r"Socket errors: (.*)", output)
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    kinds = dict.fromkeys(ERRORS, 0)
    if failed:
        kinds |= {name: int(n) for name, n in re.findall(r"(\w+) (\d+)", failed[1])}
    return Noticed(
        kind,
        rounds,
        seconds,
        int(requests[1]) if requests else 0,
        slowest[1] if slowest else "-",
        kinds,
        int(statuses[1]) if statuses else 0,
    )


def _until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            raise Stuck("a restart takes more than a minute")
        time.sleep(LOOK_S)


def _children(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(child) for child in told.split()]


def _successor(pid: int) -> int | None:
    """The child that was started as the whole service again; workers are forks of it."""
    mark = b"GUNICORN_PID=%d" % pid
    for child in _children(pid):
        if mark in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return child
    return None


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--connections", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
def main(*, rounds: int, connections: int, workers: int) -> None:
    """Restart the service under load and count what clients notice."""
    if shutil.which("wrk") is None:
        raise click.ClickException("wrk isn't installed (Debian and Ubuntu: apt-get install wrk)")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        service = Service(workers, Path(folder) / "log")
        try:
            for kind, restart in (
                ("one worker, SIGTERM", service.replace_worker),
                ("all workers, SIGHUP", service.replace_workers),
                ("whole service, SIGUSR2 and SIGTERM", service.replace_all),
            ):
                found = noticed(kind, restart, service.port, rounds=rounds, connections=connections)
                rows.append(
                    [
                        found.kind,
                        str(found.restarts),
                        f"{found.requests:,}",
                        f"{found.requests / found.seconds:,.0f}",
                        found.slowest,
                        *(str(found.failed[name]) for name in ERRORS),
                        str(found.statuses),
                    ]
                )
                click.echo(" ".join(rows[-1]), err=True)
        except Stuck as error:
            raise click.ClickException(str(error)) from None
        finally:
            service.stop()
    header = ["restarted", "times", "requests", "requests/s", "slowest"]
    header += [*(f"{name} errors" for name in ERRORS), "statuses of 400 and above"]
    click.echo(table(header, rows))
    click.echo(f"\n{workers} workers, wrk with {connections} connections. {sentence()}")


if __name__ == "__main__":
    main()
