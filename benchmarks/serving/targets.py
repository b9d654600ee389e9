"""What we promise beside the peers, and whether one run of the comparison bears it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.bare_runtime import Alone
from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import (
    HEAVY,
    HEAVY_BINARY,
    HEAVY_MANY_ROWS,
    LARGE,
    LARGE_BINARY,
    SMALL,
    SMALL_FEW,
    SMALL_MANY_ROWS,
    Load,
)
from benchmarks.serving.measurement import Measured
from benchmarks.serving.servers import ASGI_CONSTANTS, CONSTANT, OURS

START_S = 1.5
"""Seconds to the first answer, at most."""

RUNTIME_SHARE = 0.9
"""Our rows a second over those of the runtime alone, at least."""


@dataclass(frozen=True)
class Ratio:
    """A promised ratio of ours to a peer's.

    Attributes:
        what: is compared.
        figure: of ours and of the peer's.
        ours: our load.
        peer: the other server.
        theirs: its load.
        bar: what the ratio must be.
        at_most: whether it must be that at most; else at least.
    """

    what: str
    figure: Callable[[Measured], float]
    ours: Load
    peer: str
    theirs: Load
    bar: float
    at_most: bool = False


@dataclass(frozen=True)
class Verdict:
    """A promise beside what was measured.

    Attributes:
        promise: in words.
        found: the figure, as it is shown; "-" where a side of it was not measured.
        bar: what it must be, as it is shown.
        met: whether it is; None where it was not measured.
        one_run: whether both sides were measured in turns.
    """

    promise: str
    found: str
    bar: str
    met: bool | None
    one_run: bool = True


def _requests(measured: Measured) -> float:
    return measured.requests_per_second


def _p99(measured: Measured) -> float:
    return measured.p99_ms


REQUESTS = ("requests a second", _requests)

SLOWEST = ("p99", _p99)

HEAVY_LOADS = (HEAVY, HEAVY_MANY_ROWS, HEAVY_BINARY)

RATIOS = (
    *(Ratio(*REQUESTS, SMALL, constant, SMALL, 0.65) for constant in (CONSTANT, *ASGI_CONSTANTS)),
    Ratio(*REQUESTS, SMALL, "Flask, sync", SMALL, 6),
    Ratio(*REQUESTS, SMALL, "FastAPI", SMALL, 2.3),
    *(
        Ratio(*REQUESTS, SMALL, peer, SMALL, 10)
        for peer in ("MLServer", "KServe", "LitServe", "BentoML", "Ray Serve", "MLflow")
    ),
    Ratio(*SLOWEST, SMALL_FEW, "FastAPI", SMALL_FEW, 1, at_most=True),
    Ratio(*REQUESTS, SMALL_MANY_ROWS, "FastAPI", SMALL_MANY_ROWS, 3),
    Ratio(*REQUESTS, LARGE_BINARY, OURS, LARGE, 5),
)


def verdicts(records: Mapping[str, Record], alone: Alone | None) -> list[Verdict]:
    """Every promise, in order.

    Args:
        records: by the server's name.
        alone: what the runtime gives on the heavy model; None where it wasn't measured.
    """
    ours = records.get(OURS)
    found = [_of_ratio(ratio, ours, records.get(ratio.peer)) for ratio in RATIOS]
    found += [_of_runtime(load, ours, alone) for load in HEAVY_LOADS]
    return [*found, _of_start(ours)]


def _of_ratio(ratio: Ratio, ours: Record | None, peer: Record | None) -> Verdict:
    over = "JSON" if ratio.peer == OURS else ratio.peer
    promise, bar = (
        f"{ratio.what}: {ratio.ours}, over {over}",
        _bar(ratio.bar, at_most=ratio.at_most),
    )
    mine = ours.over_rounds(ratio.ours) if ours else None
    theirs = peer.over_rounds(ratio.theirs) if peer else None
    if ours is None or peer is None or mine is None or theirs is None:
        return Verdict(promise, "-", bar, None)
    found = ratio.figure(mine) / ratio.figure(theirs)
    met = found <= ratio.bar if ratio.at_most else found >= ratio.bar
    return Verdict(promise, f"x {found:.2f}", bar, met, ours.run == peer.run)


def _of_runtime(load: Load, ours: Record | None, alone: Alone | None) -> Verdict:
    promise = f"rows a second: {load}, over the runtime alone"
    bar, mine = _bar(RUNTIME_SHARE), ours.over_rounds(load) if ours else None
    if ours is None or mine is None or alone is None:
        return Verdict(promise, "-", bar, None)
    _, best = alone.best
    found = mine.rows_per_second / best
    return Verdict(promise, f"x {found:.2f}", bar, found >= RUNTIME_SHARE, ours.run == alone.run)


def _of_start(ours: Record | None) -> Verdict:
    promise, bar = "seconds from the start to the first answer", f"< {START_S} s"
    if ours is None or not ours.start_seconds:
        return Verdict(promise, "-", bar, None)
    found = median(ours.start_seconds)
    return Verdict(promise, f"{found:.2f} s", bar, found < START_S)


def _bar(ratio: float, *, at_most: bool = False) -> str:
    return f"{'<=' if at_most else '>='} x {ratio:g}"
