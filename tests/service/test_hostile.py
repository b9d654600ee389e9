"""Whatever is sent: answered below 500, in one shape, and nothing of it stays in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.hostile_soak import HANDLERS, soak

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("handler", HANDLERS)
def test_hostile_requests_are_answered_and_forgotten(handler: str, tmp_path: Path) -> None:
    """A quick version of ``python -m tests.service.hostile_soak``, which sends a million."""
    soaked = soak(handler, 6_000, seed=7, senders=4, parts=4, folder=tmp_path)
    assert sum(soaked.counted.values()) >= 6_000
    # Most of what is sent is refused, but what is whole is answered.
    good = sum(count for name, count in soaked.counted.items() if name.endswith(" 200"))
    assert good > 500
    # The allocator's arenas come and go; a leak of 10 KiB a request would be half as much again.
    assert soaked.memory[-1] < soaked.memory[0] + 40, soaked.memory
