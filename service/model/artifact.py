"""One model file, read once, opened, and held against everything that it says of itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import InvalidRows, ModelRejected, PredictionFailed
from ..files import digest_path, read_file
from .columns import Columns
from .row_types import RowTypes
from .session import Graph, Session, one_line
from .signature import Kind, Signature
from .training_range import RangeCheck
from .validation import columns_from_values

FORMAT_VERSION = 1
"""The contract's version that this service reads."""

GOLDEN_TOLERANCE = 1e-4
"""How far a golden row's probability may move between machines: kernels round differently."""

DIGEST_BYTES = 4096
"""Largest ``model.onnx.sha256`` that is read: a digest and a file name need less."""

COMPANY_TOLERANCE = 1e-5
"""How far a row's probability may move with the rows beside it: sums may be taken in another order."""

WARM_UP_RUNS = 5
"""Runs before a model goes live, of one row and of several. The quickest is its cost: whatever else
the machine does meanwhile only adds to it."""

WARM_UP_ROWS = 64
"""Rows in a run of several at most: enough to tell what a row adds to a run."""

WARM_UP_SECONDS = 0.02
"""About how long the runs of several rows may take; a model that needs more gets two rows."""

PROBE_SIZES = (1, 10, 100, 1000, None)
"""How large the numbers of rows are that are tried; None for each number a size of its own."""

PROBE_ROWS = 8
"""Rows of each kind that is tried."""


class GoldenRow(msgspec.Struct, frozen=True):
    """A raw row with what the trainer saw the exported file answer to it.

    Attributes:
        row: values by feature name; a missing one is left out.
        label: the expected label.
        probabilities: the expected probability by class.
    """

    row: dict[str, Any]
    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True, eq=False)
class Model:
    """A model that passed every check and is ready to answer.

    Attributes:
        name: as in its path.
        version: as in its path.
        digest: sha256 of the file, hexadecimal.
        signature: what a row must look like.
        forms: the signature's generated types.
        watch: the signature's ranges and categories.
        session: the runtime, bound to the signature.
        golden: the golden rows, which passed.
        described: whether the file carried a signature of its own.
        load_seconds: from reading the file to ready.
        run_seconds: the quickest run of one row.
        row_seconds: what each further row in a run adds to that, as measured with several.
        rows_are_independent: whether a row gets the same answer whatever stands beside it, so that
            rows of several calls may be run together.
        memo: what others have made from this model and want to find again; goes when it goes.
        per_model: the values of each `PerModel` holder for this model.
    """

    name: str
    version: int
    digest: str
    signature: Signature
    forms: RowTypes
    watch: RangeCheck
    session: Session
    golden: tuple[GoldenRow, ...]
    described: bool
    load_seconds: float
    run_seconds: float
    row_seconds: float
    rows_are_independent: bool
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    per_model: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    def expected_seconds(self, rows: int) -> float:
        """About how long a run of so many rows takes: by the warm-up, on an idle core."""
        return self.run_seconds + self.row_seconds * max(rows - 1, 0)


def load_model(path: Path, *, name: str, version: int, threads: int, max_bytes: int) -> Model:
    """Read, open and check one model file, and warm it up.

    Args:
        path: the ``model.onnx``; a ``model.onnx.sha256`` beside it is held against its bytes.
        name: the name that it will be served under.
        version: the version that it will be served as.
        threads: threads that one run may use.
        max_bytes: a larger file is refused before it is read.

    Raises:
        ModelRejected: with the reason, for whatever is wrong with the file.
    """
    started = time.perf_counter()
    content = _read(path, max_bytes)
    digest = hashlib.sha256(content).hexdigest()
    _check_digest(path, digest)
    graph = Graph(content, threads)
    described = "pigeonhole" in graph.metadata
    if described:
        _check_format(graph.metadata["pigeonhole"])
        signature, labels = Signature.from_metadata(_entry(graph, "signature")), None
        golden = _golden_rows(_entry(graph, "golden"))
    else:
        (signature, labels), golden = graph.bare_signature(content), ()
    session = Session(graph, signature)
    _replay(session, signature, golden)
    run_seconds, row_seconds = _warm_up(session, signature, golden)
    if labels is not None:
        _check_class_names(session, signature, labels)
    return Model(
        name=name,
        version=version,
        digest=digest,
        signature=signature,
        forms=RowTypes(signature),
        watch=RangeCheck(signature),
        session=session,
        golden=golden,
        described=described,
        load_seconds=time.perf_counter() - started,
        run_seconds=run_seconds,
        row_seconds=row_seconds,
        rows_are_independent=_rows_are_independent(session, signature, golden),
    )


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        return read_file(path, max_bytes)
    except OSError as error:
        raise ModelRejected(f"{path.name} can't be read: {error.strerror}") from None


def _check_digest(path: Path, digest: str) -> None:
    beside = digest_path(path)
    try:
        text = read_file(beside, DIGEST_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ModelRejected(f"{beside.name} can't be read: {error.strerror}") from None
    stated = (text.split() or [""])[0].lower()
    if stated != digest:
        raise ModelRejected(
            f"{path.name} has sha256 {digest}, but {beside.name} says {stated[:64]!r}: "
            "it was damaged or is still being copied"
        )


def _entry(graph: Graph, key: str) -> str:
    try:
        return graph.metadata[key]
    except KeyError:
        raise ModelRejected(f"the file has no metadata '{key}'") from None


def _check_format(text: str) -> None:
    try:
        version = msgspec.json.decode(text, type=int)
    except msgspec.MsgspecError:
        raise ModelRejected(f"metadata 'pigeonhole' is {text[:40]!r}, expected a number") from None
    if version != FORMAT_VERSION:
        raise ModelRejected(
            f"the file has format version {version}, this service reads {FORMAT_VERSION}"
        )


def _golden_rows(text: str) -> tuple[GoldenRow, ...]:
    try:
        golden = msgspec.json.decode(text, type=list[GoldenRow])
    except msgspec.MsgspecError as error:
        raise ModelRejected(f"metadata 'golden': {error}") from None
    if not golden:
        raise ModelRejected("metadata 'golden' holds no row")
    return tuple(golden)


def _replay(session: Session, signature: Signature, golden: tuple[GoldenRow, ...]) -> None:
    """Answer the golden rows and compare: a file that answers differently here is not served."""
    if not golden:
        return
    try:
        columns = columns_from_values(signature, [g.row for g in golden])
        prediction = session.run(columns)
        stated = session.stated_labels(columns) or prediction.labels
    except (InvalidRows, PredictionFailed) as error:
        raise ModelRejected(f"golden rows can't be replayed: {_why(error)}") from None
    session.check_answers(prediction)
    for index, expected in enumerate(golden):
        if {expected.label, *expected.probabilities} != set(signature.classes):
            raise ModelRejected(f"golden row {index} names other classes than the signature")
        wanted = np.array([expected.probabilities[c] for c in signature.classes])
        got = prediction.probabilities[index]
        gap = float(np.abs(got - wanted).max())
        if gap > GOLDEN_TOLERANCE:
            raise ModelRejected(
                f"golden row {index} got probabilities {got.tolist()}, expected {wanted.tolist()}"
            )
        for label in (prediction.labels[index], stated[index]):
            if _margin(signature, expected, label) > GOLDEN_TOLERANCE:  # nearer, rounding decides
                raise ModelRejected(
                    f"golden row {index} got label {label!r}, expected {expected.label!r}"
                )


def _margin(signature: Signature, expected: GoldenRow, label: str) -> float:
    """How far the probabilities of a row are from those that would get it this label instead."""
    if label == expected.label:
        return 0.0
    if (threshold := signature.threshold) is not None:
        return abs(expected.probabilities[threshold.positive] - threshold.value)
    return abs(expected.probabilities[expected.label] - expected.probabilities[label]) / 2


def _warm_up(
    session: Session, signature: Signature, golden: tuple[GoldenRow, ...]
) -> tuple[float, float]:
    """Run one row a few times and then several; seconds of one row, and of each further one.

    Several also show whether the graph answers each row for itself.
    """
    row = golden[0].row if golden else {f.name: _stand_in(f.kind) for f in signature.features}
    columns = columns_from_values(signature, [row])
    try:
        session.check_answers(session.run(columns))
        one = _quickest(session, columns)
        rows = min(max(2, int(WARM_UP_SECONDS / (WARM_UP_RUNS * one))), WARM_UP_ROWS)
        several = Columns(
            np.repeat(columns.numbers, rows, axis=0), np.repeat(columns.categories, rows, axis=0)
        )
        many = _quickest(session, several)
    except (InvalidRows, PredictionFailed) as error:
        raise ModelRejected(f"it can't be run: {_why(error)}") from None
    return one, max(many - one, 0) / (rows - 1)


def _check_class_names(session: Session, signature: Signature, labels: str) -> None:
    """Hold the names of classes against the graph's own labels, on rows of many kinds."""
    for columns in _probes(signature):
        try:
            session.check_class_names(columns, labels)
        except PredictionFailed:
            continue  # it can't be asked for these rows


def _probes(signature: Signature) -> Iterator[Columns]:
    """Rows to try a graph on of which nothing is known: first the row that the warm-up ran.

    Numbers small and large, alike and unlike within a row, above zero and around it, whole or not.
    """
    numbers = (PROBE_ROWS, len(signature.numbers))
    categories = (PROBE_ROWS, len(signature.categories))
    yield columns_from_values(signature, [{f.name: _stand_in(f.kind) for f in signature.features}])
    random = np.random.default_rng(0)  # the same rows each time
    for size, sign, whole in product(PROBE_SIZES, (0, -1), (False, True)):
        values = random.uniform(sign, 1, numbers)
        values *= size or 10 ** random.uniform(-1, 4, numbers)
        texts = random.choice(np.array(["x", "y"], object), categories)
        yield Columns(np.round(values) if whole else values, texts)


def _rows_are_independent(
    session: Session, signature: Signature, golden: tuple[GoldenRow, ...]
) -> bool:
    """Whether a row's answer is the same beside another row as alone."""
    if golden:
        pair = [golden[0].row, golden[-1].row]
    else:
        pair = [{f.name: _stand_in(f.kind, place) for f in signature.features} for place in (0, 1)]
    both = columns_from_values(signature, pair)
    try:
        alone = [
            session.run(Columns(both.numbers[i : i + 1], both.categories[i : i + 1]))
            for i in range(2)
        ]
        gaps = session.run(both).probabilities - np.concatenate([a.probabilities for a in alone])
    except (InvalidRows, PredictionFailed):
        return False  # as far as is known
    return bool(np.abs(gaps).max() <= COMPANY_TOLERANCE)


def _quickest(session: Session, columns: Columns) -> float:
    """Seconds of the quickest of a few runs."""
    seconds = []
    for _ in range(WARM_UP_RUNS):
        started = time.perf_counter()
        session.run(columns)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _why(error: InvalidRows | PredictionFailed) -> str:
    """What went wrong, for the operator: the first problem, or onnxruntime's own words."""
    if isinstance(error, InvalidRows):
        first = error.problems[0]
        where = f"row {first.row}" + (f", feature '{first.feature}'" if first.feature else "")
        return f"{where}: expected {first.expected}, got {first.got}"
    return one_line(error.__cause__ or error)


def _stand_in(kind: Kind, place: int = 0) -> Any:
    return "xy"[place] if kind is Kind.CATEGORY else place
