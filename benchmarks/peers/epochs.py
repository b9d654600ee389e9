"""What every program that times epochs is given, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST = 1e-7


@dataclass(frozen=True)
class Job:
    """Rows, first weights and settings that all programs have in common.

    Attributes:
        x: float32 (rows, inputs).
        y: class indices, int64 (rows,).
        weights: first kernels, float32 (inputs, units), and biases, zeros, in turn.
        batch_size: rows in a step.
        learning_rate: of Adam.
        epochs: that are timed, after one that is not.
        answer: the file to write.
    """

    x: np.ndarray
    y: np.ndarray
    weights: list[np.ndarray]
    batch_size: int
    learning_rate: float
    epochs: int
    answer: Path

    @classmethod
    def read(cls, path: str) -> Job:
        """The job in a file."""
        told: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
        with np.load(told["weights"]) as stored:
            weights = [stored[name] for name in sorted(stored.files)]
        return cls(
            np.load(told["x"]),
            np.load(told["y"]),
            weights,
            told["batch_size"],
            told["learning_rate"],
            told["epochs"],
            Path(told["answer"]),
        )

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The first kernel and bias of each layer."""
        return list(zip(self.weights[::2], self.weights[1::2], strict=True))

    def finish(self, seconds: list[float], probabilities: np.ndarray, version: str) -> None:
        """Write seconds of each epoch, and the loss over all rows after the last one.

        Args:
            seconds: of each timed epoch.
            probabilities: (rows, classes).
            version: of the library.
        """
        right = probabilities[np.arange(len(self.y)), self.y].astype(np.float64)
        loss = float(-np.log(np.clip(right, SMALLEST, 1)).mean())
        facts = {"seconds": seconds, "loss": loss, "version": version}
        self.answer.write_text(json.dumps(facts), "utf-8")
