"""One run of wrk, the load generator, and what it tells."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import CommandFailed, run

SCRIPT, VARIED = (Path(__file__).with_name(f"{name}.lua") for name in ("post", "varied"))
"""What wrk sends: one body again and again, or the lines of one in random order."""

TELLS = Path(__file__).with_name("told.lua")
"""What it tells."""

MARK = "told: "
"""Begins the line that the scripts print."""

SPARE_S = 30
"""How much longer than it was asked to a run may take: its last answers may be slow."""


@dataclass(frozen=True)
class Post:
    """One request, sent again and again.

    Attributes:
        path: of the route.
        body: as it is sent.
        headers: beside those that HTTP needs.
    """

    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Told:
    """What a run told.

    Attributes:
        seconds: that it really took.
        requests: that were answered with a status below 400.
        p50_ms: half of the answers came within so many milliseconds.
        p99_ms: 99 in 100 did.
        errors: answers of another status, and connections that failed or timed out.
    """

    seconds: float
    requests: int
    p50_ms: float
    p99_ms: float
    errors: int


def variables(body: Path) -> dict[str, str]:
    """What the scripts ask the environment for: the file of the body, and that of what they tell."""
    return {"WRK_BODY": str(body), "WRK_TELLS": str(TELLS)}


def load(port: int, post: Post, connections: int, seconds: float, *, script: Path = SCRIPT) -> Told:
    """Send a request over some connections, each as soon as its last one is answered.

    Args:
        port: on loopback.
        post: the request.
        connections: kept alive.
        seconds: how long.
        script: what is sent of it.

    Raises:
        CommandFailed: wrk isn't there, or failed.
    """
    if shutil.which("wrk") is None:
        raise CommandFailed("wrk isn't installed (Debian and Ubuntu: apt-get install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(post.body)
        headers = [f"{name}: {value}" for name, value in post.headers.items()]
        command: list[str | Path] = ["wrk", "--threads", "1", "--script", script, "--timeout", "10"]
        command += ["--connections", str(connections), "--duration", f"{seconds:.0f}s"]
        for header in headers:
            command += ["--header", header]
        finished = run(
            [*command, f"http://127.0.0.1:{port}{post.path}"],
            seconds + SPARE_S,
            variables(body),
        )
    return told(finished.output)


def told(output: str) -> Told:
    """What a run of wrk with our script printed.

    Raises:
        CommandFailed: the script's line is not in it.
    """
    for line in output.splitlines():
        if line.startswith(MARK):
            facts = json.loads(line.removeprefix(MARK))
            return Told(
                facts["microseconds"] / 1e6,
                facts["requests"] - facts["failed_statuses"],
                facts["p50_us"] / 1e3,
                facts["p99_us"] / 1e3,
                facts["failed_statuses"] + facts["failed_connections"],
            )
    raise CommandFailed(f"wrk told nothing: {output.strip()}")
