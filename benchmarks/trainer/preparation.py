"""Seconds of each step before the network.

Run it by ``python -m benchmarks.trainer.preparation TABLE TARGET RESULT``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from pigeonhole.trainer.data.preparation import prepare
from pigeonhole.trainer.data.stratified import stratified_split, take_subsets
from pigeonhole.trainer.data.table import read_table
from pigeonhole.trainer.features.preprocessor import Preprocessor

Result = TypeVar("Result")

VALIDATION_SHARE = 0.2


def main() -> None:
    """Read, clean, split and preprocess a table, and write the seconds of each step."""
    table, target, result_file = sys.argv[1:]
    seconds: dict[str, float] = {}

    def timed(step: str, run: Callable[[], Result]) -> Result:
        started = time.perf_counter()
        result = run()
        seconds[step] = time.perf_counter() - started
        return result

    # As in a fit, the raw table is freed during cleaning: pop drops the last reference.
    raw = [timed("read", lambda: read_table(table, as_text=[target]))]
    prepared = timed("clean", lambda: prepare(raw.pop(), target))
    examples, rng = prepared.examples, np.random.default_rng(0)
    parts = timed("split", lambda: stratified_split(examples.labels, VALIDATION_SHARE, rng))
    training, _ = timed("take", lambda: take_subsets(examples, *parts))
    preprocessor = timed("fit preprocessing", lambda: Preprocessor.fit(training, prepared.schema))
    timed("preprocess", lambda: preprocessor.transform(training))
    Path(result_file).write_text(json.dumps(seconds), "utf-8")


if __name__ == "__main__":
    main()
