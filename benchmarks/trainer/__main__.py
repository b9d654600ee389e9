"""The command line: ``python -m benchmarks.trainer``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine
from benchmarks.places import BUILD, RESULTS
from benchmarks.processes import CommandFailed
from benchmarks.quality.tables import TableFile, TargetsRefused
from benchmarks.trainer import epochs, fits, memory, rows
from benchmarks.trainer.chart import draw
from benchmarks.trainer.page import page

FOLDER = BUILD / "rows"

PARTS = ("epochs", "fits", "memory")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Small tables and one round: shows that it works.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="A part to measure, may be repeated; the others stay as they were measured last.",
)
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Table for the whole fits. [default: a generated one]",
)
@click.option("--target", help="Its column of classes. [default: the last one]")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=RESULTS, help="Results."
)
def main(
    *,
    quick: bool,
    rounds: int,
    only: tuple[str, ...],
    table: Path | None,
    target: str | None,
    out: Path,
) -> None:
    """Measure the trainer's speed and memory beside its peers'."""
    measures: dict[str, Callable[[], list[Any]]] = {
        "epochs": lambda: epochs.measure(
            FOLDER,
            count=10_000 if quick else 100_000,
            rounds=1 if quick else rounds,
            epochs=2 if quick else 5,
            say=click.echo,
        ),
        "fits": lambda: fits.measure(
            [_table(table, target, 1_000 if quick else 48_842)],
            rounds=1 if quick else rounds,
            say=click.echo,
        ),
        "memory": lambda: memory.measure(
            FOLDER, count=20_000 if quick else 1_000_000, say=click.echo
        ),
    }
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "trainer.json"
    content = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    for part in only or PARTS:
        try:
            content[part] = [asdict(each) for each in measures[part]()]
        except (CommandFailed, TargetsRefused) as error:
            raise click.ClickException(str(error)) from None
        content["machine"] = machine()
        kept.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    click.echo(f"\n{_show(content, out)}\nWrote {kept}, trainer.md and trainer.svg")


def _table(path: Path | None, target: str | None, count: int) -> TableFile:
    file = path or rows.census(count, FOLDER)
    return TableFile(file.name.split(".")[0], file, target)


def _show(content: dict[str, Any], out: Path) -> str:
    """Write page and picture of what has been measured; the page."""
    timed = [
        epochs.Epochs(**{**each, "hidden": tuple(each["hidden"])})
        for each in content.get("epochs", [])
    ]
    fitted = [fits.Fits(**each) for each in content.get("fits", [])]
    shown = page(timed, fitted, [memory.Large(**each) for each in content.get("memory", [])])
    (out / "trainer.md").write_text(shown, "utf-8")
    draw(timed, fitted, out / "trainer.svg")
    return shown


if __name__ == "__main__":
    main()
