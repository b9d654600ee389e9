"""Live models on a temporary folder, with their own shared map and a record of every load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.repository import Repository
from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.metrics_collector import MetricsCollector
from pigeonhole.service.serving.reconciler import Reconciler
from pigeonhole.service.serving.shared_state import SharedState
from tests.service.serving.child_processes import Children

Samples = dict[tuple[str, ...], float]
"""Samples by metric and label values, in the order of `LABELS`."""

LABELS = ("route", "model", "version", "code", "label", "feature", "outcome", "le")


@pytest.fixture
def shared() -> SharedState:
    """A map of two slots, both claimed."""
    shared = SharedState(slots=2)
    shared.claim(0)
    shared.claim(1)
    return shared


def scrape_samples(shared: SharedState) -> Samples:
    """Return every sample of a scrape."""
    registry = CollectorRegistry()
    registry.register(MetricsCollector(shared, "1.2.3"))
    text = generate_latest(registry).decode("utf-8")
    return {
        (sample.name, *(sample.labels[n] for n in LABELS if n in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass
class ServedFolder:
    """The live models of one worker on a model folder.

    Attributes:
        folder: the model folder.
        default: the default model.
        shared: the shared map.
        loads: (name, version) of every attempt to load, in order.
        live: the live models; nothing is loaded before ``refresh``.
        reconciler: loads and retires them.
    """

    folder: Path
    default: str | None = None
    shared: SharedState = field(default_factory=lambda: SharedState(slots=1))
    loads: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.shared.claim(0)
        slot = self.shared.worker(0)
        self.live = LiveModels(self.default)
        repository = Repository(self.folder)
        self.reconciler = Reconciler(self.live, repository, self._load, slot, Metrics(slot))

    def _load(self, path: Path, name: str, version: int) -> Model:
        self.loads.append((name, version))
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    def refresh(self, times: int = 1) -> None:
        """Refresh; a new file needs two refreshes to count as settled."""
        for _ in range(times):
            self.reconciler.refresh()

    def versions(self, name: str = "bodymass") -> list[int]:
        """Return the live versions of a model."""
        return sorted(self.live.states[name].live)

    def sample(self, *sample: str) -> float | None:
        """Return one value of a scrape."""
        return scrape_samples(self.shared).get(sample)


@pytest.fixture
def scrape() -> Callable[[SharedState], Samples]:
    """Return every sample of a scrape."""
    return scrape_samples


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., ServedFolder]:
    """Make live models on an empty folder; ``default`` names the default model."""
    return lambda default=None: ServedFolder(tmp_path / "models", default)


@pytest.fixture
def serving(serve) -> ServedFolder:
    """Live models on an empty folder."""
    return serve()


@pytest.fixture
def children() -> Iterator[Children]:
    """Processes forked from the test."""
    children = Children()
    yield children
    children.kill_all()
