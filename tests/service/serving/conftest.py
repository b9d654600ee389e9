"""Live models on a temporary folder, with their own counters and a record of every load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.repository import Repository
from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.serving.metrics import Metrics, MetricsCollector
from pigeonhole.service.serving.shared_state import SharedState

Figures = dict[tuple[str, ...], float]
"""Samples by name and label values, the labels in the order below."""

LABELS = ("route", "model", "version", "code", "label", "feature", "outcome", "le")


@pytest.fixture
def counters() -> SharedState:
    """A map of two slots, both taken."""
    counters = SharedState(slots=2)
    counters.take(0)
    counters.take(1)
    return counters


def scraped(counters: SharedState) -> Figures:
    """Everything that a scrape tells."""
    registry = CollectorRegistry()
    registry.register(MetricsCollector(counters, "1.2.3"))
    text = generate_latest(registry).decode("utf-8")
    return {
        (sample.name, *(sample.labels[n] for n in LABELS if n in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass
class Serving:
    """Live models with what stands around them.

    Attributes:
        folder: the model folder.
        live: its live models; nothing is loaded before ``refresh``.
        counters: where they are counted.
        loads: (name, version) of every load tried, in order.
    """

    folder: Path
    default: str | None = None
    counters: SharedState = field(default_factory=lambda: SharedState(slots=1))
    loads: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.counters.take(0)
        metrics = Metrics(self.counters.worker(0))
        self.live = LiveModels(Repository(self.folder), self._load, metrics, self.default)

    def _load(self, path: Path, name: str, version: int) -> Model:
        self.loads.append((name, version))
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    def look(self, times: int = 1) -> None:
        """Refresh; twice is what a new file needs to count as settled."""
        for _ in range(times):
            self.live.refresh()

    def versions(self, name: str = "bodymass") -> list[int]:
        """The live versions of a model."""
        return sorted(self.live.states[name].live)

    def figure(self, *sample: str) -> float | None:
        """One figure of a scrape."""
        return scraped(self.counters).get(sample)


@pytest.fixture
def scrape() -> Callable[[SharedState], Figures]:
    """Reads every figure of the counters as a scrape would."""
    return scraped


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Serving]:
    """Makes live models on an empty folder; ``default`` names the default model."""
    return lambda default=None: Serving(tmp_path / "models", default)


@pytest.fixture
def serving(serve) -> Serving:
    """Live models on an empty folder."""
    return serve()
