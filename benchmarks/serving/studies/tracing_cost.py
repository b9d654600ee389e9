"""The CPU cost of tracing per request.

Run it by ``python -m benchmarks.serving.studies.tracing_cost``. A process per setting sends requests of
one row to the fast path, without a network; the settings alternate, and the fastest process counts.
The CPU time of all threads includes making, encoding and exporting spans, but not the collector.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import click

from benchmarks.machine import machine_sentence
from benchmarks.markdown import table
from benchmarks.places import REPOSITORY

if TYPE_CHECKING:
    from pigeonhole.service.web.http.messages import Handler, WireResponse

REQUESTS = 16_000

WARM_UP_REQUESTS = 2_000

CONCURRENCY = 32
"""Requests that are sent together."""

BODY = b'{"instances": [{"height_cm": 172, "weight_kg": 95}]}'

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"

SETTINGS: dict[str, tuple[str | None, str]] = {
    # The sampled share, None without tracing, and the `traceparent` header of the requests.
    "off": (None, ""),
    "0 %": ("0", ""),
    "0 %, parent not sampled": ("0", PARENT + "00"),
    "1 %": ("0.01", ""),
    "100 %": ("1", ""),
    "100 %, parent sampled": ("1", PARENT + "01"),
}


class Collector(BaseHTTPRequestHandler):
    """A collector that discards the spans."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read and discard the body."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


def measure(parent: str, requests: int = REQUESTS) -> float:
    """Return the CPU microseconds of this process per request.

    Args:
        parent: ``traceparent`` header of the requests; none if empty.
        requests: number of measured requests.
    """
    # Only this process needs the service.
    from pigeonhole.service.app import Service  # noqa: PLC0415
    from pigeonhole.service.settings import Settings  # noqa: PLC0415

    models = REPOSITORY / "models"
    service = Service(Settings(models=models, default_model="bodymass", reload_seconds=3600))
    try:
        asyncio.run(_send(service.handler, parent, WARM_UP_REQUESTS))
        started = time.process_time()
        asyncio.run(_send(service.handler, parent, requests))
    finally:
        service.close()
    return 1e6 * (time.process_time() - started) / requests


async def _send(handler: Handler, parent: str, requests: int) -> None:
    """Send requests to a handler, `CONCURRENCY` at a time."""
    from pigeonhole.service.web.http.messages import Request  # noqa: PLC0415

    headers = {"host": "127.0.0.1:8000", "content-type": "application/json"}
    if parent:
        headers["traceparent"] = parent
    for _ in range(requests // CONCURRENCY):
        responses: asyncio.Queue[WireResponse] = asyncio.Queue()
        for _ in range(CONCURRENCY):
            request = Request("POST", "/predict", b"", headers, BODY, "1.1", "127.0.0.1")
            handler(request, responses.put_nowait)
        for _ in range(CONCURRENCY):
            response = await responses.get()
            if b" 200 OK" not in response.head:
                raise RuntimeError(f"expected status 200: {response.head!r}")


def measure_setting(setting: str, endpoint: str) -> float:
    """Run `measure` in a process with a setting.

    Args:
        setting: a key of `SETTINGS`.
        endpoint: URL of the collector.
    """
    share, parent = SETTINGS[setting]
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PIGEONHOLE_"))
    }
    if share is not None:
        environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": share,
            # No span is dropped.
            "OTEL_BSP_MAX_QUEUE_SIZE": str(REQUESTS + WARM_UP_REQUESTS),
        }
    module = "benchmarks.serving.studies.tracing_cost"
    command = [sys.executable, "-m", module, "--one", "--parent", parent]
    finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return float(finished.stdout)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Processes per setting.",
)
@click.option("--one", is_flag=True, hidden=True)
@click.option("--parent", default="", hidden=True)
def main(*, rounds: int, one: bool, parent: str) -> None:
    """Measure the CPU time of a request without tracing and with it."""
    if one:
        click.echo(measure(parent))
        return
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
    times: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    for _ in range(rounds):
        for setting, measured in times.items():
            measured.append(measure_setting(setting, endpoint))
    collector.shutdown()
    rows = [[setting, f"{min(measured):.1f}"] for setting, measured in times.items()]
    click.echo(machine_sentence())
    click.echo(table(["sampled", "CPU us per request"], rows))


if __name__ == "__main__":
    main()
