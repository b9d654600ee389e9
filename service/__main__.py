"""The service's commands: ``serve`` models, ``check`` them, ``probe`` a service, make a ``key``."""

from __future__ import annotations

import os
import signal
import sys

if os.getpid() == 1:
    # The kernel drops a signal to the first process of a container unless it has a handler. Without
    # this one, a SIGTERM during the imports would be lost and the container killed at its timeout.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import socket
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn

import click

from pigeonhole import __version__

from .api_keys import PREDICT, READ, SCOPES, KeyFile, append_key, new_key, open_keys
from .cores import granted_cores
from .errors import InvalidKeyFile, InvalidSetting, ModelRejected
from .settings import PREFIX, Settings, flag_of, unknown_variables

REJECTED = 2
"""Exit code of a usage error, and of settings, keys or models that are rejected."""

UNHEALTHY = 1
"""Exit code of ``probe`` for a service that is not healthy: Docker reserves 2 in a HEALTHCHECK."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

GUNICORN_SOCKETS = "GUNICORN_FD"
"""Variable by which a service that starts its successor (SIGUSR2) hands on its sockets."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pigeonhole")
def main() -> None:
    """Serve trained classifiers over HTTP."""


def exit_when_interrupted(command: Callable[..., None]) -> Callable[..., None]:
    """Exit with `INTERRUPTED` after Ctrl-C."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)

    return run


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for every setting."""
    for setting in reversed(fields(Settings)):
        value = getattr(Settings(), setting.name)
        default = value if value != "" else "none"
        if isinstance(value, bool):
            default = "on" if value else "off"
        if setting.name == "workers":
            default = "cores granted"
        command = click.option(
            flag_of(setting.name),
            help=f"{setting.metadata['help']} [{PREFIX}{setting.name.upper()}; default: {default}]",
        )(command)
    return command


def _reject(text: str) -> NoReturn:
    """Print an error and exit with `REJECTED`."""
    click.echo(f"Error: {text}", err=True)
    sys.exit(REJECTED)


def _read_settings(flags: dict[str, str | None]) -> tuple[Settings, KeyFile | None]:
    """Return the settings and their key file, or exit."""
    try:
        settings = Settings.read(os.environ, flags)
        keys = open_keys(settings.keys)
    except (InvalidSetting, InvalidKeyFile) as error:
        click.echo(f"Error: {error}.", err=True)
        sys.exit(REJECTED)
    if keys is None and not settings.allow_anonymous and not _is_loopback(settings.host):
        _reject(
            f"Refusing to listen on {settings.host or 'all addresses'} without authentication: "
            "pass --keys FILE, or --allow-anonymous on."
        )
    return settings, keys


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host; for a name, every address of it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(address[0]).is_loopback for *_, address in found)


@main.command()
@_setting_options
@exit_when_interrupted
def serve(**flags: str | None) -> None:
    """Serve the models of a folder over HTTP.

    Each setting is a flag or an environment variable; the flag takes precedence.
    """
    settings, keys = _read_settings(flags)
    # Imported here, so that --help and an invalid setting need no server.
    from .gunicorn_server import GunicornServer  # noqa: PLC0415

    for name in unknown_variables(os.environ):
        click.echo(f"Warning: {name} is not a setting and is ignored.", err=True)
    if GUNICORN_SOCKETS not in os.environ:
        _reject_unusable_address(settings.host, settings.port)
    if settings.port:
        click.echo(f"Serving {settings.models} on http://{settings.address}")
    click.echo(_describe_workers(settings))
    GunicornServer(settings, keys).run()


def _describe_workers(settings: Settings) -> str:
    """Return one line that says how the cores are used."""
    return (
        f"{_count(granted_cores(), 'core')} granted: {_count(settings.workers, 'worker')}, "
        f"each with 1 event loop, {_count(settings.request_threads, 'request thread')} and "
        f"{_count(settings.run_threads, 'model run')} of "
        f"{_count(settings.model_threads, 'thread')} at a time"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _reject_unusable_address(host: str, port: int) -> None:
    """Exit if the address can't be bound; gunicorn itself would try for five seconds."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as test:
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            test.bind(address)
    except OSError as error:
        _reject(f"can't listen on {host}:{port}: {error.strerror}.")


@main.command()
@_setting_options
@exit_when_interrupted
def check(**flags: str | None) -> None:
    """Load every model as the service would, and report.

    Exits with 2 if a setting, a key file or a model is rejected.
    """
    settings, keys = _read_settings(flags)
    from .model.repository import Repository  # noqa: PLC0415

    click.echo(f"{settings.models} on {settings.address}; {_describe_workers(settings)}")
    for key in keys.ring.keys if keys else ():
        click.echo(f"key {key.name}: {', '.join(sorted(key.scopes))}")
    repository = Repository(settings.models, settings.model_name)
    listing = repository.scan()
    if listing.problem:
        _reject(f"{listing.problem}.")
    problems = [] if listing.models else [f"Error: no model found, expected {repository.expected}."]
    for name, reason in listing.ignored.items():
        click.echo(f"{name}: ignored: {reason}")
    for name, folder in listing.models.items():
        if folder.problem:
            problems.append(f"{name}: {folder.problem}")
        for version, (path, _) in sorted(folder.versions.items()):
            problem = _check_version(settings, name, version, path)
            problems += [problem] if problem else []
    default = settings.effective_default_model
    if default is not None and default not in listing.models:
        problems.append(f"Error: the default model '{default}' does not exist.")
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(REJECTED if problems else 0)


def _check_version(settings: Settings, name: str, version: int, path: Path) -> str | None:
    """Load one version and print its facts; return why it is rejected, or None."""
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
        return f"{name}/{version}: rejected: {error.reason}"
    golden = f"{_count(len(model.golden_rows), 'golden row')} passed"
    click.echo(
        f"{name}/{version}: ok, {golden if model.has_metadata else 'no metadata'}, "
        f"{_count(len(model.signature.features), 'feature')}, "
        f"classes {', '.join(model.signature.classes)}, sha256 {model.digest}, "
        f"loaded in {1000 * model.load_seconds:.0f} ms, one row in {1e6 * model.run_seconds:.0f} us"
    )
    return None


@main.command()
@click.option(
    "--live/--ready",
    default=True,
    show_default=True,
    help="Check that the process answers, or that its models are loaded too.",
)
@click.option("--host", help=f"Address of the service. [{PREFIX}HOST]")
@click.option("--port", help=f"Port of the service. [{PREFIX}PORT]")
@exit_when_interrupted
def probe(live: bool, host: str | None, port: str | None) -> None:
    """Ask the service on this machine whether it is live or ready; exit with 1 if it is not.

    For the health check of a container. A check that restarts the container should use --live: a
    restart does not bring a missing model back.
    """
    # Imported here, so that the other commands start faster.
    from .probe import LIVE, READY, check_health  # noqa: PLC0415

    problem: str | None
    try:
        settings = Settings.read(os.environ, {"host": host, "port": port})
    except InvalidSetting as error:
        problem = str(error)
    else:
        problem = "the system chose the port; pass it with --port"
        if settings.port:
            problem = check_health(settings.host, settings.port, LIVE if live else READY)
    if problem is not None:
        click.echo(f"Error: {problem}.", err=True)
        sys.exit(UNHEALTHY)
    click.echo("live" if live else "ready")


@main.command("key")
@click.argument("name")
@click.option(
    "--scopes",
    default=f"{PREDICT},{READ}",
    show_default=True,
    help=f"Scopes of the key, separated by commas: {', '.join(SCOPES)}.",
)
@click.option(
    "--keys",
    "path",
    envvar=f"{PREFIX}KEYS",
    help=f"Key file to add the key to; without one, print the entry. [{PREFIX}KEYS]",
)
@exit_when_interrupted
def make_key(name: str, scopes: str, path: str | None) -> None:
    """Make an API key called NAME and print its token once.

    Only the token goes to standard output.
    """
    try:
        token, entry = new_key(name, [scope.strip() for scope in scopes.split(",")])
        if path:
            append_key(Path(path), name, entry)
    except (ValueError, InvalidKeyFile) as error:
        click.echo(f"Error: {error}.", err=True)
        sys.exit(REJECTED)
    result = f"Added {name} to {path}." if path else f"Entry for the key file:\n\n{entry}"
    click.echo(f"{result}\nThe token, shown only once:", err=True)
    click.echo(token)


# The command's former name, for scripts that use it.
main.add_command(click.Command("run", callback=serve.callback, params=serve.params, hidden=True))


if __name__ == "__main__":
    main()
