"""Memory of the service under many requests of varying sizes.

Run it by ``python -m benchmarks.serving.studies.soak``. Requests of 1 to 3,000 rows arrive in random
order over many connections. The table compares memory after each tenth of the requests with memory
after the first tenth.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import machine_sentence
from benchmarks.markdown import table
from benchmarks.processes import CommandFailed
from benchmarks.serving.load import wrk
from benchmarks.serving.load.process_tree import memory_bytes
from benchmarks.serving.load.service_process import ServiceProcess

ROW_COUNTS = (1, 1, 1, 1, 2, 3, 5, 8, 13, 30, 70, 150, 300, 3000)
"""Rows per request; the service decodes the largest request in a thread."""

CONNECTIONS = 64

STEPS = 10

RUN_S = 2
"""Seconds of each run of wrk; a step takes as many runs as its requests need."""

SETTLE_S = 1.0
"""Seconds before memory is read, in which freed memory returns to the system."""


def bodies(rng: np.random.Generator) -> Iterator[str]:
    """Yield a request body for each row count, with random rows."""
    for rows in ROW_COUNTS:
        heights, weights = rng.uniform(150, 195, rows), rng.uniform(45, 110, rows)
        yield json.dumps({"instances": np.column_stack([heights, weights]).round(2).tolist()})


def send_requests(port: int, request: wrk.PostRequest) -> int:
    """Send requests for some seconds, and return how many succeeded.

    Raises:
        CommandFailed: some failed.
    """
    result = wrk.generate_load(port, request, CONNECTIONS, RUN_S, script=wrk.POST_LINES)
    if result.errors:
        total = result.errors + result.requests
        raise CommandFailed(f"{result.errors} of {total} requests failed, expected none")
    return result.requests


def memory_by_step(service: ServiceProcess, requests: int) -> Iterator[tuple[int, int]]:
    """Send requests in steps, and yield requests so far and bytes of memory after each step.

    Raises:
        CommandFailed: a request failed.
    """
    lines = "\n".join(bodies(np.random.default_rng(0)))
    request = wrk.PostRequest("/predict", lines.encode(), {})
    done = 0
    for step in range(1, STEPS + 1):
        while done < requests * step / STEPS:
            done += send_requests(service.port, request)
        time.sleep(SETTLE_S)
        yield done, memory_bytes(service.parent)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=500_000,
    show_default=True,
    help="Requests in all.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Workers of the service.",
)
def main(*, requests: int, workers: int) -> None:
    """Send requests of varying sizes, and measure the memory of the service."""
    rows: list[list[str]] = []
    first = 0
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess(workers, Path(folder) / "log")
        try:
            for done, memory in memory_by_step(service, requests):
                first = first or memory
                rows.append([f"{done:,}", f"{memory / 1e6:.1f} MB", f"{memory / first:.3f}"])
                click.echo(" ".join(rows[-1]), err=True)
        except CommandFailed as error:
            raise click.ClickException(str(error)) from None
        finally:
            service.stop()
    click.echo(table(["requests", "memory", "relative to the first"], rows))
    click.echo(f"\n{workers} workers, {CONNECTIONS} connections. {machine_sentence()}")


if __name__ == "__main__":
    main()
