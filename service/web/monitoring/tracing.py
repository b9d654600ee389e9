"""Whether requests are traced: OpenTelemetry's own environment variables say so, and how.

Nothing of OpenTelemetry is imported where they don't: it takes 0.2 s and 15 MB in each worker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .spans import Spans

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where spans are sent; requests are traced if one of them is set."""

EXPORTER, DISABLED = "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

KNOWN_EXPORTER, KNOWN_PROTOCOL = "otlp", "http/protobuf"


def open_spans(environ: Mapping[str, str]) -> Spans | None:
    """What makes spans of requests, if the environment asks for it; made after the fork.

    Traces are never worth a service that does not start: what keeps them from being made is logged,
    and requests are answered without.

    Args:
        environ: the process's own, which OpenTelemetry reads the rest from.
    """
    if not _is_asked_for(environ):
        return None
    try:
        from .spans import Spans, exporting_provider  # noqa: PLC0415
    except ModuleNotFoundError as error:
        log.warning(
            'requests are not traced: install the missing package with pip install "pigeonhole-ml[tracing]"',
            extra={"reason": str(error)},
        )
        return None
    try:
        return Spans(exporting_provider())
    except Exception as error:  # noqa: BLE001 - a variable that can't be used
        log.warning("requests are not traced", extra={"reason": str(error)})
        return None


def _is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether spans are to be made and sent; what is asked for and not known here is logged."""
    if not _first(environ, ENDPOINTS) or environ.get(DISABLED, "").strip().lower() == "true":
        return False
    exporter = environ.get(EXPORTER, "").strip() or KNOWN_EXPORTER
    if exporter != KNOWN_EXPORTER:
        if exporter != "none":
            reason = f"{EXPORTER} is {exporter!r}, expected '{KNOWN_EXPORTER}' or 'none'"
            log.warning("requests are not traced", extra={"reason": reason})
        return False
    if (protocol := _first(environ, PROTOCOLS)) not in ("", KNOWN_PROTOCOL):
        reason = f"the protocol {protocol!r} is not spoken here"
        log.warning("spans are sent by %s", KNOWN_PROTOCOL, extra={"reason": reason})
    return True


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of some variables that says anything, as the more special one goes before."""
    return next((said for name in names if (said := environ.get(name, "").strip())), "")
