"""Throughput, CPU and memory of one worker on one core.

Run it by ``python -m benchmarks.serving.studies.sizing``. The service runs on the first core and wrk
on the others, so the figures can be multiplied by a container's cores.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click

from benchmarks.machine import machine_sentence
from benchmarks.markdown import table
from benchmarks.serving.load import wrk
from benchmarks.serving.load.process_tree import cpu_seconds, memory_bytes
from benchmarks.serving.load.service_process import ServiceProcess

ROWS = (1, 10, 100, 1000)
"""Rows per request."""

WARM_UP_S = 2.0

HEADER = ["rows per request", "requests/s", "rows/s", "CPU ms per request"]
HEADER += ["p50 ms", "p99 ms", "errors", "MB"]


def body(rows: int) -> bytes:
    """Return a request body of distinct rows."""
    people = [[150 + 40 * row / rows, 50 + 50 * row / rows] for row in range(rows)]
    return json.dumps({"instances": people}).encode()


def measure(service: ServiceProcess, rows: int, connections: int, seconds: float) -> list[str]:
    """Measure requests of some rows, and return the row of the table."""
    request = wrk.PostRequest("/predict", body(rows), {"Content-Type": "application/json"})
    wrk.generate_load(service.port, request, connections, WARM_UP_S)
    cpu_before = cpu_seconds(service.parent)
    result = wrk.generate_load(service.port, request, connections, seconds)
    cpu_ms = 1000 * (cpu_seconds(service.parent) - cpu_before) / result.requests
    rate = result.requests / result.seconds
    return [
        f"{rows:,}",
        f"{rate:,.0f}",
        f"{rows * rate:,.0f}",
        f"{cpu_ms:.3f}",
        f"{result.p50_ms:.1f}",
        f"{result.p99_ms:.1f}",
        str(result.errors),
        f"{memory_bytes(service.parent) / 2**20:.0f}",
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Connections of wrk.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=8.0,
    show_default=True,
    help="Duration of each load.",
)
def main(*, connections: int, seconds: float) -> None:
    """Measure one worker on one core, with the sample model bodymass."""
    if not wrk.is_installed():
        raise click.ClickException(wrk.MISSING)
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise click.ClickException("this machine has one core; wrk needs a second one")
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {first})  # the service inherits it
        service = ServiceProcess(1, Path(folder) / "log")
        os.sched_setaffinity(0, others)
        try:
            lines = [measure(service, rows, connections, seconds) for rows in ROWS]
        finally:
            service.stop()
            os.sched_setaffinity(0, {first, *others})
    click.echo(table(HEADER, lines))
    click.echo(
        f"\nOne worker on one core, wrk with {connections} connections. {machine_sentence()}"
    )


if __name__ == "__main__":
    main()
