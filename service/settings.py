"""Every setting of the service in one table: name with unit, default, limits, one line of help.

A setting comes from its flag, else from its environment variable ``PIGEONHOLE_<NAME>``, else it
has its default. Below ``app.create_app`` nobody sees this object: plain values are handed on.
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
"""What a setting that is on or off may be."""

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
    """The settings; see each one's help in ``pigeonhole serve --help``."""

    models: Path = _setting(Path("models"), "Folder with <name>/<version>/model.onnx.")
    model_name: str = _setting(
        "",
        "Name of the one model whose own folder the model folder then is: with model.onnx, a lone "
        "file of another name, or <version>/model.onnx in it.",
        pattern=NAME,
    )
    default_model: str = _setting(
        "", "Model that /predict means; empty for the only one that there is."
    )
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(
        8000, "Port to listen on; 0 lets the system choose.", minimum=0, maximum=65535
    )
    keys: str = _setting("", "File of the keys that are asked for; empty for none.")
    allow_anonymous: bool = _setting(
        False, "Whether others may reach the service while it has no keys (on or off)."
    )
    workers: int = _setting(
        granted_cores, "Worker processes; one a core granted if not set.", minimum=1, maximum=60
    )
    handler: str = _setting(
        "fast",
        "What answers predictions: express, the quick way past Flask, or flask itself.",
        choices=HANDLERS,
    )
    request_threads: int = _setting(
        4,
        "Threads in each worker for large bodies, answers in lines and what admins ask, "
        "and for all predictions if the handler is flask.",
        minimum=1,
        maximum=256,
    )
    run_threads: int = _setting(
        1, "Runs of heavy models at one time in each worker.", minimum=1, maximum=256
    )
    max_waiting: int = _setting(
        128, "Calls that may wait for a thread or a heavy model in each worker.", minimum=1
    )
    max_wait_seconds: float = _setting(
        10.0, "Seconds that a call may wait for a heavy model.", minimum=0.001, maximum=3600
    )
    stuck_seconds: float = _setting(
        120.0,
        "Seconds that a run of a model may last before its worker is replaced; 0 for any time.",
        minimum=0,
        maximum=86400,
    )
    model_threads: int = _setting(
        1, "Threads that one run of a model may use.", minimum=1, maximum=256
    )
    reload_seconds: float = _setting(
        0.5, "Seconds between two looks for new versions.", minimum=0.05, maximum=3600
    )
    load_wait_seconds: float = _setting(
        20.0,
        "Seconds that a starting worker waits for its models before it takes requests.",
        minimum=0,
        maximum=3600,
    )
    max_model_bytes: int = _setting(2**30, "Largest model file that is loaded.", minimum=1)
    max_body_bytes: int = _setting(
        8 * 2**20, "Largest request body, after inflating.", minimum=1, maximum=2**31
    )
    max_rows: int = _setting(10_000, "Most rows in one request.", minimum=1)
    drain_seconds: float = _setting(
        1.0,
        "Seconds between the signal to stop, when readiness fails, and taking no more connections.",
        minimum=0,
        maximum=3600,
    )
    graceful_seconds: float = _setting(
        30.0, "Seconds that running requests get to finish after that.", minimum=0, maximum=3600
    )
    keepalive_seconds: int = _setting(
        75, "Seconds that an idle connection stays open.", minimum=1, maximum=3600
    )
    header_seconds: float = _setting(
        10.0, "Seconds that a request's headers may take to arrive.", minimum=0.1, maximum=3600
    )
    body_seconds: float = _setting(
        30.0, "Seconds that a request's body may take to arrive.", minimum=0.1, maximum=3600
    )
    max_connections: int = _setting(
        1000, "Connections that each worker holds open at most.", minimum=1, maximum=100_000
    )
    log_level: str = _setting("info", "Least severe lines that are logged.", choices=LOG_LEVELS)
    access_log: bool = _setting(False, "Whether each request is logged (on or off).")

    @property
    def address(self) -> str:
        """Host and port as in a URL; the numbers of IPv6 have brackets there (RFC 3986)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def meant(self) -> str | None:
        """The model that requests mean which name none; None for the only one that there is."""
        return self.default_model or self.model_name or None

    @classmethod
    def read(
        cls, environment: Mapping[str, str], flags: Mapping[str, str | None] | None = None
    ) -> Settings:
        """The settings from flags, environment and defaults, in that order.

        Raises:
            InvalidSetting: naming the first flag or variable that can't be used.
        """
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for setting in fields(cls):
            variable = PREFIX + setting.name.upper()
            given = (flags or {}).get(setting.name)
            source = flag_of(setting.name)
            if given is None:
                given, source = environment.get(variable), variable
            if given is not None:
                default = getattr(cls(), setting.name)
                values[setting.name] = _parsed(source, given, type(default), setting.metadata)
                sources[setting.name] = source
        settings = cls(**values)
        if settings.model_name and settings.default_model not in ("", settings.model_name):
            expected = f"{settings.model_name!r}, the only model"
            raise InvalidSetting(sources["default_model"], settings.default_model, expected)
        return settings


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are no setting: worth a warning, for one may be misspelled.

    They don't stop the start, because Kubernetes adds variables of its own beside a service that
    is called ``pigeonhole``.
    """
    known = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    return sorted(n for n in environment if n.startswith(PREFIX) and n not in known)


def flag_of(name: str) -> str:
    """A setting's flag: ``max_rows`` is ``--max-rows``."""
    return "--" + name.replace("_", "-")


def _parsed(source: str, text: str, kind: type[Any], facts: Mapping[str, Any]) -> Any:
    if kind is bool:
        if text.lower() not in SWITCH:
            raise InvalidSetting(source, text, "on or off")
        return SWITCH[text.lower()]
    if kind not in (int, float):
        if facts["choices"] and text not in facts["choices"]:
            raise InvalidSetting(source, text, "one of " + ", ".join(facts["choices"]))
        if text and facts["pattern"] and not facts["pattern"].fullmatch(text):
            raise InvalidSetting(source, text, f"text of the form {facts['pattern'].pattern}")
        return Path(text) if issubclass(kind, Path) else text
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
