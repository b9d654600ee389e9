"""The trainer's command line: ``fit``, ``evaluate``, ``inspect`` and ``sample``.

Exit codes: 0 done, 2 wrong usage or rejected input, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pigeonhole import __version__

from .errors import ExportError, SettingError, TrainerError

if TYPE_CHECKING:
    from .data.encoding import EncodedTable
    from .evaluation.intervals import Predictions
    from .export.published import PublishedModel

REJECTED = 2
"""Exit code for wrong usage, and for a table, setting or fit that is rejected."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells (128 + SIGINT)."""

INTERRUPTED_TEXT = "Interrupted; nothing was published."


class TrainerCommand(click.Command):
    """A command that prints a `TrainerError` as one sentence and exits with 2."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except TrainerError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(REJECTED)
        except (KeyboardInterrupt, click.Abort):
            click.echo(INTERRUPTED_TEXT, err=True)
            sys.exit(INTERRUPTED)


class TrainerGroup(click.Group):
    """The trainer's commands."""

    command_class = TrainerCommand


@click.group(cls=TrainerGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pigeonhole")
def main() -> None:
    """Train classifiers from tables and write them as ONNX files."""


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every setting except the table."""
    from .settings import Settings, flag_of  # noqa: PLC0415 - not needed for `inspect --help`

    for setting in reversed(fields(Settings)):
        if setting.name != "table":
            command = click.option(
                flag_of(setting.name),
                setting.name,
                help=_help_text(setting),
                multiple=setting.name in ("drop", "kind"),
            )(command)
    return command


def _help_text(setting: Field[Any]) -> str:
    """Return a setting's help with its choices, its default and the presets' values."""
    from .presets import PRESETS  # noqa: PLC0415

    defaults = [_default_text(setting.default)] + [
        f"{name}: {_default_text(preset[setting.name])}"
        for name, preset in PRESETS.items()
        if preset.get(setting.name, setting.default) != setting.default
    ]
    text: str = setting.metadata["help"]
    if choices := setting.metadata.get("choices"):
        text += f" One of {', '.join(choices)}."
    if shown := "; ".join(defaults):
        text += f" [default: {shown}]"
    return text


def _default_text(default: Any) -> str:
    """Return a default as its flag takes it."""
    if isinstance(default, bool):
        return "on" if default else "off"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


@main.command()
@click.argument("table", required=False)
@_setting_options
@click.option(
    "--settings", "settings_file", type=click.Path(path_type=Path), help="TOML file of settings."
)
def fit(table: str | None, settings_file: Path | None, **flags: Any) -> None:
    """Fit a classifier to TABLE and publish it."""
    from .settings import Settings  # noqa: PLC0415

    settings = Settings.read({"table": table, **flags}, settings_file)
    # Imported after the settings are valid, because pyarrow and onnxruntime take a while.
    from .run import train  # noqa: PLC0415

    trained = train(settings, click.echo, sys.stderr, _keep_interrupted)
    if trained is None:
        click.echo(INTERRUPTED_TEXT, err=True)
        sys.exit(INTERRUPTED)


def _keep_interrupted() -> bool:
    """Ask on a terminal whether to publish the best network so far; False elsewhere."""
    if not sys.stdin.isatty():
        return False
    return click.confirm("Publish the best network so far?", default=False, err=True)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def inspect(file: Path) -> None:
    """Print the signature, scores and layers of a model FILE."""
    from .export.inspection import inspection  # noqa: PLC0415

    click.echo(inspection(file))


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("table")
@click.option("--target", default="", help="Column that holds the class, if renamed since the fit.")
@click.option("--report", type=click.Path(path_type=Path), help="HTML file to write a report to.")
def evaluate(model: Path, table: str, target: str, report: Path | None) -> None:
    """Score the file MODEL on a labeled TABLE."""
    import numpy as np  # noqa: PLC0415

    from .evaluation.intervals import bootstrap  # noqa: PLC0415
    from .evaluation.scores import score  # noqa: PLC0415
    from .evaluation.tables import confusion_table, scores_table  # noqa: PLC0415
    from .export.published import PublishedModel  # noqa: PLC0415

    if report and report.suffix.lower() not in (".html", ".htm"):
        raise SettingError("--report", f"is {str(report)!r}, expected a name that ends in .html")
    published = PublishedModel.open(model)
    encoded = published.read(table, target)
    rows = encoded.examples
    predictions = published.predictions(rows)
    lines = {"this table": score(rows.labels, predictions.probabilities, predictions.predicted)}
    resamples = bootstrap(rows.labels, {"this table": predictions}, np.random.default_rng(0))
    if published.recorded:
        lines["at export"] = published.recorded
    click.echo(f"{table}: {len(rows):,} labeled rows, predicted by {model}")
    for finding in encoded.findings:
        click.echo(f"  - {finding.text}")
    click.echo(f"\n{scores_table(lines, resamples)}\n")
    click.echo(confusion_table(lines["this table"].confusion, published.schema.classes))
    if report:
        _write_report(report, published, encoded, predictions, table)
        click.echo(f"\nWrote {report}")


def _write_report(
    report: Path,
    published: PublishedModel,
    encoded: EncodedTable,
    predictions: Predictions,
    table: str,
) -> None:
    """Write a report of the file's predictions for a table; it has no section on the fit."""
    # Imported here, because Matplotlib and Jinja take a while to import.
    from .report import page  # noqa: PLC0415
    from .report.inputs import ReportInputs  # noqa: PLC0415

    text = page.report(
        ReportInputs(
            name=published.name,
            table=Path(table).name,
            schema=published.schema,
            test=encoded.examples,
            predictions=predictions,
            predict=published.predict,
            rows_noun=("row of this table", "rows of this table"),
            findings=encoded.findings,
            threshold=published.threshold,
            example=published.example,
        )
    )
    try:
        report.write_text(text, "utf-8")
    except OSError as error:
        raise ExportError(f"{report} can't be written: {error.strerror}") from None


@main.command()
@click.argument("name")
@click.option(
    "--rows", type=click.IntRange(min=10), default=5000, show_default=True, help="Number of rows."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
def sample(name: str, rows: int, seed: int) -> None:
    """Print the sample table bodymass or animals as CSV."""
    import numpy as np  # noqa: PLC0415

    from .data.samples import SAMPLES, write_csv  # noqa: PLC0415

    if name not in SAMPLES:
        raise click.UsageError(f"unknown sample {name!r}; expected one of {', '.join(SAMPLES)}")
    write_csv(SAMPLES[name].make(rows, np.random.default_rng(seed)), sys.stdout)


if __name__ == "__main__":
    main()
