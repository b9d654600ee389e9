"""Which versions should be live, decided from the folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pigeonhole.service.model.repository import FolderScan, ModelFolder
from pigeonhole.service.serving.live_models import ModelState
from pigeonhole.service.serving.load_plan import Action, SettledFiles, plan_loads

OLD, NEW = (1,), (2,)
"""Stamps of a file before and after a change."""

MODEL: Any = object()


def path(version: int) -> Path:
    return Path(str(version))


def folder(*versions: int, live: tuple[int, ...] | None = None, stamp=NEW) -> ModelFolder:
    return ModelFolder({version: (path(version), stamp) for version in versions}, live)


def actions(model_folder: ModelFolder, state: ModelState, settled: set[Path]) -> dict[int, Action]:
    plan = plan_loads(model_folder, state, settled)
    return {candidate.version: candidate.action for candidate in plan.candidates}


def test_newest_version_comes_first() -> None:
    plan = plan_loads(folder(2, 10, 1), ModelState(), {path(1), path(2), path(10)})
    assert [candidate.version for candidate in plan.candidates] == [10, 2, 1]
    assert plan.only_newest
    assert plan.missing == ()


def test_only_pinned_versions_are_candidates_and_missing_ones_are_named() -> None:
    plan = plan_loads(folder(1, 2, 3, live=(1, 2, 7)), ModelState(), {path(1), path(2)})
    assert [candidate.version for candidate in plan.candidates] == [2, 1]
    assert not plan.only_newest
    assert plan.missing == (7,)


@pytest.mark.parametrize(
    ("state", "is_settled", "action"),
    [
        (ModelState(), True, Action.LOAD),
        (ModelState(), False, Action.WAIT),
        (ModelState(live={1: (MODEL, NEW)}), True, Action.KEEP),
        (ModelState(live={1: (MODEL, OLD)}), True, Action.LOAD),
        (ModelState(live={1: (MODEL, OLD)}), False, Action.KEEP),
        (ModelState(rejected={1: (NEW, "bad")}), True, Action.STAY_REJECTED),
        (ModelState(rejected={1: (OLD, "bad")}), True, Action.LOAD),
        (ModelState(rejected={1: (OLD, "bad")}), False, Action.WAIT),
    ],
)
def test_action_follows_from_the_file_and_the_state(state, is_settled, action) -> None:
    assert actions(folder(1), state, {path(1)} if is_settled else set()) == {1: action}


def test_file_is_settled_when_two_listings_agree() -> None:
    files = SettledFiles()
    assert files.update(FolderScan({"a": folder(1, stamp=OLD)})) == {path(1)}  # the first listing
    assert files.update(FolderScan({"a": folder(1, 2, stamp=NEW)})) == set()
    assert files.update(FolderScan({"a": folder(1, 2, stamp=NEW)})) == {path(1), path(2)}
