"""What one worker on one core bears, and takes: ``python -m benchmarks.serving.studies.sizing``.

The service has the first core to itself and the load generator the others, so that the figures can be
multiplied by the cores that a container is given.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import click

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.serving.load import wrk
from benchmarks.serving.load.process_tree import cpu_seconds, memory_bytes
from benchmarks.serving.studies.restarts import Service

ROWS = (1, 10, 100, 1000)
"""Of a request."""

WARM_UP_S = 2.0


def body(rows: int) -> bytes:
    """A request for so many people, no two alike."""
    people = [[150 + 40 * row / rows, 50 + 50 * row / rows] for row in range(rows)]
    return json.dumps({"instances": people}).encode()


def measured(service: Service, rows: int, connections: int, seconds: float) -> list[str]:
    """A line of the table."""
    post = wrk.Post("/predict", body(rows), {"Content-Type": "application/json"})
    wrk.load(service.port, post, connections, WARM_UP_S)
    before = cpu_seconds(service.parent)
    told = wrk.load(service.port, post, connections, seconds)
    cpu_ms = 1000 * (cpu_seconds(service.parent) - before) / told.requests
    per_second = told.requests / told.seconds
    return [
        f"{rows:,}",
        f"{per_second:,.0f}",
        f"{rows * per_second:,.0f}",
        f"{cpu_ms:.3f}",
        f"{told.p50_ms:.1f}",
        f"{told.p99_ms:.1f}",
        str(told.errors),
        f"{memory_bytes(service.parent) / 2**20:.0f}",
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--connections", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=8.0, show_default=True)
def main(*, connections: int, seconds: float) -> None:
    """Measure one worker of the service on one core, with the sample model bodymass."""
    if shutil.which("wrk") is None:
        raise click.ClickException("wrk isn't installed (Debian and Ubuntu: apt-get install wrk)")
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise click.ClickException("one core is too few: the load generator needs another")
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {first})  # as whatever is started now has it
        service = Service(1, Path(folder) / "log")
        os.sched_setaffinity(0, others)
        try:
            lines = [measured(service, rows, connections, seconds) for rows in ROWS]
        finally:
            service.stop()
            os.sched_setaffinity(0, {first, *others})
    header = ["rows in a request", "requests/s", "rows/s", "CPU ms a request"]
    header += ["p50 ms", "p99 ms", "errors", "MB"]
    click.echo(table(header, lines))
    click.echo(f"\nOne worker on one core, wrk with {connections} connections. {sentence()}")


if __name__ == "__main__":
    main()
