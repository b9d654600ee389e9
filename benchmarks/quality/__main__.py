"""The command line: ``python -m benchmarks.quality FOLDER``."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.places import BUILD, RESULTS
from benchmarks.quality import comparison
from benchmarks.quality.methods import Limits, select_methods
from benchmarks.quality.records import Records
from benchmarks.quality.splits import split
from benchmarks.quality.tables import TableError, tables_in


def _names(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Splits per table."
)
@click.option("--only", default="", callback=_names, help="Methods to measure, comma-separated.")
@click.option("--tables", default="", callback=_names, help="Tables to measure, comma-separated.")
@click.option(
    "--flags",
    multiple=True,
    default=("",),
    help="Flags of `pigeonhole fit`, part of the method's label; repeat it to compare settings.",
)
@click.option(
    "--targets",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of target columns and dropped columns. [default: targets.toml in FOLDER]",
)
@click.option(
    "--again", default="", callback=_names, help="Methods to measure again, comma-separated."
)
@click.option(
    "--limit",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=1800,
    show_default=True,
    help="Timeout of one method on one split, in seconds.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Threads of every method; 0 is each method's default. [default: 0]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Folder of results. [default: benchmarks/results]",
)
def main(
    folder: Path,
    seeds: int,
    only: list[str],
    tables: list[str],
    flags: tuple[str, ...],
    targets: Path | None,
    again: list[str],
    timeout_s: float,
    threads: int,
    out: Path,
) -> None:
    """Compare the trainer and its peers on the tables of FOLDER.

    A second call measures only what is missing.
    """
    try:
        methods = select_methods(only, flags)
        files = tables_in(folder, targets, tables)
        splits = [split(table, seed, BUILD / "splits") for table in files for seed in range(seeds)]
    except (TableError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    records = Records(out / "runs")
    out.mkdir(parents=True, exist_ok=True)
    limits = Limits(timeout_s, threads)
    failures = comparison.measure(
        splits, methods, records, limits=limits, again=again, log=click.echo
    )
    report = comparison.report(splits, methods, records, failures)
    click.echo(report.write(out))


if __name__ == "__main__":
    main()
