"""A small table as examples, and settings for a short fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.settings import Settings


@pytest.fixture
def schema() -> Schema:
    return Schema(
        (
            Feature("weight", Kind.NUMBER, required=False),
            Feature("color", Kind.CATEGORY, required=True),
        ),
        "size",
        ("heavy", "light"),
    )


@pytest.fixture
def examples() -> Callable[..., Examples]:
    """Makes rows of that schema; the class "light" is the rarer one."""

    def make(rows: int, seed: int = 0) -> Examples:
        rng = np.random.default_rng(seed)
        weights, colors = rng.normal(60, 10, (rows, 1)), rng.choice(["red", "blue"], (rows, 1))
        light = weights[:, 0] + 8 * (colors[:, 0] == "red") + rng.normal(0, 5, rows) < 57
        return Examples(weights, colors.astype(object), light.astype(np.int64))

    return make


@pytest.fixture
def settings_for() -> Callable[..., Settings]:
    """Makes settings of a small network and few epochs, changed by flags."""

    def read(**flags: Any) -> Settings:
        usual = {"table": "t.csv", "target": "size", "name": "m", "hidden": "8", "epochs": "3"}
        return Settings.read({**usual, **flags})

    return read
