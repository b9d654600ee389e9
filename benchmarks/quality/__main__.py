"""The command line: ``python -m benchmarks.quality FOLDER``."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.places import BUILD, RESULTS
from benchmarks.quality import comparison
from benchmarks.quality.methods import methods
from benchmarks.quality.records import Records
from benchmarks.quality.splits import split
from benchmarks.quality.tables import TargetsRefused, tables_in


def _listed(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--only", default="", callback=_listed, help="Methods to measure, by comma.")
@click.option("--tables", default="", callback=_listed, help="Tables to measure on, by comma.")
@click.option(
    "--flags",
    multiple=True,
    default=("",),
    help="Flags for the trainer; give it again to compare settings. They are part of the label.",
)
@click.option(
    "--targets",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of targets and dropped columns. [default: targets.toml in FOLDER]",
)
@click.option("--again", default="", callback=_listed, help="Methods to measure anew, by comma.")
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(min=1),
    default=1800,
    show_default=True,
    help="Seconds for one method on one split.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Threads every method is held to; 0 leaves each its own choice. [default: 0]",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=RESULTS, help="Results."
)
def main(
    folder: Path,
    seeds: int,
    only: list[str],
    tables: list[str],
    flags: tuple[str, ...],
    targets: Path | None,
    again: list[str],
    limit_s: float,
    threads: int,
    out: Path,
) -> None:
    """Compare the trainer and its peers on the tables of FOLDER.

    A second call measures only what is missing.
    """
    try:
        asked = methods(only, flags)
        found = tables_in(folder, targets, tables)
        splits = [split(table, seed, BUILD / "splits") for table in found for seed in range(seeds)]
    except (TargetsRefused, ValueError) as error:
        raise click.ClickException(str(error)) from None
    records = Records(out / "runs")
    out.mkdir(parents=True, exist_ok=True)
    failures = comparison.measure(
        splits,
        asked,
        records,
        limit_s=limit_s,
        threads=threads,
        again=again,
        say=click.echo,
    )
    comparison.report(splits, asked, records, failures, out, click.echo)


if __name__ == "__main__":
    main()
