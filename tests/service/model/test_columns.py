from __future__ import annotations

import numpy as np

from pigeonhole.service.model.columns import Columns


def test_rows_are_counted_even_where_no_feature_is_a_number() -> None:
    assert len(Columns(np.empty((3, 0)), np.full((3, 1), "red", dtype=object))) == 3
    assert len(Columns(np.empty((0, 2)), np.empty((0, 0), dtype=object))) == 0
