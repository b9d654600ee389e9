"""The request id, which appears in the response and in log lines."""

from __future__ import annotations

import random
import re

HEADER = "X-Request-Id"

ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
"""Ids that are accepted from clients: harmless in headers and in log lines."""


def request_id(client_id: str | None) -> str:
    """Return the client's id if it is accepted, else a new one of 32 hexadecimal digits."""
    if client_id is not None and ACCEPTED.fullmatch(client_id):
        return client_id
    # Not a secret, only unique. Several times faster than the system's random bytes.
    return f"{random.getrandbits(128):032x}"
