"""The models that are live in this worker, and how a request finds one.

The `Reconciler` writes here; requests read without locks. A new version takes the old one's place by
one assignment. The old one is freed when the last request that holds it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..errors import (
    ModelNotReady,
    NoDefaultModel,
    PigeonholeError,
    UnknownModel,
    UnknownVersion,
)
from ..model.artifact import Model
from ..model.repository import Stamp


@dataclass(frozen=True)
class ModelState:
    """One model's versions in this worker.

    Attributes:
        live: the versions that answer, each with its file's stamp.
        rejected: the versions that failed to load, each with its file's stamp and the reason.
        problem: any other problem of the model's folder.
        missing: versions that ``serving.toml`` lists but that do not exist.
    """

    live: Mapping[int, tuple[Model, Stamp]] = field(default_factory=dict)
    rejected: Mapping[int, tuple[Stamp, str]] = field(default_factory=dict)
    problem: str | None = None
    missing: tuple[int, ...] = ()

    @cached_property
    def newest(self) -> Model | None:
        """The live model with the highest version, which answers requests without a version."""
        return self.live[max(self.live)][0] if self.live else None

    def live_number(self, version: str) -> int | None:
        """Return the live version with exactly this spelling, or None."""
        return next((number for number in self.live if str(number) == version), None)

    def problems(self) -> list[str]:
        """Return everything an operator should know, in sentences."""
        texts = [f"version {v} was rejected: {reason}" for v, (_, reason) in self.rejected.items()]
        texts += [f"version {v} is listed to be live but does not exist" for v in self.missing]
        return texts + ([self.problem] if self.problem else [])


class LiveModels:
    """The models of this worker by name.

    Args:
        default: the model of requests that name none; None for the only model, if there is one.

    Attributes:
        unloaded: models unloaded by command, with the versions in their folder.
        expected: models that must have a live version before the worker is ready.
        folder_reports: problems of the model folder itself, in sentences.
    """

    def __init__(self, default: str | None = None) -> None:
        self._default = default
        self._states: Mapping[str, ModelState] = {}
        self.unloaded: Mapping[str, tuple[int, ...]] = {}
        self.expected: frozenset[str] = frozenset()
        self.folder_reports: tuple[str, ...] = ("the model folder has not been read yet",)

    @property
    def states(self) -> Mapping[str, ModelState]:
        """The state of each known model by name; empty while a model is loading."""
        return self._states

    def add_loading(self, names: Iterable[str]) -> None:
        """Make models known; requests for a model that is still loading are asked to wait."""
        self._states = {**dict.fromkeys(names, ModelState()), **self._states}

    def set_state(self, name: str, state: ModelState) -> None:
        """Replace or add one model's state."""
        self._states = {**self._states, name: state}

    def remove(self, name: str) -> None:
        """Forget one model."""
        self._states = {n: state for n, state in self._states.items() if n != name}

    def state(self, name: str) -> ModelState:
        """Return the state of one model.

        Raises:
            UnknownModel: no model has that name.
        """
        states = self._states  # read once: it is replaced whenever a model changes
        if name not in states:
            raise UnknownModel(name, sorted(states))
        return states[name]

    def find(self, name: str | None = None, version: str | None = None) -> Model:
        """Return the live model for a request.

        Args:
            name: None for the default model.
            version: None for the newest live version.

        Raises:
            NoDefaultModel: no name, and no default model.
            UnknownModel: no model has that name.
            UnknownVersion: the model has other live versions only.
            ModelNotReady: the model has no live version.
        """
        states = self._states
        if name is None:
            name = self._default or (next(iter(states)) if len(states) == 1 else None)
            if name is None:
                raise NoDefaultModel(sorted(states))
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
        """Return the live model for a request without a name, or None."""
        try:
            return self.find()
        except PigeonholeError:
            return None

    def known(self) -> set[str]:
        """Return the names of all models, including unloaded ones."""
        return {*self._states, *self.unloaded}

    @property
    def is_ready(self) -> bool:
        """Whether every expected model has a live version, and the default model exists.

        An unloaded model is not needed. A bad model that is published later is reported but does not
        change readiness: it must not stop the traffic of the other models.
        """
        needed = {name: state for name, state in self._states.items() if name in self.expected}
        names = {*needed, *self.unloaded}
        if self._default is not None and self._default not in names:
            return False
        return bool(names) and all(state.live for state in needed.values())

    def problems(self) -> dict[str, list[str]]:
        """Return all problems by model; problems of the folder are under the empty name.

        A ready service may have some, such as a rejected version while an older one serves.
        """
        by_model = {name: texts for name, s in self._states.items() if (texts := s.problems())}
        return by_model | ({"": folder} if (folder := self.folder_problems()) else {})

    def folder_problems(self) -> list[str]:
        """Return the problems of the model folder, in sentences."""
        texts = list(self.folder_reports)
        if self._states and self._default is not None and self._default not in self.known():
            texts.append(f"the default model '{self._default}' does not exist")
        return texts
