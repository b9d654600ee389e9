"""Open connections of each worker in the shared map, so that workers share new ones evenly."""

from __future__ import annotations

from .shared_state import CONNECTIONS, NOT_ACCEPTING, SharedState, WorkerSlot


class ConnectionShare:
    """One worker's view of the open connections.

    Args:
        slot: the worker's slot.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot = slot

    def report(self, connections: int | None) -> None:
        """Report this worker's open connections; None when it accepts no more."""
        self._slot.header[CONNECTIONS] = NOT_ACCEPTING if connections is None else connections

    def minimum(self) -> int:
        """Return the fewest connections that any accepting worker has; 0 without such a worker."""
        return min(connection_counts(self._slot.shared), default=0)

    def total(self) -> int:
        """Return the connections of all accepting workers."""
        return sum(connection_counts(self._slot.shared))


def connection_counts(shared: SharedState) -> list[int]:
    """Return the open connections of each living worker that accepts connections."""
    counts = [header[CONNECTIONS] for header in shared.living()]
    return [count for count in counts if count != NOT_ACCEPTING]
