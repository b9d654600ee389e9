"""Which versions of a model should be live: decided from its folder, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..model.repository import FolderScan, ModelFolder, Stamp
from .live_models import ModelState


class Action(Enum):
    """What to do about one version."""

    KEEP = "keep"
    """It is live and its file is unchanged, or is being changed now."""

    LOAD = "load"
    """Its file is new or has changed."""

    STAY_REJECTED = "stay rejected"
    """Its file was rejected before and has not changed."""

    WAIT = "wait"
    """Its file may still be being copied."""


@dataclass(frozen=True)
class Candidate:
    """A version that should be live.

    Attributes:
        version: its number.
        path: its file.
        stamp: the file's stamp.
        action: what to do about it.
    """

    version: int
    path: Path
    stamp: Stamp
    action: Action


@dataclass(frozen=True)
class LoadPlan:
    """What to do about one model's versions.

    Attributes:
        candidates: the versions that should be live, newest first.
        only_newest: whether to stop at the first candidate that is live.
        missing: versions that ``serving.toml`` lists but that do not exist.
    """

    candidates: tuple[Candidate, ...]
    only_newest: bool
    missing: tuple[int, ...]


def plan_loads(folder: ModelFolder, state: ModelState, settled: set[Path]) -> LoadPlan:
    """Return what to do about a model's versions.

    Args:
        folder: the model's folder.
        state: the model's state so far.
        settled: files that are not being copied.
    """
    wanted = folder.versions if folder.live is None else folder.live
    candidates = []
    for version in sorted(set(wanted) & set(folder.versions), reverse=True):
        path, stamp = folder.versions[version]
        action = _action(version, stamp, state, is_settled=path in settled)
        candidates.append(Candidate(version, path, stamp, action))
    missing = tuple(v for v in folder.live or () if v not in folder.versions)
    return LoadPlan(tuple(candidates), folder.live is None, missing)


def _action(version: int, stamp: Stamp, state: ModelState, *, is_settled: bool) -> Action:
    live, rejected = state.live.get(version), state.rejected.get(version)
    if live and (live[1] == stamp or not is_settled):
        return Action.KEEP
    if rejected and rejected[0] == stamp:
        return Action.STAY_REJECTED
    return Action.LOAD if is_settled else Action.WAIT


class SettledFiles:
    """Tells which files are complete: those that did not change since the last listing.

    A version that is renamed into place is complete at once, but people also copy folders. In the
    first listing every file counts as settled, so that a start does not wait.
    """

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp] | None = None

    def update(self, listing: FolderScan) -> set[Path]:
        """Return the settled files of a listing, and remember its stamps."""
        now = {p: stamp for m in listing.models.values() for p, stamp in m.versions.values()}
        before, self._stamps = self._stamps, now
        return {p for p, stamp in now.items() if before is None or before.get(p) == stamp}
