"""Seconds of each step before the network: ``python -m ... TABLE TARGET ANSWER``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainer.data.cleaning import clean
from trainer.data.split import stratified_split
from trainer.data.table import read_table
from trainer.features.preprocessor import Preprocessor

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

    read = timed("read", lambda: read_table(table))
    examples = timed("clean", lambda: clean(read, target).examples)
    labels, rng = examples.labels, np.random.default_rng(0)
    rest, _ = timed("split", lambda: stratified_split(labels, SHARE, rng))
    training = timed("take", lambda: examples.take(rest))
    preprocessor = timed("fit preprocessing", lambda: Preprocessor.fit(training))
    timed("preprocess", lambda: preprocessor.transform(training))
    Path(answer).write_text(json.dumps(seconds), "utf-8")


if __name__ == "__main__":
    main()
