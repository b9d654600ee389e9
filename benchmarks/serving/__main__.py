"""The command line: ``python -m benchmarks.serving``."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.places import BUILD, RESULTS
from benchmarks.processes import CommandFailed
from benchmarks.serving import against as against_commit
from benchmarks.serving import bare_runtime
from benchmarks.serving.chart import draw
from benchmarks.serving.comparison import Record, compare
from benchmarks.serving.models import HIDDEN, model
from benchmarks.serving.page import Results, page
from benchmarks.serving.protocols import WrongResponse
from benchmarks.serving.servers import CONSTANT, OURS, SERVERS

QUICK_SERVERS = (OURS, CONSTANT)

QUICK_RESULTS = BUILD / "serving" / "quick"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--quick",
    is_flag=True,
    help=f"Measure {OURS} and its constant response in one round, apart from the other results.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Rounds; the results are medians.",
)
@click.option(
    "--seconds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Duration of each load.",
)
@click.option(
    "--only",
    type=click.Choice([server.name for server in SERVERS], case_sensitive=False),
    multiple=True,
    help="Server to measure; may be repeated. The other servers keep their results.",
)
@click.option(
    "--against",
    metavar="COMMIT",
    help="Compare the working tree with COMMIT instead, and print the ratios.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=against_commit.PAIRS,
    show_default=True,
    help="Measurements of each state, with --against.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of results. [default: benchmarks/results]",
)
def main(
    *,
    quick: bool,
    rounds: int,
    seconds: int,
    only: tuple[str, ...],
    against: str | None,
    pairs: int,
    out: Path | None,
) -> None:
    """Measure the service beside its peers."""
    # SystemExit, unlike the signal's default, lets the running server be stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        if against is not None:
            _compare_with_commit(against, pairs, seconds)
        elif quick:
            _compare_servers(only or QUICK_SERVERS, 1, seconds, out or QUICK_RESULTS)
        else:
            everything = [server.name for server in SERVERS]
            _compare_servers(only or everything, rounds, seconds, out or RESULTS)
    except (CommandFailed, WrongResponse) as error:
        raise click.ClickException(str(error)) from None


def _compare_servers(names: Sequence[str], rounds: int, seconds: int, out: Path) -> None:
    """Measure servers, and write the results of all servers."""
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    out.mkdir(parents=True, exist_ok=True)
    file = out / "serving.json"
    content = json.loads(file.read_text("utf-8")) if file.is_file() else {"servers": {}}
    models = {name: model(name) for name in HIDDEN}
    if OURS in names:
        click.echo("measuring the bare runtime")
        runtime = bare_runtime.measure(models["heavy"], rounds, started_at)
        content["bare_runtime"] = asdict(runtime)
    records = compare(
        [server for server in SERVERS if server.name in names],
        list(models.values()),
        rounds=rounds,
        seconds=seconds,
        started_at=started_at,
        log=click.echo,
    )
    content["servers"] |= {record.server: asdict(record) for record in records}
    content |= {"machine": describe_machine(), "seconds": seconds}
    file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    click.echo(f"\n{write_page(content, out)}\nWrote {file}, serving.md and serving.svg")


def _compare_with_commit(commit: str, pairs: int, seconds: int) -> None:
    """Print the ratios of the working tree to a commit."""
    names = {load.model for load in against_commit.LOADS}
    ratios = against_commit.compare_states(
        commit,
        [model(name) for name in HIDDEN if name in names],
        pairs=pairs,
        seconds=seconds,
        log=click.echo,
    )
    summary = f"{pairs} pairs against {commit}. {machine_sentence()}"
    click.echo(f"\n{against_commit.report(ratios)}\n\n{summary}")


def write_page(content: Mapping[str, Any], out: Path) -> str:
    """Write page and chart of the stored results, and return the page."""
    stored, runtime = content["servers"], content.get("bare_runtime")
    records = [Record.from_json(stored[each.name]) for each in SERVERS if each.name in stored]
    text = page(
        Results(
            records,
            bare_runtime.BareRuntime.from_json(runtime) if runtime else None,
            content["seconds"],
            machine_sentence(content["machine"]),
        )
    )
    (out / "serving.md").write_text(text, "utf-8")
    draw(records, out / "serving.svg")
    return text


if __name__ == "__main__":
    main()
