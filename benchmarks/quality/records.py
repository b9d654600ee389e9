"""What each method came to on each split, a small file each, so that a stopped call goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.quality.methods import Answer, Method
from benchmarks.quality.scores import score
from benchmarks.quality.splits import Split


@dataclass(frozen=True)
class Record:
    """One method on one split.

    Attributes:
        label: the method.
        table: the table.
        seed: of the split and of the method.
        identity: of the method, see there.
        split: the digest of the split.
        rows: rows learned from.
        error: why there is no answer; the figures are None then.
        accuracy: see ``benchmarks.quality.scores``, as the next two.
        log_loss: in nats.
        calibration_error: with 15 bins.
        seconds: of the whole process, imports included.
        cpu_seconds: of all cores in that time; the measure that a busy machine spoils least.
        fit_seconds: of preprocessing and fitting alone, where the method tells.
        save_seconds: of writing the model to a file, where the method tells.
        peak_bytes: largest memory of the process.
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
    def of(cls, method: Method, split: Split, answer: Answer) -> Record:
        """The record of an answer.

        Raises:
            AnswerRefused: it can't be scored.
        """
        return cls(
            **_key(method, split),
            **asdict(score(split.labels, answer.classes, answer.probabilities)),
            seconds=answer.finished.seconds,
            cpu_seconds=answer.finished.cpu_seconds,
            fit_seconds=answer.fit_seconds,
            save_seconds=answer.save_seconds,
            peak_bytes=answer.finished.peak_bytes,
            facts=dict(answer.facts),
        )

    @classmethod
    def failed(cls, method: Method, split: Split, error: Exception) -> Record:
        """The record of a method that gave no answer."""
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
        folder: is made when the first one is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, method: Method, split: Split) -> Record | None:
        """The answer of this very method to this very split; a failure is not kept against it."""
        path = self._path(method.label, split.table, split.seed)
        if not path.is_file():
            return None
        record = _read(path)
        same = (record.identity, record.split) == (method.identity, split.digest)
        return record if same and record.error is None else None

    def keep(self, record: Record) -> None:
        """Write a record over the one that was there."""
        path = self._path(record.label, record.table, record.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")
        aside.replace(path)

    def __iter__(self) -> Iterator[Record]:
        return map(_read, sorted(self._folder.rglob("*.json")))

    def _path(self, label: str, table: str, seed: int) -> Path:
        # Flags may hold anything; a short digest keeps two labels that look alike apart.
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", label)[:80]
        digest = hashlib.sha256(label.encode()).hexdigest()[:6]
        return self._folder / f"{slug}-{digest}" / f"{table}-{seed}.json"


def _read(path: Path) -> Record:
    return Record(**json.loads(path.read_text("utf-8")))
