"""The objects of a kustomization, and the names of all kustomizations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

OVERLAYS = ("development", "volume", "bucket")

COMPONENTS = (
    "models-volume",
    "models-bucket",
    "trainer",
    "monitored",
    "scaled-by-requests",
    "traced",
)


class Manifests:
    """The objects that one kustomization builds.

    Args:
        objects: in the order of kubectl's output.
    """

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def of(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> Object:
        """Return the only object of a kind."""
        (found,) = self.of(kind)
        return found

    @property
    def pods(self) -> Iterator[Object]:
        """The pod templates: ``metadata`` and ``spec``."""
        for each in self.of("Deployment"):
            yield each["spec"]["template"]
        for each in self.of("CronJob"):
            yield each["spec"]["jobTemplate"]["spec"]["template"]

    @property
    def containers(self) -> Iterator[Object]:
        """The containers of all pods, with init containers first."""
        for pod in self.pods:
            yield from pod["spec"].get("initContainers", [])
            yield from pod["spec"]["containers"]
