"""Limits for clients, and the memory for large request bodies."""

from __future__ import annotations

from dataclasses import dataclass

LARGE_BODY_BYTES = 64 * 1024
"""Larger bodies count towards ``Limits.buffered_bytes`` and need a valid API key."""


@dataclass(frozen=True)
class Limits:
    """Limits for clients.

    Attributes:
        body_bytes: bytes of one request body.
        connections: open connections. At the limit the longest silent one is closed; while all are
            busy, new ones wait in the kernel's queue.
        head_s: seconds from a request's first byte, or from the connection, to the end of the
            headers.
        body_s: seconds from there to the end of the body.
        idle_s: seconds that a connection stays open between two requests.
        write_s: seconds in which a client must receive 256 KiB of a response, or the rest of it.
        linger_s: seconds that a client gets to close after the last response, while its bytes are
            dropped. Closing while the client sends would reset the connection, and the reset can
            arrive before the response.
        buffered_bytes: bytes of all large bodies in memory; a single body is always accepted.
    """

    body_bytes: int
    connections: int
    head_s: float
    body_s: float
    idle_s: float
    write_s: float = 30.0
    linger_s: float = 5.0
    buffered_bytes: int = 256 * 2**20


class BodyMemory:
    """Counts the bytes of a server's large request bodies.

    A body counts from its first byte beyond `LARGE_BODY_BYTES` until its response begins.

    Attributes:
        used: bytes of all large bodies in memory.
    """

    def __init__(self, limits: Limits) -> None:
        self.used = 0
        self._max = max(limits.buffered_bytes, limits.body_bytes)

    def grow(self, size: int, added: int) -> bool:
        """Count bytes added to a body; return whether all large bodies are within the limit.

        Args:
            size: bytes of the whole body.
            added: the last bytes of it.
        """
        if size > LARGE_BODY_BYTES:
            became_large = size - added <= LARGE_BODY_BYTES
            self.used += size if became_large else added
        return self.used <= self._max

    def release(self, size: int) -> None:
        """Stop counting a body of this size; bodies that are not large were not counted."""
        if size > LARGE_BODY_BYTES:
            self.used -= size
