"""What tracing costs: ``python -m benchmarks.serving.studies.tracing_cost``.

One row of a small model goes through the express door over and over, without a network, in a
process for each setting; the settings take turns, and the best of each counts. What is told is the
time of all the process's threads: making spans, encoding them and sending them to a collector on the
same machine counts, and the collector's own time does not. No span is dropped.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import click

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.places import REPOSITORY

REQUESTS, WARM_UP, TURN = 16_000, 2_000, 32
"""Requests that are measured, those before them, and those in one turn of the event loop."""

BODY = b'{"instances": [{"height_cm": 172, "weight_kg": 95}]}'

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"

SETTINGS: dict[str, tuple[str | None, str]] = {
    # The share that is sampled, none where nothing is traced, and the parent that is sent.
    "off": (None, ""),
    "0 %": ("0", ""),
    "0 %, of a parent that is not sampled": ("0", PARENT + "00"),
    "1 %": ("0.01", ""),
    "100 %": ("1", ""),
    "100 %, of a parent that is sampled": ("1", PARENT + "01"),
}


class Sink(BaseHTTPRequestHandler):
    """A collector that keeps nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take what is sent."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def measure(parent: str) -> float:
    """Microseconds of this process for a request, by the environment's variables."""
    from pigeonhole.service.app import Service  # noqa: PLC0415 - the parent process serves nothing
    from pigeonhole.service.settings import Settings  # noqa: PLC0415
    from pigeonhole.service.web.http.messages import Answer, Request  # noqa: PLC0415

    models = REPOSITORY / "models"
    service = Service(Settings(models=models, default_model="bodymass", reload_seconds=3600))
    headers = {"host": "127.0.0.1:8000", "content-type": "application/json"}
    if parent:
        headers["traceparent"] = parent

    async def ask(requests: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(requests // TURN):
            answered = loop.create_future()
            left = TURN

            def respond(answer: Answer, answered: asyncio.Future[None] = answered) -> None:
                nonlocal left
                left -= 1
                if b" 200 OK" not in answer.head:
                    raise RuntimeError(answer.head)
                if not left:
                    answered.set_result(None)

            for _ in range(TURN):
                own = Request("POST", "/predict", b"", headers, BODY, "1.1", "127.0.0.1")
                service.door(own, respond)
            await answered

    asyncio.run(ask(WARM_UP))
    began = time.process_time()
    asyncio.run(ask(REQUESTS))
    service.close()
    return 1e6 * (time.process_time() - began) / REQUESTS


def in_a_process(setting: str, endpoint: str) -> float:
    """The same in a process of its own."""
    share, parent = SETTINGS[setting]
    own = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PIGEONHOLE_"))}
    if share is not None:
        own |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": share,
            "OTEL_BSP_MAX_QUEUE_SIZE": str(REQUESTS + WARM_UP),
        }
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving.studies.tracing_cost",
        "--parent",
        parent,
        "--one",
    ]
    done = subprocess.run(command, env=own, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout))


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured.")
@click.option("--one", is_flag=True, hidden=True)
@click.option("--parent", default="", hidden=True)
def main(rounds: int, one: bool, parent: str) -> None:
    """Measure what a request costs without traces and with them."""
    if one:
        click.echo(measure(parent))
        return
    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    Thread(target=sink.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{sink.server_address[1]}"
    found: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    for _ in range(rounds):
        for setting, times in found.items():
            times.append(in_a_process(setting, endpoint))
    sink.shutdown()
    rows = [[name, f"{min(times):.1f}"] for name, times in found.items()]
    click.echo(sentence())
    click.echo(table(["sampled", "us of CPU a request"], rows))


if __name__ == "__main__":
    main()
