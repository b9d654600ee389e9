"""Request ids: harmless ones are kept, others are replaced."""

from __future__ import annotations

import re

import pytest

from pigeonhole.service.web.request_id import request_id

NEW = re.compile("[0-9a-f]{32}")


@pytest.mark.parametrize(
    "client_id",
    ["a", "7b1c", "trace:00-4bf9/2=+@x.y_z-1", "a" * 128, "A1b2C3d4-0000-4000-8000-123"],
)
def test_harmless_id_is_kept(client_id: str) -> None:
    assert request_id(client_id) == client_id


@pytest.mark.parametrize(
    "client_id",
    [None, "", " ", "a b", "a,b", "a\nb", "a\n", "<x>", '"', "\u00fc", "\u0663", "a" * 129],
)
def test_other_id_is_replaced(client_id: str | None) -> None:
    assert NEW.fullmatch(request_id(client_id))


def test_new_ids_are_unique() -> None:
    assert len({request_id(None) for _ in range(1000)}) == 1000
