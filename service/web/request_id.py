"""The id that ties together a request, its answer and its log lines."""

from __future__ import annotations

import random
import re

HEADER = "X-Request-Id"

ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
"""A caller's id is repeated in the answer and the log, so only harmless ones are taken over."""


def request_id(given: str | None) -> str:
    """The caller's id where it is harmless, else a new one of 32 hexadecimal digits."""
    if given is not None and ACCEPTED.fullmatch(given):
        return given
    # No secret, only unlike the others; several times quicker than asking the system.
    return f"{random.getrandbits(128):032x}"
