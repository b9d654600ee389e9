"""The job of the programs that time epochs, and its result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST_PROBABILITY = 1e-7
"""Lower bound of a probability in the loss."""


@dataclass(frozen=True)
class Job:
    """Training rows, initial weights and hyperparameters, the same for all libraries.

    Attributes:
        x: inputs, float32 (rows, inputs).
        y: class indices, int64 (rows,).
        weights: initial kernels, float32 (inputs, units), each followed by its bias, zeros.
        batch_size: rows per step.
        learning_rate: learning rate of Adam.
        epochs: number of timed epochs, after one epoch of warm-up.
        result: file of the result.
    """

    x: np.ndarray
    y: np.ndarray
    weights: list[np.ndarray]
    batch_size: int
    learning_rate: float
    epochs: int
    result: Path

    @classmethod
    def read(cls, path: str) -> Job:
        """Return the job in a file."""
        job: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
        with np.load(job["weights"]) as stored:
            weights = [stored[name] for name in sorted(stored.files)]
        return cls(
            np.load(job["x"]),
            np.load(job["y"]),
            weights,
            job["batch_size"],
            job["learning_rate"],
            job["epochs"],
            Path(job["result"]),
        )

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the initial kernel and bias of each layer."""
        return list(zip(self.weights[::2], self.weights[1::2], strict=True))

    def finish(self, seconds: list[float], probabilities: np.ndarray, version: str) -> None:
        """Write the seconds per epoch, and the mean cross-entropy in nats after the last epoch.

        Args:
            seconds: seconds of each timed epoch.
            probabilities: predicted probabilities, (rows, classes).
            version: version of the library.
        """
        true_class = probabilities[np.arange(len(self.y)), self.y].astype(np.float64)
        loss = float(-np.log(np.clip(true_class, SMALLEST_PROBABILITY, 1)).mean())
        result = {"seconds": seconds, "loss": loss, "version": version}
        self.result.write_text(json.dumps(result), "utf-8")
