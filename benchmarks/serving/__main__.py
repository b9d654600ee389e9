"""The command line: ``python -m benchmarks.serving``."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine, sentence
from benchmarks.places import BUILD, RESULTS
from benchmarks.processes import CommandFailed
from benchmarks.serving import against as against_commit
from benchmarks.serving import bare_runtime
from benchmarks.serving.chart import draw
from benchmarks.serving.comparison import Record, compare
from benchmarks.serving.models import HIDDEN, model
from benchmarks.serving.page import page
from benchmarks.serving.protocols import WrongAnswer
from benchmarks.serving.servers import CONSTANT, OURS, SERVERS

QUICK = (OURS, CONSTANT)

QUICK_RESULTS = BUILD / "serving" / "quick"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--quick",
    is_flag=True,
    help=f"One round of {OURS} and its ceiling, in two minutes; kept apart from the results.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--seconds", type=click.IntRange(min=1), default=5, show_default=True, help="Of each load."
)
@click.option(
    "--only",
    type=click.Choice([server.name for server in SERVERS], case_sensitive=False),
    multiple=True,
    help="A server to measure, may be repeated; the others stay as they were measured last.",
)
@click.option(
    "--against",
    metavar="COMMIT",
    help="Compare the working tree with COMMIT instead, in turns, and print the ratios.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=against_commit.PAIRS,
    show_default=True,
    help="Turns of each state, with --against.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Results.")
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
    # As Ctrl-C does it: a server that runs is stopped before this process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if against is not None:
        _compare_with_commit(against, pairs, seconds)
        return
    names = only or (QUICK if quick else [server.name for server in SERVERS])
    out = out or (QUICK_RESULTS if quick else RESULTS)
    rounds = 1 if quick else rounds
    run = datetime.now(UTC).isoformat(timespec="seconds")
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "serving.json"
    content = json.loads(kept.read_text("utf-8")) if kept.is_file() else {"servers": {}}
    try:
        models = [model(name) for name in HIDDEN]
        if OURS in names:
            click.echo("the bare runtime")
            heavy = next(each for each in models if each.name == "heavy")
            content["bare_runtime"] = asdict(bare_runtime.measure(heavy, rounds, run))
    except CommandFailed as error:
        raise click.ClickException(str(error)) from None
    found = compare(
        [server for server in SERVERS if server.name in names],
        models,
        rounds=rounds,
        seconds=seconds,
        run=run,
        say=click.echo,
    )
    content["servers"] |= {record.server: asdict(record) for record in found}
    content |= {"machine": machine(), "seconds": seconds}
    kept.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    click.echo(f"\n{_show(content, out)}\nWrote {kept}, serving.md and serving.svg")


def _compare_with_commit(commit: str, pairs: int, seconds: int) -> None:
    """Print how the working tree compares with a commit."""
    names = {load.model for load in against_commit.LOADS}
    try:
        ratios = against_commit.compare_states(
            commit,
            [model(name) for name in HIDDEN if name in names],
            pairs=pairs,
            seconds=seconds,
            say=click.echo,
        )
    except (CommandFailed, WrongAnswer) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"\n{against_commit.report(ratios)}\n\n{pairs} pairs against {commit}. {sentence()}")


def _show(content: dict[str, Any], out: Path) -> str:
    """Write page and picture of what has been measured; the page."""
    stored = content["servers"]
    records = [Record.read(stored[each.name]) for each in SERVERS if each.name in stored]
    runtime = (
        bare_runtime.Alone.read(content["bare_runtime"]) if "bare_runtime" in content else None
    )
    shown = page(records, runtime, content["seconds"])
    (out / "serving.md").write_text(shown, "utf-8")
    draw(records, out / "serving.svg")
    return shown


if __name__ == "__main__":
    main()
