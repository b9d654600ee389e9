"""Turns tracing on by OpenTelemetry's environment variables.

OpenTelemetry is imported only then, because it takes 0.2 s and 15 MB per worker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .spans import Spans

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Endpoints of spans; requests are traced if one of them is set."""

EXPORTER, DISABLED = "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

KNOWN_EXPORTER, KNOWN_PROTOCOL = "otlp", "http/protobuf"


def open_spans(environ: Mapping[str, str]) -> Spans | None:
    """Return a maker of spans, or None without tracing; call it after the fork.

    A fault in tracing does not keep the service from starting. It is logged, and requests are
    answered without traces.

    Args:
        environ: environment of the process; OpenTelemetry reads its other variables too.
    """
    if not _is_requested(environ):
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
    except Exception as error:  # noqa: BLE001 - an invalid variable
        log.warning("requests are not traced", extra={"reason": str(error)})
        return None


def _is_requested(environ: Mapping[str, str]) -> bool:
    """Return whether the environment requests traces; log unsupported values."""
    if not _first(environ, ENDPOINTS) or environ.get(DISABLED, "").strip().lower() == "true":
        return False
    exporter = environ.get(EXPORTER, "").strip() or KNOWN_EXPORTER
    if exporter != KNOWN_EXPORTER:
        if exporter != "none":
            reason = f"{EXPORTER} is {exporter!r}, expected '{KNOWN_EXPORTER}' or 'none'"
            log.warning("requests are not traced", extra={"reason": reason})
        return False
    if (protocol := _first(environ, PROTOCOLS)) not in ("", KNOWN_PROTOCOL):
        reason = f"the protocol is {protocol!r}, only {KNOWN_PROTOCOL} is supported"
        log.warning("spans are sent by %s", KNOWN_PROTOCOL, extra={"reason": reason})
    return True


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first variable that is set; specific variables come first."""
    return next((value for name in names if (value := environ.get(name, "").strip())), "")
