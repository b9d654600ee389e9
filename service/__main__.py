"""The command line of the service.

``serve`` the models, ``check`` them, ``probe`` a running service, make a ``key``.
"""

from __future__ import annotations

import os
import signal
import sys

if os.getpid() == 1:
    # To the first process of a container no signal comes that it has no handler for: one that tells
    # it to stop while all of this is being imported would be lost, and the container be killed
    # when its time is over.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import socket
from collections.abc import Callable
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from pigeonhole import __version__

from .api_keys import PREDICT, READ, SCOPES, KeyFile, append_key, new_key, open_keys
from .cores import granted_cores
from .errors import InvalidKeyFile, InvalidSetting, ModelRejected
from .settings import PREFIX, Settings, flag_of, unknown_variables

INVALID = 2
"""Exit code for settings that can't be used."""

SOCKETS_GIVEN = "GUNICORN_FD"
"""Set where a running service starts its successor (SIGUSR2): that gets its sockets from there."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pigeonhole")
def main() -> None:
    """Serve trained classifiers over HTTP."""


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for every setting, made from the table of settings."""
    for setting in reversed(fields(Settings)):
        shown = getattr(Settings(), setting.name)
        default = shown if shown != "" else "none"
        if isinstance(shown, bool):
            default = "on" if shown else "off"
        if setting.name == "workers":
            default = "cores granted"
        command = click.option(
            flag_of(setting.name),
            help=f"{setting.metadata['help']} [{PREFIX}{setting.name.upper()}; default: {default}]",
        )(command)
    return command


def _read_settings(flags: dict[str, str | None]) -> tuple[Settings, KeyFile | None]:
    """The settings and the key file that they name, or the end."""
    try:
        settings = Settings.read(os.environ, flags)
        keys = open_keys(settings.keys)
    except (InvalidSetting, InvalidKeyFile) as error:
        click.echo(f"Error: {error}.", err=True)
        sys.exit(INVALID)
    if keys is None and not settings.allow_anonymous and not _is_loopback(settings.host):
        click.echo(
            f"Error: anybody who reaches {settings.host or 'this machine'} could use the service, "
            "for it has no keys: name a key file with --keys, or say --allow-anonymous on.",
            err=True,
        )
        sys.exit(INVALID)
    return settings, keys


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address, or every address of a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(address[0]).is_loopback for *_, address in found)


@main.command()
@_setting_options
def serve(**flags: str | None) -> None:
    """Serve the model folder under gunicorn.

    Each setting is a flag or an environment variable; the flag goes first.
    """
    settings, keys = _read_settings(flags)
    # Imported here so that --help and a refused setting need no server.
    from .gunicorn_server import Server  # noqa: PLC0415

    for name in unknown_variables(os.environ):
        click.echo(f"Warning: {name} is no setting and is ignored.", err=True)
    if SOCKETS_GIVEN not in os.environ:
        _refuse_unusable_address(settings.host, settings.port)
    if settings.port:
        click.echo(f"Serving {settings.models} on http://{settings.address}")
    click.echo(_plan(settings))
    Server(settings, keys).run()


def _plan(settings: Settings) -> str:
    """What is made of the cores, in a line."""
    return (
        f"{_count(granted_cores(), 'core')} granted: {_count(settings.workers, 'worker')}, "
        f"each with 1 event loop, {_count(settings.request_threads, 'request thread')} and "
        f"{_count(settings.run_threads, 'model run')} of "
        f"{_count(settings.model_threads, 'thread')} at a time"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _refuse_unusable_address(host: str, port: int) -> None:
    """Say at once what gunicorn would say after five tries, a second each."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        click.echo(f"Error: can't listen on {host}:{port}: {error.strerror}.", err=True)
        sys.exit(INVALID)


@main.command()
@_setting_options
def check(**flags: str | None) -> None:
    """Load every model as the service would, and report; exit code 1 if one is refused."""
    settings, keys = _read_settings(flags)
    from .model.repository import Repository  # noqa: PLC0415

    click.echo(f"{settings.models} on {settings.address}; {_plan(settings)}")
    for key in keys.ring.keys if keys else ():
        click.echo(f"key {key.name}: {', '.join(sorted(key.scopes))}")
    repository = Repository(settings.models, settings.model_name)
    listing = repository.look()
    if listing.problem:
        click.echo(f"Error: {listing.problem}.", err=True)
        sys.exit(1)
    for name, reason in listing.ignored.items():
        click.echo(f"{name}: passed over: {reason}")
    good = bool(listing.models)
    if not good:
        click.echo(f"Error: no {repository.expected}.", err=True)
    for name, folder in listing.models.items():
        if folder.problem:
            good = False
            click.echo(f"{name}: {folder.problem}", err=True)
        for version, (path, _) in sorted(folder.versions.items()):
            good = _checked(settings, name, version, path) and good
    if settings.meant is not None and settings.meant not in listing.models:
        good = False
        click.echo(f"Error: the default model '{settings.meant}' is not there.", err=True)
    sys.exit(0 if good else 1)


def _checked(settings: Settings, name: str, version: int, path: Path) -> bool:
    from .model.artifact import load_model  # noqa: PLC0415

    try:
        model: Any = load_model(
            path,
            name=name,
            version=version,
            threads=settings.model_threads,
            max_bytes=settings.max_model_bytes,
        )
    except ModelRejected as error:
        click.echo(f"{name}/{version}: refused: {error.reason}", err=True)
        return False
    golden = f"{len(model.golden)} golden rows right" if model.described else "no metadata"
    click.echo(
        f"{name}/{version}: good, {golden}, {len(model.signature.features)} features, "
        f"classes {', '.join(model.signature.classes)}, sha256 {model.digest}, "
        f"loaded in {1000 * model.load_seconds:.0f} ms, one row in {1e6 * model.run_seconds:.0f} us"
    )
    return True


@main.command()
@click.option(
    "--live/--ready",
    default=True,
    show_default=True,
    help="Whether the process answers, or whether its models are there too.",
)
@click.option("--host", help=f"Address that the service listens on. [{PREFIX}HOST]")
@click.option("--port", help=f"Its port. [{PREFIX}PORT]")
def probe(live: bool, host: str | None, port: str | None) -> None:
    """Ask the service on this machine how it is; exit code 1 if it is not well.

    A container's health check: whoever restarts a container because of it should ask whether it is
    live, for a restart brings no model back.
    """
    # Imported here so that the other commands need none of it.
    from .probe import LIVE, READY, check_health  # noqa: PLC0415

    try:
        settings = Settings.read(os.environ, {"host": host, "port": port})
    except InvalidSetting as error:
        said: str | None = str(error)
    else:
        path = LIVE if live else READY
        said = "the system chose the port: name it with --port"
        if settings.port:
            said = check_health(settings.host, settings.port, path)
    if said is not None:
        click.echo(f"Error: {said}.", err=True)
        sys.exit(1)
    click.echo("live" if live else "ready")


@main.command("key")
@click.argument("name")
@click.option(
    "--scopes",
    default=f"{PREDICT},{READ}",
    show_default=True,
    help=f"What it is good for: some of {', '.join(SCOPES)}, with commas between.",
)
@click.option(
    "--keys",
    "path",
    envvar=f"{PREFIX}KEYS",
    help=f"Key file that it is added to; without one, its entry is shown. [{PREFIX}KEYS]",
)
def make_key(name: str, scopes: str, path: str | None) -> None:
    """Make a key called NAME, and show its token once.

    The token alone goes to standard output.
    """
    try:
        token, entry = new_key(name, [scope.strip() for scope in scopes.split(",")])
        if path:
            append_key(Path(path), name, entry)
    except (ValueError, InvalidKeyFile) as error:
        click.echo(f"Error: {error}.", err=True)
        sys.exit(INVALID)
    told = f"{name} is in {path} now." if path else f"For the key file:\n\n{entry}"
    click.echo(f"{told}\nThe token is shown this once:", err=True)
    click.echo(token)


# The command's former name, for scripts that use it.
main.add_command(click.Command("run", callback=serve.callback, params=serve.params, hidden=True))


if __name__ == "__main__":
    main()
