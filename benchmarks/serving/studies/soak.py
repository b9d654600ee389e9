"""Memory of the service under requests of varying sizes: ``python -m benchmarks.serving.studies.soak``.

Requests of one row to some thousands come in random order, over many connections. What the service
holds after the first tenth is compared with what it holds in the end.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.processes import CommandFailed
from benchmarks.serving.load import wrk
from benchmarks.serving.load.process_tree import memory_bytes
from benchmarks.serving.studies.restarts import Service

SIZES = (1, 1, 1, 1, 2, 3, 5, 8, 13, 30, 70, 150, 300, 3000)
"""Rows in a request; the largest is read in a thread."""

CONNECTIONS = 64

STEPS = 10

STEP_S = 2
"""Seconds of each run of wrk; there are as many as the requests of a step take."""

SETTLE_S = 1.0
"""Before memory is looked at: what was freed is given back by then."""


def bodies(rng: np.random.Generator) -> Iterator[str]:
    """A request of each size, of rows that are all different."""
    for rows in SIZES:
        heights, weights = rng.uniform(150, 195, rows), rng.uniform(45, 110, rows)
        yield json.dumps({"instances": np.column_stack([heights, weights]).round(2).tolist()})


def asked(port: int, post: wrk.Post) -> int:
    """Ask for a while; how many requests were answered.

    Raises:
        CommandFailed: some were not.
    """
    found = wrk.load(port, post, CONNECTIONS, STEP_S, script=wrk.VARIED)
    if found.errors:
        raise CommandFailed(f"{found.errors} of {found.requests + found.errors} requests failed")
    return found.requests


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--requests", type=click.IntRange(min=1), default=500_000, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
def main(*, requests: int, workers: int) -> None:
    """Send requests of varying sizes and watch the service's memory."""
    rows: list[list[str]] = []
    held: list[int] = []
    post = wrk.Post("/predict", "\n".join(bodies(np.random.default_rng(0))).encode(), {})
    with tempfile.TemporaryDirectory() as folder:
        service = Service(workers, Path(folder) / "log")
        try:
            done = 0
            for step in range(1, STEPS + 1):
                while done < requests * step / STEPS:
                    done += asked(service.port, post)
                time.sleep(SETTLE_S)
                held.append(memory_bytes(service.parent))
                rows.append([f"{done:,}", f"{held[-1] / 1e6:.1f} MB", f"{held[-1] / held[0]:.3f}"])
                click.echo(" ".join(rows[-1]), err=True)
        except CommandFailed as error:
            raise click.ClickException(str(error)) from None
        finally:
            service.stop()
    click.echo(table(["requests", "memory", "over the first"], rows))
    click.echo(f"\n{workers} workers, {CONNECTIONS} connections. {sentence()}")


if __name__ == "__main__":
    main()
