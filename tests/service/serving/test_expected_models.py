"""The models that a successor needs before it is ready."""

from __future__ import annotations

from pigeonhole.service.serving.expected_models import ExpectedModels
from pigeonhole.service.serving.shared_state import EXPECTED_MODELS


def test_nothing_is_expected_at_the_start(shared) -> None:
    assert ExpectedModels(shared.worker(0)).names() == set()


def test_successor_expects_the_models_of_all_workers_before_it(shared) -> None:
    first, second = (ExpectedModels(shared.worker(slot)) for slot in range(2))
    first.add("a")
    first.add("a")
    second.add("b")
    shared.release(0)
    shared.claim(0)
    assert ExpectedModels(shared.worker(0)).names() == {"a", "b"}


def test_full_table_leaves_names_out(shared) -> None:
    expected = ExpectedModels(shared.worker(0))
    expected.add("x" * EXPECTED_MODELS.key_bytes)
    expected.add("a")
    assert expected.names() == {"a"}
