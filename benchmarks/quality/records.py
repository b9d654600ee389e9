"""The stored results: one small file per method and split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.quality.methods import Method, Predictions
from benchmarks.quality.scores import score
from benchmarks.quality.splits import Split


@dataclass(frozen=True)
class Record:
    """The result of one method on one split.

    Attributes:
        label: label of the method.
        table: name of the table.
        seed: seed of the split and of the method.
        identity: identity of the method; see `Method`.
        split: digest of the split.
        rows: number of training rows.
        error: error message; the figures are None if there is one.
        accuracy: share of correct predictions.
        log_loss: mean negative log-likelihood in nats.
        calibration_error: expected calibration error in 15 bins.
        seconds: wall seconds of the whole process, imports included.
        cpu_seconds: CPU seconds of the process, which other load on the machine affects least.
        fit_seconds: seconds of preprocessing and fitting; None if unknown.
        save_seconds: seconds of writing the model file; None if unknown.
        peak_bytes: peak memory of the process.
        facts: versions and the like.
    """

    label: str
    table: str
    seed: int
    identity: str
    split: str
    rows: int
    error: str | None = None
    accuracy: float | None = None
    log_loss: float | None = None
    calibration_error: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    fit_seconds: float | None = None
    save_seconds: float | None = None
    peak_bytes: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, method: Method, split: Split, predictions: Predictions) -> Record:
        """Return the record of a method's predictions.

        Raises:
            UnscorableError: the probabilities are not valid.
        """
        return cls(
            **_key(method, split),
            **asdict(score(split.labels, predictions.classes, predictions.probabilities)),
            seconds=predictions.finished.seconds,
            cpu_seconds=predictions.finished.cpu_seconds,
            fit_seconds=predictions.fit_seconds,
            save_seconds=predictions.save_seconds,
            peak_bytes=predictions.finished.peak_bytes,
            facts=dict(predictions.facts),
        )

    @classmethod
    def failed(cls, method: Method, split: Split, error: Exception) -> Record:
        """Return the record of a failure."""
        return cls(**_key(method, split), error=str(error))


def _key(method: Method, split: Split) -> dict[str, Any]:
    return {
        "label": method.label,
        "table": split.table,
        "seed": split.seed,
        "identity": method.identity,
        "split": split.digest,
        "rows": split.train_rows,
    }


class Records:
    """The records in a folder.

    Args:
        folder: the folder, which is created with the first record.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, method: Method, split: Split) -> Record | None:
        """Return the record of a method on a split; None if it is missing, outdated or failed."""
        path = self._path(method.label, split.table, split.seed)
        if not path.is_file():
            return None
        record = _read(path)
        current = (record.identity, record.split) == (method.identity, split.digest)
        return record if current and record.error is None else None

    def save(self, record: Record) -> None:
        """Write a record, and replace the one of the same method and split."""
        path = self._path(record.label, record.table, record.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")
        part.replace(path)

    def __iter__(self) -> Iterator[Record]:
        return map(_read, sorted(self._folder.rglob("*.json")))

    def _path(self, label: str, table: str, seed: int) -> Path:
        # The digest distinguishes labels that have the same slug.
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", label)[:80]
        digest = hashlib.sha256(label.encode()).hexdigest()[:6]
        return self._folder / f"{slug}-{digest}" / f"{table}-{seed}.json"


def _read(path: Path) -> Record:
    return Record(**json.loads(path.read_text("utf-8")))
