"""A finished request, as the access log and spans record it."""

from __future__ import annotations

import msgspec

from ..inference.protocol import Header
from ..inference.route import InferenceCall

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
