"""The folders of the benchmarks."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

PEERS = REPOSITORY / "benchmarks" / "peers"
"""Programs and pinned requirements of the peers."""

BUILD = REPOSITORY / "build" / "benchmarks"
"""Environments, splits and generated rows, which can be made again."""

RESULTS = REPOSITORY / "benchmarks" / "results"
"""Default folder of results."""
