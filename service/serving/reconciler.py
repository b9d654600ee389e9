"""Bring the live models in line with the model folder and with operators' commands.

A new version is loaded and checked before it takes the old one's place. A version that is rejected
leaves the old one serving. A model that an operator has unloaded is unknown to clients until it is
loaded again; commands hold for all workers (see ``model_commands``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import LoadFailed, ModelRejected, UnknownModel, WorkersBehind
from ..model.artifact import Model
from ..model.repository import FolderScan, ModelFolder, Repository, Stamp
from .expected_models import ExpectedModels
from .live_models import LiveModels, ModelState
from .load_plan import Action, Candidate, LoadPlan, SettledFiles, plan_loads
from .metrics import Metrics
from .model_commands import CommandBus
from .shared_state import WorkerSlot

log = logging.getLogger(__name__)

FOLLOW_S = 10.0
"""Seconds that a command waits for the other workers. They look for commands several times a second,
but a large model takes long to load."""

NO_FOLDER = "no such model in the folder"

Load = Callable[[Path, str, int], Model]
"""Loads (path, name, version), or raises ModelRejected."""


class Reconciler:
    """Loads and retires the models of one worker. One refresh runs at a time.

    Args:
        live: the live models, which only this class changes.
        repository: the model folder.
        load: loads a model file.
        slot: this worker's slot in the shared map.
        metrics: counts every change.
        follow_s: seconds that a command waits for the other workers.
    """

    def __init__(
        self,
        live: LiveModels,
        repository: Repository,
        load: Load,
        slot: WorkerSlot,
        metrics: Metrics,
        *,
        follow_s: float = FOLLOW_S,
    ) -> None:
        self._live, self._repository, self._load_file = live, repository, load
        self._metrics, self._follow_s = metrics, follow_s
        self._commands, self._expected = CommandBus(slot), ExpectedModels(slot)
        self._refreshing = threading.Lock()
        self._settled = SettledFiles()
        self._is_first_listing = True
        self._newest_followed = 0
        self._ignored_folders: list[str] = []
        self._versions_on_disk: dict[str, tuple[int, ...]] = {}
        self._logged_problems: list[str] = []

    def is_behind(self) -> bool:
        """Return whether this worker has yet to follow a command. Quick."""
        return self._commands.newest() > self._newest_followed

    def load(self, name: str) -> None:
        """Load a model from its folder in every worker, unless its file is live already.

        A rejected file is tried again. If a version is rejected, no worker changes anything.

        Raises:
            LoadFailed: the model does not exist, or a version that should be live is rejected.
            WorkersBehind: not every worker served the model ``follow_s`` seconds after this one, or
                this worker was busy for so long.
        """
        if not self._refreshing.acquire(timeout=self._follow_s):
            raise WorkersBehind(name)
        try:
            stamp = self._load_here(name)
            version = max(self._live.states[name].live)
        finally:
            self._refreshing.release()
        self._wait(name, stamp)
        if not self._metrics.is_live_everywhere(name, version):
            raise WorkersBehind(name)

    def _load_here(self, name: str) -> int | None:
        """Load a model in this worker, then command the others; return the command's stamp."""
        unloaded = set(self._live.unloaded)
        self._set_unloaded(unloaded - {name})
        try:
            problem = self._refresh_folder({name})
        except BaseException:
            self._unload(unloaded)
            raise
        state = self._live.states.get(name)
        problems = [NO_FOLDER] if state is None else state.problems()
        if problem:
            problems = [problem]
        if problems:
            self._unload(unloaded)
            raise LoadFailed(name, "; ".join(problems))
        return self._commands.give(name, load=True)

    def unload(self, name: str) -> None:
        """Unload a model in every worker, until it is loaded again or the service restarts.

        Raises:
            UnknownModel: no model has that name.
            WorkersBehind: not every worker has followed within ``follow_s`` seconds.
        """
        known = self._live.known()
        if name not in known:
            raise UnknownModel(name, sorted(known))
        self._wait(name, self._commands.give(name, load=False))

    def _wait(self, name: str, stamp: int | None) -> None:
        """Follow a command here, unless a refresh is running, and wait for the other workers."""
        if self._refreshing.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._refreshing.release()
        if stamp is None or not self._commands.wait(stamp, self._follow_s):
            raise WorkersBehind(name)

    def refresh(self) -> None:
        """Bring the live models in line with the folder and with the commands.

        A folder that can't be read, or that lost all its models at once, changes nothing.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        """As `refresh`; under the lock."""
        retried: set[str] = set()
        newest = self._commands.newest()
        if newest > self._newest_followed:
            commands = self._commands.all()
            self._unload({name for name, command in commands.items() if not command.load})
            retried = {
                name
                for name, command in commands.items()
                if command.load and command.stamp > self._newest_followed
            }
        self._refresh_folder(retried)
        # Only now: the report tells the other workers that the commands are done.
        self._newest_followed = newest
        self._commands.report_followed(newest)

    def _refresh_folder(self, retried: set[str]) -> str | None:
        """Bring the live models in line with the folder; return the problem that prevents it.

        Args:
            retried: models to load although their file was rejected or may be incomplete.
        """
        listing = self._repository.scan()
        problem = listing.problem
        if not problem and not listing.models and any(s.live for s in self._live.states.values()):
            # More likely an unmounted volume than the wish to serve nothing.
            problem = f"model folder {self._repository.folder} is empty; the live models stay live"
        self._report_folder(listing, problem)
        if not problem:
            self._follow_listing(listing, retried)
        self._metrics.ready(self._live.is_ready)
        problems = self._live.folder_problems()
        for text in problems:
            if text not in self._logged_problems:
                log.warning("model folder problem", extra={"reason": text})
        self._logged_problems = problems
        return problem

    def _report_folder(self, listing: FolderScan, problem: str | None) -> None:
        """Publish the problems of the folder itself, and the versions of unloaded models."""
        if problem:
            self._live.folder_reports = (*self._ignored_folders, problem)
            return
        self._ignored_folders = [
            f"folder '{name}' is ignored: {reason}" for name, reason in listing.ignored.items()
        ]
        self._versions_on_disk = {n: tuple(sorted(m.versions)) for n, m in listing.models.items()}
        self._set_unloaded(set(self._live.unloaded))
        is_empty = not listing.models and not self._live.unloaded
        missing = [f"no model found, expected {self._repository.expected}"] if is_empty else []
        self._live.folder_reports = (*self._ignored_folders, *missing)

    def _set_unloaded(self, names: set[str]) -> None:
        self._live.unloaded = {name: self._versions_on_disk.get(name, ()) for name in sorted(names)}

    def _unload(self, names: set[str]) -> None:
        """Unload exactly these models: clients can't find them and readiness does not need them."""
        self._set_unloaded(names)
        self._live.expected -= names
        for name in names & set(self._live.states):
            self._drop(name)

    def _drop(self, name: str) -> None:
        before = self._live.states[name]
        self._live.remove(name)
        self._record_changes(name, before, ModelState())

    def _follow_listing(self, listing: FolderScan, retried: set[str]) -> None:
        settled = self._settled.update(listing)
        if self._is_first_listing:
            self._expect(self._expected.names() or set(listing.models))
            self._live.expected -= set(self._live.unloaded)
            self._is_first_listing = False
        models = {n: folder for n, folder in listing.models.items() if n not in self._live.unloaded}
        self._live.add_loading(models)
        for name, folder in models.items():
            before = known = self._live.states[name]
            if name in retried:
                known = replace(before, rejected={})
                settled |= {path for path, _ in folder.versions.values()}
            after = self._next_state(name, folder, known, settled)
            if after.live:
                self._expect({name})
            if after != before:
                self._live.set_state(name, after)
                self._record_changes(name, before, after)
        for name in set(self._live.states) - set(models):
            self._drop(name)

    def _expect(self, names: set[str]) -> None:
        for name in names - self._live.expected:
            self._expected.add(name)
        self._live.expected |= names

    def _next_state(
        self, name: str, folder: ModelFolder, before: ModelState, settled: set[Path]
    ) -> ModelState:
        """Return a model's new state, after loading the files that its plan asks for."""
        if folder.problem:
            # The wanted versions are unknown, so nothing changes.
            return ModelState(before.live, before.rejected, folder.problem)
        after = self._carry_out(name, plan_loads(folder, before, settled), before)
        if not after.live and before.live:
            return replace(after, live=dict(before.live))  # better an old version than none
        return after

    def _carry_out(self, name: str, plan: LoadPlan, before: ModelState) -> ModelState:
        """Load what a plan asks for; return the resulting state."""
        live: dict[int, tuple[Model, Stamp]] = {}
        rejected: dict[int, tuple[Stamp, str]] = {}
        for candidate in plan.candidates:
            version = candidate.version
            if candidate.action is Action.KEEP:
                live[version] = before.live[version]
            elif candidate.action is Action.STAY_REJECTED:
                rejected[version] = before.rejected[version]
            elif candidate.action is Action.LOAD:
                loaded = self._try_load(name, candidate)
                if isinstance(loaded, Model):
                    live[version] = (loaded, candidate.stamp)
                else:
                    rejected[version] = (candidate.stamp, loaded)
            if version in rejected and version in before.live:
                live[version] = before.live[version]  # a bad file has overwritten the good one
            if plan.only_newest and live:
                break
        return ModelState(live, rejected, None, plan.missing)

    def _try_load(self, name: str, candidate: Candidate) -> Model | str:
        """Load a file; return the model, or why it was rejected."""
        try:
            return self._load_file(candidate.path, name, candidate.version)
        except ModelRejected as error:
            return error.reason
        except Exception:
            # A file may make a library fail in any way; the service must keep its other models.
            version = candidate.version
            log.exception("model load failed", extra={"model": name, "version": version})
            return "internal error; see the log"

    def _record_changes(self, name: str, before: ModelState, after: ModelState) -> None:
        """Log and count the differences of two states."""
        for version, (model, _) in after.live.items():
            if before.live.get(version, (None, None))[0] is not model:
                self._metrics.model_live(model)
                facts = {"sha256": model.digest, "load_seconds": round(model.load_seconds, 4)}
                log.info("model live", extra={"model": name, "version": version, **facts})
        for version in set(before.live) - set(after.live):
            self._metrics.model_retired(name, version)
            log.info("model retired", extra={"model": name, "version": version})
        for version, (stamp, reason) in after.rejected.items():
            if before.rejected.get(version, (None, None))[0] != stamp:
                self._metrics.model_rejected(name, version)
                facts = {"model": name, "version": version, "reason": reason}
                log.error("model rejected", extra=facts)
        for version in set(before.rejected) - set(after.rejected):
            self._metrics.rejection_cleared(name, version)
        if after.missing and after.missing != before.missing:
            log.error("versions missing", extra={"model": name, "versions": after.missing})
        if after.problem and after.problem != before.problem:
            log.error("model folder problem", extra={"model": name, "reason": after.problem})
