from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from pigeonhole.trainer.features.missing import FEW_ROWS, MissingIndicator
from pigeonhole.trainer.graph import Graph

NAN = np.nan


def numbers(rows: int, *missing: int) -> np.ndarray:
    """Return numbers, (rows, columns), with the given number of missing values per column."""
    columns = [[NAN] * count + [1.5] * (rows - count) for count in missing]
    return np.array(columns, dtype=np.float64).reshape(len(missing), rows).T


@pytest.mark.parametrize("rows", [20, 20_000])
def test_column_with_five_missing_values_has_an_indicator_in_any_table(rows: int) -> None:
    indicator = MissingIndicator.fit(numbers(rows, 0, FEW_ROWS - 1, FEW_ROWS, rows // 2))
    assert indicator.columns == (2, 3)


def test_column_with_few_numbers_has_no_indicator() -> None:
    rows = 20
    assert MissingIndicator.fit(numbers(rows, rows, rows - FEW_ROWS + 1, rows - FEW_ROWS)).columns == (2,)  # fmt: skip


def test_indicator_is_one_for_missing_numbers() -> None:
    indicator = MissingIndicator((0, 2))
    rows = np.array([[NAN, NAN, 0], [1e308, 0, NAN], [-1, 0, -0.0]])
    found = indicator.transform(rows)
    assert found.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert found.dtype == np.float32


def test_graph_gives_the_same_indicators() -> None:
    indicator = MissingIndicator((2, 0))
    graph = Graph("indicator")
    graph.output(indicator.emit(graph, graph.input("numbers", "double", 3)), "inputs", "float", 2)
    content = graph.model({}, "test").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for rows in (np.array([[NAN, NAN, 0], [1e308, 0, NAN]]), np.empty((0, 3))):
        found = session.run(["inputs"], {"numbers": rows})[0]
        np.testing.assert_array_equal(found, indicator.transform(rows))
