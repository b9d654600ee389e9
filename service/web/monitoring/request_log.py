"""Finished requests: each gets a line in the access log, a span, or both."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ..inference.protocol import Header
from ..inference.route import InferenceCall
from .access_log import AccessLog

log = logging.getLogger(__name__)

UNREAD = "-"
"""Method and path of a request that could not be parsed."""


class FinishedRequest(msgspec.Struct, gc=False):
    """A request whose response is complete or abandoned.

    Attributes:
        identity: id of the request.
        method: of the request.
        path: decoded.
        status: of the response.
        seconds: duration of the request.
        key: name of the API key, if any.
        rule: of the route, in Flask's notation; empty for an unknown route.
        header: returns a header by its lower-case name.
        client: address of the client.
        call: the inference call, for inference routes.
    """

    identity: str
    method: str
    path: str
    status: int
    seconds: float
    key: str = ""
    rule: str = ""
    header: Header = lambda _name: None
    client: str = ""
    call: InferenceCall | None = None


Traced = Callable[[FinishedRequest], str]
"""Makes the span of a request and returns its trace's id; empty without a span."""


class RequestLog:
    """Records every finished request once.

    Args:
        access_log: gets a line per request; None for no access log.
        traced: makes spans; None for no traces. Its failures are logged and fail no request.
    """

    def __init__(self, access_log: AccessLog | None, traced: Traced | None) -> None:
        self._access_log, self._traced = access_log, traced

    def note(self, ended: FinishedRequest) -> None:
        """Record a request."""
        trace_id = ""
        if self._traced is not None:
            try:
                trace_id = self._traced(ended)
            except Exception:
                log.exception("failed to make a span")
        if self._access_log is not None:
            self._access_log.note(
                ended.identity,
                ended.method,
                ended.path,
                ended.status,
                ended.seconds,
                ended.key,
                trace_id,
            )
