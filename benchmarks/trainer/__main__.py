"""The command line: ``python -m benchmarks.trainer``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.places import BUILD, RESULTS
from benchmarks.processes import CommandFailed
from benchmarks.quality.tables import TableError, TableFile
from benchmarks.trainer import epochs, fits, memory, rows
from benchmarks.trainer.chart import draw
from benchmarks.trainer.page import page

FOLDER = BUILD / "rows"

PARTS = ("epochs", "fits", "memory")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Use small tables and one round, as a check.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Repetitions."
)
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="Part to measure; may be repeated. The other parts keep their results.",
)
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Table for the whole fits. [default: a generated table]",
)
@click.option("--target", help="Class column of the table. [default: the last column]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Folder of results. [default: benchmarks/results]",
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
    """Measure speed and memory of the trainer beside its peers."""
    measures: dict[str, Callable[[], list[Any]]] = {
        "epochs": lambda: epochs.measure(
            FOLDER,
            count=10_000 if quick else 100_000,
            rounds=1 if quick else rounds,
            epochs=2 if quick else 5,
            log=click.echo,
        ),
        "fits": lambda: fits.measure(
            [_table(table, target, 1_000 if quick else 48_842)],
            rounds=1 if quick else rounds,
            log=click.echo,
        ),
        "memory": lambda: memory.measure(
            FOLDER, count=20_000 if quick else 1_000_000, log=click.echo
        ),
    }
    out.mkdir(parents=True, exist_ok=True)
    file = out / "trainer.json"
    content = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for part in only or PARTS:
        try:
            content[part] = [asdict(each) for each in measures[part]()]
        except (CommandFailed, TableError) as error:
            raise click.ClickException(str(error)) from None
        content["machine"] = describe_machine()
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    click.echo(f"\n{write_page(content, out)}\nWrote {file}, trainer.md and trainer.svg")


def _table(path: Path | None, target: str | None, count: int) -> TableFile:
    file = path or rows.census(count, FOLDER)
    return TableFile(file.name.split(".")[0], file, target)


def write_page(content: Mapping[str, Any], out: Path) -> str:
    """Write page and chart of the stored results, and return the page."""
    epoch_times = [
        epochs.EpochTimes(**{**each, "hidden": tuple(each["hidden"])})
        for each in content.get("epochs", [])
    ]
    fit_times = [fits.FitTimes(**each) for each in content.get("fits", [])]
    large_fits = [memory.LargeFit(**each) for each in content.get("memory", [])]
    text = page(epoch_times, fit_times, large_fits, machine_sentence(content["machine"]))
    (out / "trainer.md").write_text(text, "utf-8")
    draw(epoch_times, fit_times, out / "trainer.svg")
    return text


if __name__ == "__main__":
    main()
