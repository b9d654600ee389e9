"""The models that answer now, and the step that brings them in line with the model folder.

A new version is loaded and checked aside and takes the old one's place by one assignment; the old
one is dropped when the last request that holds it ends. A version that is refused leaves the old one
serving.

A model that an operator has unloaded is as unknown as one whose folder is gone, until it is loaded
again. Commands hold for all workers: see ``commands``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ..errors import (
    LoadFailed,
    ModelNotReady,
    ModelRejected,
    NoDefaultModel,
    PigeonholeError,
    UnknownModel,
    UnknownVersion,
    WorkersBehind,
)
from ..model.artifact import Model
from ..model.repository import Listing, ModelFolder, Repository, Stamp
from .metrics import Metrics
from .model_commands import Commands

log = logging.getLogger(__name__)

FOLLOW_S = 10.0
"""How long the worker that was asked waits for the others to follow a command: they look for one
several times a second, but a large model takes its time."""

NO_FOLDER = "no such model in the folder"

Load = Callable[[Path, str, int], Model]
"""Loads (path, name, version), or raises ModelRejected."""


@dataclass(frozen=True)
class ModelState:
    """What is known of one model now.

    Attributes:
        live: the versions that answer, each with the stamp of the file it came from.
        rejected: the versions refused, each with its file's stamp and the reason.
        problem: what else is wrong with its folder.
        missing: versions asked for by ``serving.toml`` that are not on disk.
    """

    live: Mapping[int, tuple[Model, Stamp]] = field(default_factory=dict)
    rejected: Mapping[int, tuple[Stamp, str]] = field(default_factory=dict)
    problem: str | None = None
    missing: tuple[int, ...] = ()

    @cached_property
    def newest(self) -> Model | None:
        """The live model with the highest version: the one meant where none is named."""
        return self.live[max(self.live)][0] if self.live else None

    def live_number(self, version: str) -> int | None:
        """The live version that a caller's text means, spelled just so; None where it is none."""
        return next((number for number in self.live if str(number) == version), None)

    def problems(self) -> list[str]:
        """Everything an operator should know, in sentences."""
        said = [f"version {v} is refused: {reason}" for v, (_, reason) in self.rejected.items()]
        said += [f"version {v} is to be live but is not there" for v in self.missing]
        return said + ([self.problem] if self.problem else [])


class LiveModels:
    """The models loaded in this worker.

    Reading is free of locks; only ``refresh`` writes, and one refresh runs at a time.

    Args:
        repository: where the models lie.
        load: how a model file is loaded.
        metrics: told of every change.
        default: the model meant by requests that name none; None for the only one there is.
        follow_s: how long the worker that was asked waits for the others to follow a command.
    """

    def __init__(
        self,
        repository: Repository,
        load: Load,
        metrics: Metrics,
        default: str | None = None,
        *,
        follow_s: float = FOLLOW_S,
    ) -> None:
        self._repository, self._load = repository, load
        self._metrics, self._default = metrics, default
        self._models: Mapping[str, ModelState] = {}
        self._folder_problem: str | None = "the model folder has not been read yet"
        self._ignored: Mapping[str, str] = {}
        self._told: list[str] = []
        self._seen: dict[Path, Stamp] = {}
        self._first = True
        self._expected: set[str] = set()
        self._refreshing = threading.Lock()
        self._commands, self._follow_s = Commands(metrics.counters), follow_s
        self._followed = 0
        self._unloaded: frozenset[str] = frozenset()
        self._on_disk: Mapping[str, tuple[int, ...]] = {}

    @property
    def states(self) -> Mapping[str, ModelState]:
        """Each known model's state, by name."""
        return self._models

    def state(self, name: str) -> ModelState:
        """The state of one model.

        Raises:
            UnknownModel: when there is none of that name.
        """
        states = self._models  # read once: it is replaced whenever a model comes or goes
        if name not in states:
            raise UnknownModel(name, sorted(states))
        return states[name]

    @property
    def unloaded(self) -> Mapping[str, tuple[int, ...]]:
        """The models that were unloaded by command, with the versions that lie in the folder."""
        return {name: self._on_disk.get(name, ()) for name in sorted(self._unloaded)}

    def find(self, name: str | None = None, version: str | None = None) -> Model:
        """The live model that a request means.

        Args:
            name: None for the default model.
            version: None for the newest live version.

        Raises:
            NoDefaultModel, UnknownModel, UnknownVersion, ModelNotReady: as they say.
        """
        models = self._models
        if name is None:
            name = self._default or (next(iter(models)) if len(models) == 1 else None)
            if name is None:
                raise NoDefaultModel(sorted(models))
        state = self.state(name)
        if version is not None:
            if (number := state.live_number(version)) is not None:
                return state.live[number][0]
            if not state.live:
                raise ModelNotReady(name)
            raise UnknownVersion(name, version, sorted(state.live))
        if (newest := state.newest) is None:
            raise ModelNotReady(name)
        return newest

    def default_model(self) -> Model | None:
        """The live model that a request without a name means, or None."""
        try:
            return self.find()
        except PigeonholeError:
            return None

    @property
    def _known(self) -> set[str]:
        """The models that are there, unloaded ones too."""
        return {*self._models, *self._unloaded}

    @property
    def is_ready(self) -> bool:
        """Whether every model that was there at the start, or was ever live, has a live version.

        One that was unloaded is not missed. One that appears later and turns out bad is reported
        but takes nothing away: a bad publication of one model must not stop the traffic of nineteen
        others.
        """
        expected = {name: s for name, s in self._models.items() if name in self._expected}
        asked_for = {*expected, *self._unloaded}
        if self._default is not None and self._default not in asked_for:
            return False
        return bool(asked_for) and all(state.live for state in expected.values())

    def problems(self) -> dict[str, list[str]]:
        """What is wrong, by model; the folder's own problems stand under the empty name.

        A ready service may have some: a refused version while an older one serves.
        """
        found = {name: said for name, state in self._models.items() if (said := state.problems())}
        return found | ({"": folder} if (folder := self._folder_problems()) else {})

    def _folder_problems(self) -> list[str]:
        said = [f"folder '{name}' is passed over: {why}" for name, why in self._ignored.items()]
        if self._folder_problem:
            said.append(self._folder_problem)
        elif not self._known:
            said.append(f"no {self._repository.expected}")
        if self._models and self._default is not None and self._default not in self._known:
            said.append(f"the default model '{self._default}' is not there")
        return said

    def is_behind(self) -> bool:
        """Whether there is a command that this worker has not followed. Quick."""
        return self._commands.newest() > self._followed

    def load(self, name: str) -> None:
        """Have a model live in every worker: what lies in its folder now is loaded, if need be.

        A file that was refused is tried again. Where one is refused nothing changes anywhere.

        Raises:
            LoadFailed: when it is not there, or a version that should be live is refused.
            WorkersBehind: when it is not live in every worker ``follow_s`` after it is in this one,
                or this one was busy with another for so long.
        """
        if not self._refreshing.acquire(timeout=self._follow_s):
            raise WorkersBehind(name)
        try:
            stamp = self._loaded(name)
            version = max(self._models[name].live)
        finally:
            self._refreshing.release()
        self._wait(name, stamp)
        if not self._metrics.is_live_everywhere(name, version):
            raise WorkersBehind(name)

    def _loaded(self, name: str) -> int | None:
        """Load a model here and, if that went well, command the others to; the command's stamp."""
        unloaded = self._unloaded
        self._unloaded = unloaded - {name}
        try:
            self._look({name})
        except BaseException:
            self._unload(unloaded)
            raise
        said = [NO_FOLDER] if name not in self._models else self._models[name].problems()
        if self._folder_problem:
            said = [self._folder_problem]
        if said:
            self._unload(unloaded)
            raise LoadFailed(name, "; ".join(said))
        return self._commands.give(name, load=True)

    def unload(self, name: str) -> None:
        """Have a model live in no worker, until it is loaded again or the service starts anew.

        Raises:
            UnknownModel: when there is none of that name.
            WorkersBehind: when some workers have not followed within ``follow_s``.
        """
        known = self._known
        if name not in known:
            raise UnknownModel(name, sorted(known))
        self._wait(name, self._commands.give(name, load=False))

    def _wait(self, name: str, stamp: int | None) -> None:
        """Wait until every worker has followed a command: this one now, if it isn't about to."""
        if self._refreshing.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._refreshing.release()
        if stamp is None or not self._commands.wait(stamp, self._follow_s):
            raise WorkersBehind(name)

    def refresh(self) -> None:
        """Bring what is live in line with what lies in the folder, and with what was commanded.

        A folder that can't be read, or that lost all its models at once, changes nothing: what
        serves goes on serving.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        """The same, under the lock."""
        loads: set[str] = set()
        newest = self._commands.newest()
        if newest > self._followed:
            commands = self._commands.all()
            self._unload(frozenset(name for name, c in commands.items() if not c.load))
            loads = {n for n, c in commands.items() if c.load and c.stamp > self._followed}
        self._look(loads)
        # Only now: what the others are told has been done.
        self._followed = newest
        self._commands.follow(newest)

    def _look(self, loads: set[str]) -> None:
        """Look at the folder; these models are loaded though they were refused or may not be whole."""
        listing = self._repository.look()
        problem = listing.problem
        if not problem and not listing.models and any(s.live for s in self._models.values()):
            # More likely a volume that was unmounted than a wish to serve nothing.
            problem = f"model folder {self._repository.folder} is empty; what was live goes on"
        self._folder_problem = problem
        if not problem:
            self._ignored = listing.ignored
            self._on_disk = {n: tuple(sorted(m.versions)) for n, m in listing.models.items()}
            self._follow(listing, loads)
        self._metrics.ready(self.is_ready)
        said = self._folder_problems()
        for reason in said:
            if reason not in self._told:
                log.warning("model folder problem", extra={"reason": reason})
        self._told = said

    def _unload(self, names: frozenset[str]) -> None:
        """Let exactly these models be the ones that nobody gets and nobody misses."""
        self._unloaded = names
        self._expected -= names
        for name in names & set(self._models):
            self._drop(name)

    def _drop(self, name: str) -> None:
        before = self._models[name]
        self._models = {n: state for n, state in self._models.items() if n != name}
        self._tell(name, before, ModelState())

    def _follow(self, listing: Listing, loads: set[str]) -> None:
        settled = self._settled(listing)
        models = {n: folder for n, folder in listing.models.items() if n not in self._unloaded}
        # Known from now on, so that a call for one that is still loading is told to wait.
        self._models = {**dict.fromkeys(models, ModelState()), **self._models}
        for name, folder in models.items():
            before = known = self._models[name]
            if name in loads:
                known = replace(before, rejected={})
                settled |= {path for path, _ in folder.versions.values()}
            after = self._advanced(name, folder, known, settled)
            if after.live:
                self._expect({name})
            if after != before:
                self._models = {**self._models, name: after}
                self._tell(name, before, after)
        for name in set(self._models) - set(models):
            self._drop(name)

    def _expect(self, names: set[str]) -> None:
        for name in names - self._expected:
            self._metrics.expect_model(name)
        self._expected |= names

    def _settled(self, listing: Listing) -> set[Path]:
        """The files that are as they were a look ago: one still being copied is left alone.

        A version that is renamed into place is whole at once, but people copy folders too. At the
        first look everything counts as settled, for a start should not wait.
        """
        now = {p: stamp for m in listing.models.values() for p, stamp in m.versions.values()}
        settled = {p for p, stamp in now.items() if self._first or self._seen.get(p) == stamp}
        if self._first:
            # A worker that replaces another one must not ask for more than that one did.
            self._expect(self._metrics.expected_models() or set(listing.models))
            self._expected -= self._unloaded
        self._seen, self._first = now, False
        return settled

    def _advanced(
        self, name: str, folder: ModelFolder, before: ModelState, settled: set[Path]
    ) -> ModelState:
        """The state that follows from the folder, with what had to be loaded loaded."""
        live: dict[int, tuple[Model, Stamp]] = {}
        rejected: dict[int, tuple[Stamp, str]] = {}
        if folder.problem:
            # Which versions are wanted can't be told: keep what is there.
            return ModelState(before.live, before.rejected, folder.problem)
        newest_first = sorted(folder.versions, reverse=True)
        wanted = newest_first if folder.live is None else sorted(folder.live, reverse=True)
        for version in wanted:
            if version not in folder.versions:
                continue
            path, stamp = folder.versions[version]
            if (there := before.live.get(version)) and (there[1] == stamp or path not in settled):
                live[version] = there
            elif (known := before.rejected.get(version)) and known[0] == stamp:
                rejected[version] = known
            elif path in settled:  # else it is looked at again in a moment
                self._take_in(name, version, path, stamp, live, rejected)
            if there and version in rejected:
                live[version] = there  # the file was overwritten with a bad one
            if folder.live is None and live:
                break
        missing = tuple(v for v in folder.live or () if v not in folder.versions)
        if not live and before.live:
            # Nothing that is wanted can serve: the old one goes on.
            live = dict(before.live)
        return ModelState(live, rejected, None, missing)

    def _take_in(
        self,
        name: str,
        version: int,
        path: Path,
        stamp: Stamp,
        live: dict[int, tuple[Model, Stamp]],
        rejected: dict[int, tuple[Stamp, str]],
    ) -> None:
        try:
            live[version] = (self._load(path, name, version), stamp)
        except ModelRejected as error:
            rejected[version] = (stamp, error.reason)
        except Exception:
            # Whatever a file makes the libraries do, the service goes on with what it has.
            log.exception("model load failed", extra={"model": name, "version": version})
            rejected[version] = (stamp, "an internal error; the log has it")

    def _tell(self, name: str, before: ModelState, after: ModelState) -> None:
        """Log and count what changed."""
        for version, (model, _) in after.live.items():
            if before.live.get(version, (None, None))[0] is not model:
                self._metrics.model_live(model)
                log.info(
                    "model live",
                    extra={
                        "model": name,
                        "version": version,
                        "sha256": model.digest,
                        "load_seconds": round(model.load_seconds, 4),
                    },
                )
        for version in set(before.live) - set(after.live):
            self._metrics.model_gone(name, version)
            log.info("model retired", extra={"model": name, "version": version})
        for version, (stamp, reason) in after.rejected.items():
            if before.rejected.get(version, (None, None))[0] != stamp:
                self._metrics.model_rejected(name, version)
                log.error(
                    "model refused", extra={"model": name, "version": version, "reason": reason}
                )
        for version in set(before.rejected) - set(after.rejected):
            self._metrics.rejection_over(name, version)
        if after.missing and after.missing != before.missing:
            log.error("versions missing", extra={"model": name, "versions": after.missing})
        if after.problem and after.problem != before.problem:
            log.error("model folder problem", extra={"model": name, "reason": after.problem})
