"""The performance targets of the service, and whether the results meet them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.bare_runtime import BareRuntime
from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import (
    HEAVY,
    HEAVY_BINARY,
    HEAVY_MANY_ROWS,
    LARGE,
    LARGE_BINARY,
    SMALL,
    SMALL_16_CONNECTIONS,
    SMALL_MANY_ROWS,
    Load,
)
from benchmarks.serving.measurement import Measurement
from benchmarks.serving.servers import ASGI_CONSTANTS, CONSTANT, OURS

START_SECONDS = 1.5
"""Target: seconds from the start to the first response, less than this."""

RUNTIME_SHARE = 0.9
"""Target: our rows per second divided by those of the bare runtime, at least this."""


@dataclass(frozen=True)
class Metric:
    """A metric that is compared between servers.

    Attributes:
        name: name on the page.
        of: returns the metric of a measurement.
        less_is_better: whether the target is an upper bound.
    """

    name: str
    of: Callable[[Measurement], float]
    less_is_better: bool = False


@dataclass(frozen=True)
class RatioTarget:
    """A target for the ratio of our metric to a peer's.

    Attributes:
        metric: the metric.
        load: our load.
        peer: name of the peer.
        ratio: least ratio, or largest if less of the metric is better.
        peer_load: the peer's load; the same load if None.
    """

    metric: Metric
    load: Load
    peer: str
    ratio: float
    peer_load: Load | None = None


@dataclass(frozen=True)
class Verdict:
    """A target with the result.

    Attributes:
        quantity: what is measured, as text.
        target: the target, as text.
        measured: the result, as text; "-" if a side was not measured.
        met: whether the target is met; None if not measured.
        same_run: whether both sides were measured in alternation.
    """

    quantity: str
    target: str
    measured: str = "-"
    met: bool | None = None
    same_run: bool = True


REQUESTS = Metric("requests/s", lambda each: each.requests_per_second)

P99 = Metric("p99 latency", lambda each: each.p99_ms, less_is_better=True)

HEAVY_LOADS = (HEAVY, HEAVY_MANY_ROWS, HEAVY_BINARY)

MODEL_SERVERS = ("MLServer", "KServe", "LitServe", "BentoML", "Ray Serve", "MLflow")

RATIO_TARGETS = (
    *(RatioTarget(REQUESTS, SMALL, constant, 0.65) for constant in (CONSTANT, *ASGI_CONSTANTS)),
    RatioTarget(REQUESTS, SMALL, "Flask, sync", 6),
    RatioTarget(REQUESTS, SMALL, "FastAPI", 2.3),
    *(RatioTarget(REQUESTS, SMALL, peer, 10) for peer in MODEL_SERVERS),
    RatioTarget(P99, SMALL_16_CONNECTIONS, "FastAPI", 1),
    RatioTarget(REQUESTS, SMALL_MANY_ROWS, "FastAPI", 3),
    RatioTarget(REQUESTS, LARGE_BINARY, OURS, 5, peer_load=LARGE),
)


def verdicts(records: Mapping[str, Record], runtime: BareRuntime | None) -> list[Verdict]:
    """Return the verdicts on all targets.

    Args:
        records: records by server.
        runtime: throughput of the bare runtime with the heavy model; None if not measured.
    """
    ours = records.get(OURS)
    ratios = [_ratio_verdict(target, ours, records.get(target.peer)) for target in RATIO_TARGETS]
    shares = [_runtime_verdict(load, ours, runtime) for load in HEAVY_LOADS]
    return [*ratios, *shares, _start_verdict(ours)]


def _ratio_verdict(target: RatioTarget, ours: Record | None, peer: Record | None) -> Verdict:
    metric, other = target.metric, "JSON" if target.peer == OURS else target.peer
    quantity = f"{metric.name}: {target.load}, relative to {other}"
    bound = f"{'<=' if metric.less_is_better else '>='} x {target.ratio:g}"
    mine = ours.median_over_rounds(target.load) if ours else None
    theirs = peer.median_over_rounds(target.peer_load or target.load) if peer else None
    if ours is None or peer is None or mine is None or theirs is None:
        return Verdict(quantity, bound)
    ratio = metric.of(mine) / metric.of(theirs)
    met = ratio <= target.ratio if metric.less_is_better else ratio >= target.ratio
    return Verdict(quantity, bound, f"x {ratio:.2f}", met, ours.started_at == peer.started_at)


def _runtime_verdict(load: Load, ours: Record | None, runtime: BareRuntime | None) -> Verdict:
    quantity, bound = f"rows/s: {load}, relative to the bare runtime", f">= x {RUNTIME_SHARE:g}"
    mine = ours.median_over_rounds(load) if ours else None
    if ours is None or mine is None or runtime is None:
        return Verdict(quantity, bound)
    share = mine.rows_per_second / runtime.best_rows_per_second
    same_run = ours.started_at == runtime.started_at
    return Verdict(quantity, bound, f"x {share:.2f}", share >= RUNTIME_SHARE, same_run)


def _start_verdict(ours: Record | None) -> Verdict:
    quantity, bound = "start to first response", f"< {START_SECONDS} s"
    if ours is None or not ours.start_seconds:
        return Verdict(quantity, bound)
    seconds = median(ours.start_seconds)
    return Verdict(quantity, bound, f"{seconds:.2f} s", seconds < START_SECONDS)
