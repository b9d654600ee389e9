"""Process ids of the service in the shared map: the parent and its workers."""

from __future__ import annotations

from .shared_state import PID, SharedState


class ProcessList:
    """The processes of the service.

    Args:
        shared: the map.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared

    @property
    def parent(self) -> int:
        """The process id of the parent of the workers."""
        return self._shared.parent_pid

    def pids(self) -> set[int]:
        """Return the process ids of the parent and of the living workers that have reported one."""
        return {self.parent} | {header[PID] for header in self._shared.living() if header[PID]}
