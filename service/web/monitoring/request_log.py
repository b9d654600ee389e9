"""The request log: each finished request gets a line in the access log, a span, or both."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .access_log import AccessLog
from .finished_request import FinishedRequest

log = logging.getLogger(__name__)

MakeSpan = Callable[[FinishedRequest], str]
"""Makes the span of a request and returns its trace's id; empty without a span."""


class RequestLog:
    """Records every finished request once.

    Args:
        access_log: gets a line per request; None for no access log.
        make_span: makes spans; None for no traces. Its failures are logged and fail no request.
    """

    def __init__(self, access_log: AccessLog | None, make_span: MakeSpan | None) -> None:
        self._access_log, self._make_span = access_log, make_span

    def note(self, finished: FinishedRequest) -> None:
        """Record a request."""
        trace_id = ""
        if self._make_span is not None:
            try:
                trace_id = self._make_span(finished)
            except Exception:
                log.exception("failed to make a span")
        if self._access_log is not None:
            self._access_log.note(finished, trace_id)
