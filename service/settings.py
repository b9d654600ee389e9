"""Every setting of the service in one table: name with unit, default, limits and help.

A setting comes from its flag, else from the environment variable ``PIGEONHOLE_<NAME>``, else from
its default. Below ``app.Service`` no module sees this object: plain values are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .cores import granted_cores
from .errors import InvalidSetting
from .model.repository import NAME

PREFIX = "PIGEONHOLE_"

SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
"""Accepted spellings of a setting that is on or off."""

HANDLERS = ("fast", "flask")

LOG_LEVELS = ("debug", "info", "warning", "error")


def _setting(
    default: Any,
    help_text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    pattern: re.Pattern[str] | None = None,
) -> Any:
    facts: dict[str, Any] = {"help": help_text, "minimum": minimum, "maximum": maximum}
    facts |= {"choices": choices, "pattern": pattern}
    if callable(default):
        return field(default_factory=default, metadata=facts)
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class Settings:
    """The settings of the service; ``pigeonhole serve --help`` describes each."""

    models: Path = _setting(Path("models"), "Model folder with <name>/<version>/model.onnx.")
    model_name: str = _setting(
        "",
        "Name of a single model whose own folder --models is. The folder then holds model.onnx, "
        "one file of another name, or <version>/model.onnx.",
        pattern=NAME,
    )
    default_model: str = _setting("", "Model that /predict uses; empty for the only model.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(
        8000, "Port to listen on; 0 lets the system choose.", minimum=0, maximum=65535
    )
    keys: str = _setting("", "File of API keys; empty for no authentication.")
    allow_anonymous: bool = _setting(
        False, "Allow other machines to connect without authentication (on or off)."
    )
    workers: int = _setting(
        granted_cores, "Worker processes; one per granted core if not set.", minimum=1, maximum=60
    )
    handler: str = _setting(
        "fast",
        "Handler of predictions: fast (bypasses Flask) or flask.",
        choices=HANDLERS,
    )
    request_threads: int = _setting(
        4,
        "Threads per worker for large bodies, NDJSON streams and admin requests; "
        "with --handler flask, for all predictions.",
        minimum=1,
        maximum=256,
    )
    run_threads: int = _setting(
        1, "Concurrent runs of heavy models per worker.", minimum=1, maximum=256
    )
    max_waiting: int = _setting(
        128,
        "Queue length per worker: calls that may wait for a thread or a heavy model.",
        minimum=1,
    )
    max_wait_seconds: float = _setting(
        10.0,
        "Longest wait of a call for a heavy model, in seconds.",
        minimum=0.001,
        maximum=3600,
    )
    stuck_seconds: float = _setting(
        120.0,
        "Longest run of a model, in seconds; a worker with a longer run is replaced. "
        "0 for no limit.",
        minimum=0,
        maximum=86400,
    )
    model_threads: int = _setting(1, "Threads per model run.", minimum=1, maximum=256)
    reload_seconds: float = _setting(
        0.5, "Interval between checks for new versions, in seconds.", minimum=0.05, maximum=3600
    )
    load_wait_seconds: float = _setting(
        20.0,
        "Longest wait of a starting worker for its models, in seconds, before it takes requests.",
        minimum=0,
        maximum=3600,
    )
    max_model_bytes: int = _setting(2**30, "Largest model file, in bytes.", minimum=1)
    max_body_bytes: int = _setting(
        8 * 2**20,
        "Largest request body after decompression, in bytes.",
        minimum=1,
        maximum=2**31,
    )
    max_rows: int = _setting(10_000, "Most rows per request.", minimum=1)
    drain_seconds: float = _setting(
        1.0,
        "Drain time after SIGTERM, in seconds: readiness fails, but connections are accepted.",
        minimum=0,
        maximum=3600,
    )
    graceful_seconds: float = _setting(
        30.0,
        "Longest time for requests in flight after the drain, in seconds.",
        minimum=0,
        maximum=3600,
    )
    keepalive_seconds: int = _setting(
        75, "Longest idle time of a connection, in seconds.", minimum=1, maximum=3600
    )
    header_seconds: float = _setting(
        10.0,
        "Longest time for a request's headers to arrive, in seconds.",
        minimum=0.1,
        maximum=3600,
    )
    body_seconds: float = _setting(
        30.0,
        "Longest time for a request's body to arrive, in seconds.",
        minimum=0.1,
        maximum=3600,
    )
    max_connections: int = _setting(
        1000, "Most open connections per worker.", minimum=1, maximum=100_000
    )
    log_level: str = _setting("info", "Least severe level that is logged.", choices=LOG_LEVELS)
    access_log: bool = _setting(False, "Log each request (on or off).")

    @property
    def address(self) -> str:
        """The host and port as in a URL, where an IPv6 address has brackets (RFC 3986)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def effective_default_model(self) -> str | None:
        """The model of requests that name none; None for the only model, if there is one."""
        return self.default_model or self.model_name or None

    @classmethod
    def read(
        cls, environment: Mapping[str, str], flags: Mapping[str, str | None] | None = None
    ) -> Settings:
        """Return the settings from flags, environment and defaults, in that order.

        Raises:
            InvalidSetting: names the first invalid flag or variable.
        """
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for setting in fields(cls):
            text = (flags or {}).get(setting.name)
            source = flag_of(setting.name)
            if text is None:
                source = PREFIX + setting.name.upper()
                text = environment.get(source)
            if text is not None:
                default = getattr(cls(), setting.name)
                values[setting.name] = _parse(source, text, type(default), setting.metadata)
                sources[setting.name] = source
        settings = cls(**values)
        if settings.model_name and settings.default_model not in ("", settings.model_name):
            expected = f"{settings.model_name!r}, the only model"
            raise InvalidSetting(sources["default_model"], settings.default_model, expected)
        return settings


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the variables with our prefix that are not settings, such as misspelled ones.

    They deserve a warning but must not stop the start: Kubernetes adds variables of its own next to
    a service that is called ``pigeonhole``.
    """
    known = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    return sorted(n for n in environment if n.startswith(PREFIX) and n not in known)


def flag_of(name: str) -> str:
    """Return a setting's flag: ``--max-rows`` for ``max_rows``."""
    return "--" + name.replace("_", "-")


def _parse(source: str, text: str, kind: type[Any], facts: Mapping[str, Any]) -> Any:
    """Return a setting's value of its default's type."""
    if kind is bool:
        if text.lower() not in SWITCH:
            raise InvalidSetting(source, text, "on or off")
        return SWITCH[text.lower()]
    if kind in (int, float):
        return _parse_number(source, text, kind, facts)
    if facts["choices"] and text not in facts["choices"]:
        raise InvalidSetting(source, text, "one of " + ", ".join(facts["choices"]))
    if text and facts["pattern"] and not facts["pattern"].fullmatch(text):
        raise InvalidSetting(source, text, f"text of the form {facts['pattern'].pattern}")
    return Path(text) if issubclass(kind, Path) else text


def _parse_number(source: str, text: str, kind: type[Any], facts: Mapping[str, Any]) -> Any:
    low, high = facts["minimum"], facts["maximum"]
    noun = "a whole number" if kind is int else "a number"
    expected = noun + (f" of at least {low}" if high is None else f" from {low} to {high}")
    try:
        value = kind(text)
    except ValueError:
        raise InvalidSetting(source, text, expected) from None
    if not (low <= value and (high is None or value <= high)):
        raise InvalidSetting(source, text, expected)
    return value
