"""Seconds of each step before the network: ``python -m ... TABLE TARGET ANSWER``."""

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

SHARE = 0.2


def main() -> None:
    """Read, clean, split and preprocess the table that the command line names."""
    table, target, answer = sys.argv[1:]
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Result]) -> Result:
        started = time.perf_counter()
        result = work()
        seconds[step] = time.perf_counter() - started
        return result

    # As the run does it: nothing holds on to what the next step has made its own of.
    held = [timed("read", lambda: read_table(table, as_text=[target]))]
    prepared = timed("clean", lambda: prepare(held.pop(), target))
    examples, rng = prepared.examples, np.random.default_rng(0)
    parts = timed("split", lambda: stratified_split(examples.labels, SHARE, rng))
    training, _ = timed("take", lambda: take_subsets(examples, *parts))
    preprocessor = timed("fit preprocessing", lambda: Preprocessor.fit(training, prepared.schema))
    timed("preprocess", lambda: preprocessor.transform(training))
    Path(answer).write_text(json.dumps(seconds), "utf-8")


if __name__ == "__main__":
    main()
