"""The command line ``pigeonhole``: every command of the service and of the trainer.

A command's half is imported when the command is named, so each works without the other's packages.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

import click
from click.exceptions import NoSuchCommand

from . import __version__

COMMANDS = {
    "fit": "trainer",
    "evaluate": "trainer",
    "inspect": "trainer",
    "sample": "trainer",
    "serve": "service",
    "check": "service",
    "key": "service",
    "probe": "service",
}
"""The half of each command, which is also the extra that installs what it needs."""

REFUSED = 2
"""Exit code of a command that can't run as it was asked to."""


class LazyGroup(click.Group):
    """The commands of both halves, in the order of `COMMANDS`."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Return the command of a name, or one that says which extra is missing."""
        half = COMMANDS.get(name)
        if half is None:
            return None
        try:
            main: click.Group = import_module(f"{__package__}.{half}.__main__").main
        except ModuleNotFoundError as error:
            return _missing(name, half, error)
        return main.commands[name]

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; an unknown name gets the nearest one."""
        try:
            return super().resolve_command(context, arguments)
        except NoSuchCommand as error:
            name = error.command_name
            raise NoSuchCommand(name, possibilities=COMMANDS, ctx=context) from None

    def invoke(self, context: click.Context) -> Any:
        """Run the command, whose own imports may lack a package too."""
        try:
            return super().invoke(context)
        except ModuleNotFoundError as error:
            name = context.invoked_subcommand or ""
            _refuse(name, COMMANDS[name], error)


def _missing(name: str, half: str, error: ModuleNotFoundError) -> click.Command:
    """Return a command that only says which extra to install."""

    def refuse() -> None:
        _refuse(name, half, error)

    return click.Command(
        name,
        callback=refuse,
        help=f"Needs the extra '{half}', which is not installed.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


def _refuse(name: str, half: str, error: ModuleNotFoundError) -> NoReturn:
    click.echo(
        f"Error: '{name}' needs the package '{error.name}', which is not installed. "
        f"Install it with: pip install 'pigeonhole-ml[{half}]'",
        err=True,
    )
    sys.exit(REFUSED)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pigeonhole")
def main() -> None:
    """Fit classifiers to tables and serve them over HTTP."""


if __name__ == "__main__":
    main()
