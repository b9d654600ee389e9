"""What is kept of each request that has ended: a line in the access log, a span, or both."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ..inference.protocol import Header
from ..inference.route import Call
from .access_log import AccessLog

log = logging.getLogger(__name__)

UNREAD = "-"
"""Method and path of what could not be read so far."""


class FinishedRequest(msgspec.Struct, gc=False):
    """A request that has its whole answer, or gets none.

    Attributes:
        identity: its id.
        method: as sent.
        path: decoded.
        status: of the answer.
        seconds: that it took.
        key: name of the key that it came with, if any.
        rule: of the route that it meant, in Flask's notation; empty where that is none.
        header: its headers.
        client: the other end's address.
        call: what a hot route knows of it.
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
    call: Call | None = None


Traced = Callable[[FinishedRequest], str]
"""Makes a span of a request; its trace's id, or nothing where the request is in no trace."""


class RequestLog:
    """Told of every request once, when it has ended.

    Args:
        access_log: where each has a line, if anywhere.
        traced: makes spans, if any are made; where it fails, that is logged and fails nothing.
    """

    def __init__(self, access_log: AccessLog | None, traced: Traced | None) -> None:
        self._access_log, self._traced = access_log, traced

    def note(self, ended: FinishedRequest) -> None:
        """Note a request."""
        trace_id = ""
        if self._traced is not None:
            try:
                trace_id = self._traced(ended)
            except Exception:
                log.exception("a span could not be made")
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
