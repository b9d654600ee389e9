"""The command line of the trainer: ``fit``, ``evaluate``, ``inspect`` and ``sample``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pigeonhole import __version__

from .errors import ExportError, SettingError, TrainerError

if TYPE_CHECKING:
    from .data.encoding import Encoded
    from .evaluation.intervals import Answers
    from .export.published import PublishedModel

REFUSED = 2
"""Exit code of a run that was refused: a table, a setting or a fit that can't be used."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it (128 + SIGINT)."""


class TrainerCommand(click.Command):
    """A command whose errors are one sentence and an exit code, never a traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except TrainerError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(REFUSED)
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted; nothing was published.", err=True)
            sys.exit(INTERRUPTED)


class TrainerGroup(click.Group):
    """The trainer's commands."""

    command_class = TrainerCommand


@click.group(cls=TrainerGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pigeonhole")
def main() -> None:
    """Train classifiers from tables and write them as ONNX files."""


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for every setting but the table, made from the table of settings."""
    from .presets import PRESETS  # noqa: PLC0415
    from .settings import Settings, flag_of  # noqa: PLC0415

    for setting in reversed(fields(Settings)):
        if setting.name == "table":
            continue
        shown = "; ".join(
            [_shown(setting.default)]
            + [
                f"{name}: {_shown(preset[setting.name])}"
                for name, preset in PRESETS.items()
                if preset.get(setting.name, setting.default) != setting.default
            ]
        )
        choices = ", ".join(setting.metadata.get("choices", ()))
        text = setting.metadata["help"]
        text += f" One of {choices}." if choices else ""
        text += f" [default: {shown}]" if shown else ""
        command = click.option(
            flag_of(setting.name),
            setting.name,
            help=text,
            multiple=setting.name in ("drop", "kind"),
        )(command)
    return command


def _shown(default: Any) -> str:
    """A default as its flag takes it."""
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
    """Fit a classifier to TABLE and publish it as the model's next version."""
    from .settings import Settings  # noqa: PLC0415

    settings = Settings.read({"table": table, **flags}, settings_file)
    # pyarrow and onnxruntime take a while to import: not for --help or a bad setting.
    from .run import train  # noqa: PLC0415

    trained = train(settings, click.echo, sys.stderr, _keep_interrupted)
    if trained is None:
        click.echo("Interrupted; nothing was published.", err=True)
        sys.exit(INTERRUPTED)


def _keep_interrupted() -> bool:
    """Offer the best weights so far: asked on a terminal; elsewhere nothing is published."""
    if not sys.stdin.isatty():
        return False
    return click.confirm("Publish the best network so far?", default=False, err=True)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def inspect(file: Path) -> None:
    """Print what a model FILE says of itself: signature, scores, training facts, layers."""
    from .export.inspection import inspection  # noqa: PLC0415

    click.echo(inspection(file))


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("table")
@click.option(
    "--target", default="", help="Column that holds the class, if the file names another."
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="HTML file to write a report of it to."
)
def evaluate(model: Path, table: str, target: str, report: Path | None) -> None:
    """Score what the file MODEL answers to the rows of the labeled TABLE."""
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
    answers = published.answers(rows)
    lines = {"this table": score(rows.labels, answers.probabilities, answers.predicted)}
    resamples = bootstrap(rows.labels, {"this table": answers}, np.random.default_rng(0))
    if published.recorded:
        lines["when it was made"] = published.recorded
    click.echo(f"{table}: {len(rows):,} labeled rows, answered by {model}")
    for finding in encoded.findings:
        click.echo(f"  - {finding.text}")
    click.echo(f"\n{scores_table(lines, resamples)}\n")
    click.echo(confusion_table(lines["this table"].confusion, published.schema.classes))
    if report:
        _write_report(report, published, encoded, answers, table)
        click.echo(f"\nWrote {report}")


def _write_report(
    report: Path, published: PublishedModel, encoded: Encoded, answers: Answers, table: str
) -> None:
    """What a file answers to a table, for people; what only the fit knew is not in it."""
    # Matplotlib and Jinja take a while to import: not where there is nothing to write.
    from .report import page  # noqa: PLC0415
    from .report.inputs import ReportInputs  # noqa: PLC0415

    text = page.report(
        ReportInputs(
            name=published.name,
            table=Path(table).name,
            schema=published.schema,
            test=encoded.examples,
            answers=answers,
            predict=published.predict,
            scored="of this table",
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
@click.option("--rows", type=click.IntRange(min=10), default=5000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def sample(name: str, rows: int, seed: int) -> None:
    """Write the sample table NAME (bodymass or animals) as CSV to standard output."""
    import numpy as np  # noqa: PLC0415

    from .data.samples import SAMPLES, write_csv  # noqa: PLC0415

    if name not in SAMPLES:
        raise click.UsageError(f"no sample is called {name!r}; there are {', '.join(SAMPLES)}")
    write_csv(SAMPLES[name].make(rows, np.random.default_rng(seed)), sys.stdout)


if __name__ == "__main__":
    main()
