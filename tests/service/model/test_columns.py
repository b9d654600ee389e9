from __future__ import annotations

import numpy as np

from pigeonhole.service.model.columns import Columns


def test_length_is_the_number_of_rows_without_numbers_too() -> None:
    assert len(Columns(np.empty((3, 0)), np.full((3, 1), "red", dtype=object))) == 3
    assert len(Columns(np.empty((0, 2)), np.empty((0, 0), dtype=object))) == 0
