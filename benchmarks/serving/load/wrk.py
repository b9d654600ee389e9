"""Runs of the load generator wrk."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import CommandFailed, run

POST, POST_LINES = (Path(__file__).with_name(f"{name}.lua") for name in ("post", "post_lines"))
"""Scripts that post one body again and again, or the lines of a body in random order."""

REPORT = Path(__file__).with_name("report.lua")
"""Script that prints the results; the other two load it."""

RESULT_PREFIX = "result: "

MARGIN_S = 30
"""Seconds that wrk may take beyond the duration of the load, for slow responses at the end."""

MISSING = "wrk isn't installed; on Debian and Ubuntu: apt-get install wrk"


@dataclass(frozen=True)
class PostRequest:
    """A POST request that wrk repeats.

    Attributes:
        path: path of the URL.
        body: request body.
        headers: headers in addition to Host and Content-Length.
    """

    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class WrkResult:
    """The results of a run of wrk.

    Attributes:
        seconds: measured duration.
        requests: responses with a status below 400.
        p50_ms: median latency in milliseconds.
        p99_ms: 99th percentile of latency in milliseconds.
        errors: other responses, and connections that failed or timed out.
    """

    seconds: float
    requests: int
    p50_ms: float
    p99_ms: float
    errors: int


def is_installed() -> bool:
    """Return whether wrk is on the PATH."""
    return shutil.which("wrk") is not None


def script_variables(body: Path) -> dict[str, str]:
    """Return the environment variables that the scripts read, for a file of the body."""
    return {"WRK_BODY": str(body), "WRK_REPORT": str(REPORT)}


def generate_load(
    port: int, request: PostRequest, connections: int, seconds: float, *, script: Path = POST
) -> WrkResult:
    """Send a request over some connections; each sends again when its response has arrived.

    Args:
        port: port on loopback.
        request: the request.
        connections: number of keep-alive connections.
        seconds: duration.
        script: ``POST`` or ``POST_LINES``.

    Raises:
        CommandFailed: wrk isn't installed, or failed.
    """
    if not is_installed():
        raise CommandFailed(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(request.body)
        command: list[str | Path] = ["wrk", "--threads", "1", "--script", script, "--timeout", "10"]
        command += ["--connections", str(connections), "--duration", f"{seconds:.0f}s"]
        for name, value in request.headers.items():
            command += ["--header", f"{name}: {value}"]
        finished = run(
            [*command, f"http://127.0.0.1:{port}{request.path}"],
            seconds + MARGIN_S,
            script_variables(body),
        )
    return parse_output(finished.output)


def parse_output(output: str) -> WrkResult:
    """Return the results that ``report.lua`` printed.

    Raises:
        CommandFailed: the output has no line of results.
    """
    for line in output.splitlines():
        if line.startswith(RESULT_PREFIX):
            result = json.loads(line.removeprefix(RESULT_PREFIX))
            return WrkResult(
                seconds=result["microseconds"] / 1e6,
                requests=result["requests"] - result["failed_statuses"],
                p50_ms=result["p50_us"] / 1e3,
                p99_ms=result["p99_us"] / 1e3,
                errors=result["failed_statuses"] + result["failed_connections"],
            )
    raise CommandFailed(f"wrk printed no results: {output.strip()}")
