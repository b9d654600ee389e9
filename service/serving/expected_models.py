"""The models that a worker needs before it is ready, handed on to its successors.

A worker expects the models that were in the folder at the service's start, and every model that was
live later. A successor that expected more than its predecessor would never become ready while one
model, published later, is bad.
"""

from __future__ import annotations

from .shared_state import EXPECTED_MODELS, WorkerSlot


class ExpectedModels:
    """One worker's view of the expected models.

    Args:
        slot: the worker's slot.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot = slot

    def add(self, name: str) -> None:
        """Expect a model from now on. A full table leaves the name out."""
        self._slot.tables[EXPECTED_MODELS].find_or_add((name,))

    def names(self) -> set[str]:
        """Return the models that any worker so far expected; empty at the service's start."""
        return {key[0] for key, _ in self._slot.shared.entries(EXPECTED_MODELS)}
