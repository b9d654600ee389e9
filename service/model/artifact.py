"""Load a model file: read it once, open it, and check everything that it says about itself."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelRejected
from ..files import digest_path, read_file
from .acceptance import (
    check_class_names,
    replay_golden_rows,
    rows_are_independent,
    sample_rows,
    warm_up,
)
from .inferred_signature import infer_signature
from .metadata import GoldenRow, read_metadata
from .row_types import RowTypes
from .session import Graph, Session
from .signature import Signature
from .training_range import RangeCheck

DIGEST_BYTES = 4096
"""Size limit of ``model.onnx.sha256``: room for a digest and a file name."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model that passed every check and is ready to answer.

    Attributes:
        name: the name in its path.
        version: the version in its path.
        digest: sha256 of the file, hexadecimal.
        signature: features and classes.
        row_types: the msgspec types generated from the signature.
        range_check: the training range of each feature.
        session: onnxruntime bound to the signature.
        golden_rows: the golden rows, which passed; empty without metadata.
        has_metadata: whether the file has a signature of its own.
        load_seconds: from the start of reading to ready.
        run_seconds: the quickest measured run of one row.
        row_seconds: the measured time that each further row adds to a run.
        rows_are_independent: whether a row gets the same answer beside other rows. Only then may
            the rows of several calls run together.
        per_model: values of `PerModel` holders.
    """

    name: str
    version: int
    digest: str
    signature: Signature
    row_types: RowTypes
    range_check: RangeCheck
    session: Session
    golden_rows: tuple[GoldenRow, ...]
    has_metadata: bool
    load_seconds: float
    run_seconds: float
    row_seconds: float
    rows_are_independent: bool
    per_model: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    def expected_seconds(self, rows: int) -> float:
        """Return about how long a run of so many rows takes on an idle core."""
        return self.run_seconds + self.row_seconds * max(rows - 1, 0)


def load_model(path: Path, *, name: str, version: int, threads: int, max_bytes: int) -> Model:
    """Read, open, check and warm up one model file.

    Args:
        path: the ``model.onnx``. Its digest must match a ``model.onnx.sha256`` beside it, if any.
        name: the name to serve it under.
        version: the version to serve it as.
        threads: threads that one run may use.
        max_bytes: size limit of the file.

    Raises:
        ModelRejected: with the reason, for anything wrong with the file.
    """
    started = time.perf_counter()
    content = _read(path, max_bytes)
    digest = hashlib.sha256(content).hexdigest()
    _check_digest(path, digest)
    graph = Graph(content, threads)
    metadata = read_metadata(graph.metadata)
    if metadata is not None:
        signature, golden_rows, label_output = metadata.signature, metadata.golden_rows, None
    else:
        inferred = infer_signature(graph, content)
        signature, golden_rows, label_output = inferred.signature, (), inferred.label_output
    session = Session(graph, signature)
    replay_golden_rows(session, signature, golden_rows)
    sample = sample_rows(signature, golden_rows)
    run_time = warm_up(session, sample)
    if label_output is not None:
        check_class_names(session, signature, label_output)
    independent = rows_are_independent(session, sample)
    return Model(
        name=name,
        version=version,
        digest=digest,
        signature=signature,
        row_types=RowTypes(signature),
        range_check=RangeCheck(signature),
        session=session,
        golden_rows=golden_rows,
        has_metadata=metadata is not None,
        load_seconds=time.perf_counter() - started,
        run_seconds=run_time.run_seconds,
        row_seconds=run_time.row_seconds,
        rows_are_independent=independent,
    )


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        return read_file(path, max_bytes)
    except OSError as error:
        raise ModelRejected(f"{path.name} can't be read: {error.strerror}") from None


def _check_digest(path: Path, digest: str) -> None:
    """Compare the file's digest with the digest file beside it, if there is one."""
    beside = digest_path(path)
    try:
        text = read_file(beside, DIGEST_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ModelRejected(f"{beside.name} can't be read: {error.strerror}") from None
    expected = (text.split() or [""])[0].lower()
    if expected != digest:
        raise ModelRejected(
            f"{path.name} has sha256 {digest}, but {beside.name} says {expected[:64]!r}: "
            "the file is damaged or still being copied"
        )
